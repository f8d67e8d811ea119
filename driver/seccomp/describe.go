package seccomp

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Section is what a profile says of a group of calls, for people.
type Section struct {
	Title string
	// Why the group is not for everybody.
	Why   string
	Lines []Line
}

// Line is calls that are answered alike.
type Line struct {
	// Names of calls, sorted.
	Names []string
	// Answer is how: "EPERM", "ends the process", "allowed".
	Answer string
	// Except are the conditions under which it is another, in their order: "allowed for AF_UNIX, AF_INET".
	Except []string
}

// Describe tells which calls a profile refuses, and which it answers by their arguments, group by group. Groups that are
// permitted without conditions are left out.
func Describe(p Profile) []Section {
	var sections []Section
	for _, g := range Groups() {
		s := Section{Title: g.Title, Why: g.Why}
		slices.Sort(g.Names)
		for _, name := range g.Names {
			s.add(name, p)
		}
		if len(s.Lines) > 0 {
			sections = append(sections, s)
		}
	}
	return sections
}

// add puts a call to those that are answered alike.
func (s *Section) add(name string, p Profile) {
	answer, except := p.describe(name)
	if answer == Allow && len(except) == 0 {
		return
	}
	text := answer.String()
	i := slices.IndexFunc(s.Lines, func(l Line) bool { return l.Answer == text && slices.Equal(l.Except, except) })
	if i < 0 {
		s.Lines = append(s.Lines, Line{Answer: text, Except: except})
		i = len(s.Lines) - 1
	}
	s.Lines[i].Names = append(s.Lines[i].Names, name)
}

// describe is the answer to a call whatever its arguments are, and the exceptions.
func (p Profile) describe(name string) (answer Action, except []string) {
	answer = p.Default
	var rules []Rule
	for _, r := range p.Rules {
		if !slices.Contains(r.Names, name) {
			continue
		}
		if len(r.When) == 0 {
			answer = r.Action
			break
		}
		rules = append(rules, r)
	}
	for len(rules) > 0 && rules[len(rules)-1].Action == answer { // it says what is said without it
		rules = rules[:len(rules)-1]
	}
	for i, r := range rules {
		what := r.Comment
		if what == "" {
			var conditions []string
			for _, c := range r.When {
				conditions = append(conditions, c.String())
			}
			what = strings.Join(conditions, " and ")
		}
		if i > 0 && r.Action == rules[i-1].Action {
			except[len(except)-1] += ", " + what
			continue
		}
		except = append(except, r.Action.String()+" for "+what)
	}
	return answer, except
}

// String is what becomes of the call: "allowed", "EPERM".
func (a Action) String() string {
	switch a.Kind {
	case KindAllow:
		return "allowed"
	case KindLog:
		return "allowed and logged"
	case KindErrno:
		if name := unix.ErrnoName(unix.Errno(a.Data)); name != "" {
			return name
		}
		return fmt.Sprintf("error %d", a.Data)
	case KindTrap:
		return "SIGSYS"
	case KindKillThread:
		return "ends the thread"
	case KindKillProcess:
		return "ends the process"
	default:
		return fmt.Sprintf("action %d", a.Kind)
	}
}

var operatorSigns = map[Operator]string{Equal: "=", NotEqual: "≠", Greater: ">", GreaterOrEqual: "≥", Less: "<", LessOrEqual: "≤"}

// String is the condition as a formula: "argument 1 & 0xffffffff = 0x5412".
func (c Condition) String() string {
	if c.Operator == MaskedEqual {
		return fmt.Sprintf("argument %d & %#x = %#x", c.Argument, c.Mask, c.Value)
	}
	return fmt.Sprintf("argument %d %s %#x", c.Argument, operatorSigns[c.Operator], c.Value)
}
