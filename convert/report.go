package convert

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Limits of what is told about one document.
const (
	MaxFaults   = 50
	MaxWarnings = 200
)

// Place is where something stands in a document.
type Place struct {
	// File as the caller or the document names it. May be empty.
	File string
	// Line in the file, from 1; 0 if it has none.
	Line int
	// Name of what stands there: a key, or a path in the document.
	Name string
}

// String is "config:12: lxc.idmap", as far as it is known.
func (p Place) String() string {
	text := p.File
	if p.Line > 0 {
		text = fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	if text != "" && p.Name != "" {
		text += ": "
	}
	return text + p.Name
}

// Warning tells about something that a document says and the result does not.
type Warning struct {
	Place
	// Message is the reason.
	Message string
}

// String is the warning with its place.
func (w Warning) String() string { return strings.TrimPrefix(w.Place.String()+": "+w.Message, ": ") }

// Fault is something in a document that cannot be read.
type Fault struct {
	Place
	// Value that was refused. May be empty.
	Value string
	// Message says what is wrong, and what is allowed.
	Message string
}

// String is the fault with its place.
func (f Fault) String() string {
	text := f.Message
	if f.Value != "" {
		text = Quote(f.Value) + " " + text
	}
	return strings.TrimPrefix(f.Place.String()+": "+text, ": ")
}

// Error is all faults of a document.
type Error struct {
	// Op is what was attempted: "read LXC configuration".
	Op string
	// Faults in the order of the document.
	Faults []Fault
	// More is how many faults there are beyond those.
	More int
}

// Error has one line for each fault where there are several.
func (e *Error) Error() string {
	if len(e.Faults) == 1 && e.More == 0 {
		return e.Op + ": " + e.Faults[0].String()
	}
	return e.Op + ":\n  " + strings.Join(e.Lines(), "\n  ")
}

// Lines are the faults, and how many more there are.
func (e *Error) Lines() []string {
	lines := make([]string, 0, len(e.Faults)+1)
	for _, f := range e.Faults {
		lines = append(lines, f.String())
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.More))
	}
	return lines
}

// Report collects what is to be told of one document and the files that belong to it.
type Report struct {
	warnings []Warning
	faults   []Fault
	files    map[string]int // order of the files
	// beyond those that are kept
	moreWarnings, moreFaults int
}

// Warn tells that something is not carried over.
func (r *Report) Warn(p Place, format string, args ...any) {
	if len(r.warnings) >= MaxWarnings {
		r.moreWarnings++
		return
	}
	p.Name = cut(p.Name, maxName)
	r.warnings = append(r.warnings, Warning{p, fmt.Sprintf(format, args...)})
}

// Full tells that no more warnings are kept; those that come are counted.
func (r *Report) Full() bool { return len(r.warnings) >= MaxWarnings }

// Fault tells that a value cannot be read; the message goes on after it: "is not a number".
func (r *Report) Fault(p Place, value, format string, args ...any) {
	if len(r.faults) >= MaxFaults {
		r.moreFaults++
		return
	}
	p.Name = cut(p.Name, maxName)
	r.faults = append(r.faults, Fault{p, cut(value, maxQuoted), fmt.Sprintf(format, args...)})
}

// File says that a file is read now; what is told is in the order of files and their lines.
func (r *Report) File(name string) {
	if r.files == nil {
		r.files = map[string]int{}
	}
	if _, ok := r.files[name]; !ok {
		r.files[name] = len(r.files)
	}
}

// compare orders places; what has no file comes last.
func (r *Report) compare(a, b Place) int {
	order := func(p Place) int {
		if n, ok := r.files[p.File]; ok {
			return n
		}
		return len(r.files)
	}
	return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(a.Line, b.Line))
}

// Failed tells whether there is a fault.
func (r *Report) Failed() bool { return len(r.faults) > 0 }

// Warnings are all warnings in order, and a last one for those that were too many.
func (r *Report) Warnings() []Warning {
	list := slices.Clone(r.warnings)
	slices.SortStableFunc(list, func(a, b Warning) int { return r.compare(a.Place, b.Place) })
	if r.moreWarnings > 0 {
		list = append(list, Warning{Message: fmt.Sprintf("and %d more that are not carried over", r.moreWarnings)})
	}
	return list
}

// Err is the faults in order as an error, nil if there are none.
func (r *Report) Err(op string) error {
	if !r.Failed() {
		return nil
	}
	list := slices.Clone(r.faults)
	slices.SortStableFunc(list, func(a, b Fault) int { return r.compare(a.Place, b.Place) })
	return &Error{Op: op, Faults: list, More: r.moreFaults}
}
