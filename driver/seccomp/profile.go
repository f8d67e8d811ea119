package seccomp

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Profile says how the system calls of a process are answered.
type Profile struct {
	// Name is what it is called by, in messages and docs.
	Name string
	// Default answers calls that are known and that no rule matches.
	Default Action
	// Unknown answers numbers that the architecture's table does not have.
	Unknown Action
	// Companion tells that programs of the 32-bit architecture of the same kernel may run, by the same rules.
	Companion bool
	// Foreign answers calls by any other architecture.
	Foreign Action
	// Rules are tried in order for each call; the first that names it and whose conditions hold answers.
	Rules []Rule
}

// Rule answers some calls.
type Rule struct {
	// Names of calls. One that the architecture does not have is passed over, one that no architecture has is an error.
	Names  []string
	Action Action
	// When must all hold. None: the rule is for every call of these names.
	When []Condition
	// Comment says to people what the conditions are about.
	Comment string
}

// Condition compares an argument of a call, as an unsigned number of 64 bits.
type Condition struct {
	// Argument counts from 0.
	Argument uint8
	Operator Operator
	Value    uint64
	// Mask is for [MaskedEqual]: only these bits are compared.
	Mask uint64
}

// Low is the condition that the lower 32 bits of an argument equal value: the kernel reads no more of an int.
func Low(argument uint8, value uint32) Condition {
	return Condition{Argument: argument, Operator: MaskedEqual, Value: uint64(value), Mask: 1<<32 - 1}
}

// Operator compares an argument with a value.
type Operator uint8

// The operators that the kernel's filters know. The zero value is none.
const (
	Equal Operator = iota + 1
	NotEqual
	Greater
	GreaterOrEqual
	Less
	LessOrEqual
	MaskedEqual
)

// Kind is what an action does.
type Kind uint8

// The kinds of actions. The zero value is none, so that an action that was forgotten is an error.
const (
	KindAllow Kind = iota + 1
	KindLog
	KindErrno
	KindTrap
	KindKillThread
	KindKillProcess
)

// Action answers a call.
type Action struct {
	Kind Kind
	// Data is the error number of [KindErrno], and what a SIGSYS handler is told by [KindTrap].
	Data uint16
}

// The actions without a number.
var (
	Allow       = Action{Kind: KindAllow}
	Log         = Action{Kind: KindLog}
	Trap        = Action{Kind: KindTrap}
	KillThread  = Action{Kind: KindKillThread}
	KillProcess = Action{Kind: KindKillProcess}
)

// Errno makes calls fail with an error number.
func Errno(number uint16) Action { return Action{Kind: KindErrno, Data: number} }

// mostErrno is the kernel's MAX_ERRNO; it cuts what is above.
const mostErrno = 4095

// permits tells whether the call is carried out.
func (a Action) permits() bool { return a.Kind == KindAllow || a.Kind == KindLog }

// code is the action as the return value of a filter.
func (a Action) code() uint32 {
	switch a.Kind {
	case KindAllow:
		return 0x7fff0000
	case KindLog:
		return 0x7ffc0000
	case KindErrno:
		return 0x00050000 | uint32(a.Data)
	case KindTrap:
		return 0x00030000 | uint32(a.Data)
	case KindKillThread:
		return 0
	default:
		return 0x80000000
	}
}

func (a Action) check() error {
	switch {
	case a.Kind < KindAllow || a.Kind > KindKillProcess:
		return fmt.Errorf("there is no action of kind %d", a.Kind)
	case a.Kind == KindErrno && a.Data > mostErrno:
		return fmt.Errorf("error number %d is above %d", a.Data, mostErrno)
	case a.Kind != KindErrno && a.Kind != KindTrap && a.Data != 0:
		return fmt.Errorf("only errno and trap have a number, and it is %d", a.Data)
	}
	return nil
}

func (c Condition) check() error {
	switch {
	case c.Argument > 5:
		return fmt.Errorf("there is no argument %d: they count from 0 to 5", c.Argument)
	case c.Operator < Equal || c.Operator > MaskedEqual:
		return fmt.Errorf("there is no operator %d", c.Operator)
	case c.Operator != MaskedEqual && c.Mask != 0:
		return fmt.Errorf("only a masked comparison has a mask, and it is %#x", c.Mask)
	case c.Operator == MaskedEqual && c.Value&^c.Mask != 0:
		return fmt.Errorf("value %#x has bits outside mask %#x and never matches", c.Value, c.Mask)
	}
	return nil
}

// Check tells what is wrong with a profile, nil if nothing is.
func (p Profile) Check() error {
	for _, a := range []struct {
		what   string
		action Action
	}{{"default", p.Default}, {"unknown", p.Unknown}, {"foreign", p.Foreign}} {
		if err := a.action.check(); err != nil {
			return fmt.Errorf("%s action: %w", a.what, err)
		}
	}
	if p.Foreign.permits() {
		return fmt.Errorf("foreign action: calls of an architecture without a table cannot be told apart and are not permitted")
	}
	refuses := !p.Default.permits()
	for i, r := range p.Rules {
		if err := r.check(); err != nil {
			return fmt.Errorf("rules[%d]: %w", i, err)
		}
		refuses = refuses || !r.Action.permits()
	}
	if !refuses {
		return fmt.Errorf("it refuses no call; a domain without a filter is of profile \"privileged\"")
	}
	return nil
}

// needed are the calls by which init becomes its program, or tells why it does not and ends.
var needed = []string{"execve", "exit_group", "write"}

// checkStart tells which call that every start needs a profile answers otherwise than by carrying it out, whatever its arguments; nil
// if there is none.
func (p Profile) checkStart(arch string) error {
	a := architectureOf(arch)
	if a == nil {
		return nil // it is not compiled
	}
	answers, numbers := p.answers(a), a.load().numbers
	for _, name := range needed {
		answer := answers[numbers[name]]
		if !answer.last.permits() && !slices.ContainsFunc(answer.rules, func(r Rule) bool { return r.Action.permits() }) {
			return fmt.Errorf("it never allows %s, without which no process starts; allow %s", name, strings.Join(needed, ", "))
		}
	}
	return nil
}

func (r Rule) check() error {
	if len(r.Names) == 0 {
		return fmt.Errorf("it names no call")
	}
	for _, name := range r.Names {
		if !known(name) {
			return fmt.Errorf("there is no system call %q", name)
		}
	}
	if err := r.Action.check(); err != nil {
		return err
	}
	for i, c := range r.When {
		if err := c.check(); err != nil {
			return fmt.Errorf("when[%d]: %w", i, err)
		}
	}
	return nil
}

// answer is how one call is answered: by the first rule whose conditions hold, else by last.
type answer struct {
	rules []Rule // without names
	last  Action
}

// answers gives that of each call of an architecture, by its number.
func (p Profile) answers(a *architecture) map[uint32]*answer {
	numbers := a.load().numbers
	all := make(map[uint32]*answer, len(numbers))
	settled := make(map[uint32]bool)
	for _, r := range p.Rules {
		for _, name := range r.Names {
			number, ok := numbers[name]
			if !ok || settled[number] {
				continue
			}
			if all[number] == nil {
				all[number] = &answer{last: p.Default}
			}
			if len(r.When) == 0 {
				all[number].last, settled[number] = r.Action, true
				continue
			}
			all[number].rules = append(all[number].rules, Rule{Action: r.Action, When: r.When})
		}
	}
	for _, number := range numbers {
		if all[number] == nil {
			all[number] = &answer{last: p.Default}
		}
		all[number].shorten()
	}
	return all
}

// shorten leaves out rules at the end that say what is said without them.
func (a *answer) shorten() {
	for n := len(a.rules); n > 0 && a.rules[n-1].Action == a.last; n = len(a.rules) {
		a.rules = a.rules[:n-1]
	}
}

// append writes what tells the rule from others.
func (r Rule) append(key []byte) []byte {
	key = append(key, byte(r.Action.Kind))
	key = binary.BigEndian.AppendUint16(key, r.Action.Data)
	key = binary.BigEndian.AppendUint32(key, uint32(len(r.When)))
	for _, c := range r.When {
		key = append(key, c.Argument, byte(c.Operator))
		key = binary.BigEndian.AppendUint64(key, c.Value)
		key = binary.BigEndian.AppendUint64(key, c.Mask)
	}
	key = binary.BigEndian.AppendUint32(key, uint32(len(r.Names)))
	for _, name := range r.Names {
		key = append(append(key, name...), 0)
	}
	return key
}

// key tells answers apart: equal ones share a leaf.
func (a *answer) key() string {
	var key []byte
	for _, r := range append(slices.Clone(a.rules), Rule{Action: a.last}) {
		key = r.append(key)
	}
	return string(key)
}

// key tells profiles apart, whatever they are called.
func (p Profile) key() []byte {
	key := make([]byte, 0, 16<<10)
	for _, a := range []Action{p.Default, p.Unknown, p.Foreign} {
		key = Rule{Action: a}.append(key)
	}
	key = append(key, 0)
	if p.Companion {
		key[len(key)-1] = 1
	}
	for _, r := range p.Rules {
		key = r.append(key)
	}
	return key
}
