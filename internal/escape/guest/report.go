package main

import (
	"encoding/json"
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// finding is what became of one thing that was tried, or a fact.
type finding struct {
	Try     string         `json:"try"`
	Done    int            `json:"done,omitempty"`
	Refused map[string]int `json:"refused,omitempty"`
	Value   string         `json:"value,omitempty"`
}

// report collects findings.
type report struct {
	mu    sync.Mutex
	order []string
	found map[string]*finding
}

func newReport() *report { return &report{found: map[string]*finding{}} }

// of is the finding of a name; the lock is held.
func (r *report) of(name string) *finding {
	f, ok := r.found[name]
	if !ok {
		f = &finding{Try: name, Refused: map[string]int{}}
		r.found[name] = f
		r.order = append(r.order, name)
	}
	return f
}

// try notes an attempt, and tells whether it succeeded.
func (r *report) try(name string, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.of(name)
	if err == nil {
		f.Done++
		return true
	}
	f.Refused[word(err)]++
	return false
}

// reach notes a system call that was made with useless arguments: an error that is not a refusal means that the kernel looked
// at them.
func (r *report) reach(name string, err error) {
	for _, refusal := range []error{unix.EPERM, unix.ENOSYS, unix.EACCES} {
		if errors.Is(err, refusal) {
			r.try(name, err)
			return
		}
	}
	r.try(name, nil)
}

// fact notes a value.
func (r *report) fact(name, value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of(name).Value = value
}

// word is the name of an error.
func word(err error) string {
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		if name := unix.ErrnoName(errno); name != "" {
			return name
		}
	}
	return err.Error()
}

// begun tells the suite that an attack that goes on is under way.
func (r *report) begun() { write(map[string]string{"begun": "yes"}) }

// tell writes the report of an attack.
func (r *report) tell(attack string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range r.order {
		write(r.found[name])
	}
	write(map[string]string{"end": attack})
}

func write(v any) {
	line, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	// One write a line: a terminal may be shared. Whoever hung up hears nothing.
	_, _ = os.Stdout.Write(append(line, '\n'))
}

// add takes over what another process of ours found.
func (r *report) add(f finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.of(f.Try)
	of.Done += f.Done
	for name, n := range f.Refused {
		of.Refused[name] += n
	}
	if f.Value != "" {
		of.Value = f.Value
	}
}
