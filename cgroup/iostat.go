package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// IOStats is what the processes of a group did with a block device.
type IOStats struct {
	// Major and Minor numbers of the device.
	Major, Minor uint32
	// ReadBytes and WriteBytes went through it, in Reads and Writes requests.
	ReadBytes, WriteBytes, Reads, Writes uint64
}

// IOStats tells of each block device that the group used, in the order of the kernel. Where the host has no controller for
// that it is [ErrNoController].
func (g *Group) IOStats() ([]IOStats, error) {
	t := g.h.tree("io")
	if t == nil {
		return nil, fmt.Errorf("measure devices of cgroup %s: %w", g.path, ErrNoController)
	}
	f, err := g.folder(t)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if t.Version == 2 {
		return ioStats2(f)
	}
	return ioStats1(f)
}

// ioStats2 reads io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0". Other controllers add words of their own.
func ioStats2(f *folder) ([]IOStats, error) {
	text, err := f.read("io.stat")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []IOStats
	for line := range strings.Lines(text) {
		word := fields(line)
		if len(word) == 0 {
			continue
		}
		s, err := statsOf(word[0])
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", f.join("io.stat"), err)
		}
		counters := map[string]*uint64{"rbytes": &s.ReadBytes, "wbytes": &s.WriteBytes, "rios": &s.Reads, "wios": &s.Writes}
		for _, w := range word[1:] {
			name, value, _ := strings.Cut(w, "=")
			counter := counters[name]
			if counter == nil {
				continue
			}
			if *counter, err = strconv.ParseUint(value, 10, 64); err != nil {
				return nil, fmt.Errorf("read %s: %w", f.join("io.stat"), err)
			}
		}
		list = append(list, s)
	}
	return list, nil
}

// ioStats1 reads what goes through the throttles, limited or not: "8:0 Read 4096", in bytes and in requests.
func ioStats1(f *folder) ([]IOStats, error) {
	at := make(map[string]int)
	var list []IOStats
	for _, part := range []struct {
		file        string
		read, write func(*IOStats) *uint64
	}{
		{"blkio.throttle.io_service_bytes", func(s *IOStats) *uint64 { return &s.ReadBytes }, func(s *IOStats) *uint64 { return &s.WriteBytes }},
		{"blkio.throttle.io_serviced", func(s *IOStats) *uint64 { return &s.Reads }, func(s *IOStats) *uint64 { return &s.Writes }},
	} {
		text, err := f.read(part.file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(text) {
			word := fields(line)
			if len(word) != 3 {
				continue // the total of all
			}
			k, known := at[word[0]]
			if !known {
				s, err := statsOf(word[0])
				if err != nil {
					return nil, fmt.Errorf("read %s: %w", f.join(part.file), err)
				}
				k = len(list)
				at[word[0]], list = k, append(list, s)
			}
			n, err := strconv.ParseUint(word[2], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", f.join(part.file), err)
			}
			switch word[1] {
			case "Read":
				*part.read(&list[k]) = n
			case "Write":
				*part.write(&list[k]) = n
			}
		}
	}
	return list, nil
}

// statsOf begins the numbers of a device that is written as "8:0".
func statsOf(number string) (IOStats, error) {
	major, minor, _ := strings.Cut(number, ":")
	var s IOStats
	for _, n := range []struct {
		text string
		to   *uint32
	}{{major, &s.Major}, {minor, &s.Minor}} {
		v, err := strconv.ParseUint(n.text, 10, 32)
		if err != nil {
			return IOStats{}, fmt.Errorf("%.50q is no device number", number)
		}
		*n.to = uint32(v)
	}
	return s, nil
}
