package store

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
)

const (
	idName  = "id"
	idBytes = 11 // ten digits and the end of the line
)

// counter counts the numbers of running domains. The last one stands in a file of one length that is written in place
// before the number is used, so that it is not used again by a daemon that follows.
type counter struct {
	mu   sync.Mutex
	file *os.File
	last uint32
}

// open reads the last number. Where the file does not tell it, the records do.
func (c *counter) open(run, status *folder) error {
	file, err := run.root.OpenFile(idName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	c.file = file
	b := make([]byte, 16)
	n, _ := file.ReadAt(b, 0)
	last, err := strconv.ParseUint(strings.TrimSuffix(string(b[:n]), "\n"), 10, 32)
	if err == nil && n == idBytes { // a part of a number is another
		c.last = uint32(last)
		return nil
	}
	if err = file.Truncate(0); err != nil { // new, or not what was written
		return err
	}
	all, err := readAll(status, statusSuffix, decodeStatus)
	for _, r := range all {
		if r.err == nil { // whoever reads the records says so
			c.raise(r.value.ID)
		}
	}
	return err
}

// raise makes a number one that was used: a status record may know a higher one, if somebody changed the file.
func (c *counter) raise(used uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last, used)
}

func (c *counter) close() error {
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}

// NextID gives the number of a domain that is being started: from 1 up, never the same again while the host is up.
func (s *Store) NextID() (uint32, error) {
	c := &s.ids
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.last + 1
	if next == 0 {
		return 0, fmt.Errorf("number domain: all %d numbers are used", ^uint32(0))
	}
	if _, err := c.file.WriteAt(fmt.Appendf(nil, "%010d\n", next), 0); err != nil {
		return 0, refusal("number domain", "", err)
	}
	c.last = next
	return next, nil
}
