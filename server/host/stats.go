package host

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// tick is the unit of /proc/stat: USER_HZ, which is 100 on every architecture that Go knows.
const tick = 10 * time.Millisecond

// Stats measures the host.
func (h *Host) Stats() (*davitv1.GetHostStatsResponse, error) {
	s := &davitv1.GetHostStatsResponse{Time: timestamppb.Now()}
	if err := h.measure(s); err != nil {
		return nil, fmt.Errorf("measure host: %w", err)
	}
	return s, nil
}

func (h *Host) measure(s *davitv1.GetHostStatsResponse) error {
	times, err := h.cpuTimes()
	if err != nil {
		return err
	}
	s.Total, s.Cpus = times[0], times[1:]
	if s.Memory, err = h.memory(cell{}); err != nil {
		return err
	}
	cells, err := h.cells()
	if err != nil {
		return err
	}
	for _, c := range cells {
		of := &davitv1.HostCell{Id: uint32(c.id)}
		if of.Memory, err = h.memory(c); err != nil {
			return err
		}
		if of.Pages, err = h.pages(c, of.Memory); err != nil {
			return err
		}
		s.Cells = append(s.Cells, of)
	}
	s.Merging, err = h.merging()
	return err
}

// cpuTimes are the times of all processors together, and then of each.
func (h *Host) cpuTimes() ([]*davitv1.CpuTime, error) {
	text, err := h.text("proc/stat")
	if err != nil {
		return nil, err
	}
	var times []*davitv1.CpuTime
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 6 || !strings.HasPrefix(words[0], "cpu") {
			continue
		}
		t, err := cpuTime(words)
		if err != nil {
			return nil, fmt.Errorf("read proc/stat: %w", err)
		}
		times = append(times, t)
	}
	if len(times) == 0 {
		return nil, errors.New("read proc/stat: it has no line of processors")
	}
	return times, nil
}

// cpuTime reads "cpu3 user nice system idle iowait irq softirq steal …". Time of guests is in that of users already.
func cpuTime(words []string) (*davitv1.CpuTime, error) {
	var n [7]uint64
	for i := range min(len(n), len(words)-1) {
		var err error
		if n[i], err = strconv.ParseUint(words[i+1], 10, 64); err != nil {
			return nil, err
		}
	}
	t := &davitv1.CpuTime{
		User: ticks(n[0] + n[1]), System: ticks(n[2] + n[5] + n[6]), Idle: ticks(n[3]), Iowait: ticks(n[4]),
	}
	if words[0] != "cpu" {
		id, err := strconv.ParseUint(words[0][len("cpu"):], 10, 32)
		if err != nil {
			return nil, err
		}
		t.Cpu = uint32(id)
	}
	return t, nil
}

func ticks(n uint64) *durationpb.Duration { return durationpb.New(time.Duration(n) * tick) }

// mergingFolder has the settings and counters of KSM.
const mergingFolder = "sys/kernel/mm/ksm/"

// merging tells about KSM, nothing where the kernel has none.
func (h *Host) merging() (*davitv1.MemoryMerging, error) {
	if !h.has(mergingFolder) {
		return nil, nil
	}
	m := &davitv1.MemoryMerging{}
	for file, to := range map[string]*uint64{
		"pages_shared": &m.PagesShared, "pages_sharing": &m.PagesSharing, "pages_unshared": &m.PagesUnshared,
		"pages_volatile": &m.PagesVolatile, "full_scans": &m.FullScans,
	} {
		var err error
		if *to, _, err = h.number(mergingFolder + file); err != nil {
			return nil, err
		}
	}
	return m, errors.Join(
		h.setting("pages_to_scan", func(n uint64) { m.PagesToScan = new(uint32(n)) }),
		h.setting("sleep_millisecs", func(n uint64) { m.SleepMillisecs = new(uint32(n)) }),
		h.setting("merge_across_nodes", func(n uint64) { m.MergeAcrossNodes = new(n != 0) }))
}

func (h *Host) setting(file string, take func(uint64)) error {
	n, ok, err := h.number(mergingFolder + file)
	if err == nil && ok {
		take(n)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}
