package consolelog

import "time"

// run writes lines until the log is closed.
func (l *Log) run() {
	defer close(l.ended)
	defer l.store.close()
	var (
		lines []byte
		delay = firstRetry
		retry <-chan time.Time // set while writing fails
	)
	for {
		if retry == nil {
			select {
			case <-l.wake:
			case <-l.hurry:
			}
		} else {
			select {
			case <-retry:
			case <-l.hurry:
			}
		}
		var err error
		if lines, err = l.writeAll(lines); err == nil {
			delay, retry = firstRetry, nil
		} else {
			if retry == nil {
				l.fault(err)
			}
			delay, retry = min(2*delay, lastRetry), time.After(delay)
		}
		if l.isOver(err != nil) {
			return
		}
	}
}

// writeAll writes lines, and all that come meanwhile, and gives what could not be written.
func (l *Log) writeAll(lines []byte) ([]byte, error) {
	for {
		if len(lines) == 0 {
			if lines = l.take(lines); len(lines) == 0 {
				return nil, nil
			}
		}
		n, err := l.store.write(lines)
		lines = lines[n:]
		l.mu.Lock()
		l.held = len(lines)
		l.mu.Unlock()
		if err != nil {
			return lines, err
		}
	}
}

// take takes the lines that are pending, and gives back the buffer of those that were written.
func (l *Log) take(written []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.spare == nil && cap(written) > 0 && cap(written) <= spareBytes {
		l.spare = written[:0]
	}
	l.tellLost()
	lines := l.pending
	l.pending, l.held = nil, len(lines)
	return lines
}

// isOver tells whether nothing more is to be written, or can be.
func (l *Log) isOver(failed bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed && (failed || len(l.pending) == 0)
}
