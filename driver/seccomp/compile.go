package seccomp

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Where struct seccomp_data has what filters read.
const (
	offsetNumber    = 0
	offsetArch      = 4
	offsetArguments = 16
)

// compiled keeps the program of each profile, so that a start costs a look-up.
var compiled = cache{programs: make(map[string]Program)}

type cache struct {
	mu       sync.Mutex
	programs map[string]Program
}

// mostCompiled bounds what the cache holds. Hosts have a handful of profiles; one that is edited again and again makes no daemon grow.
const mostCompiled = 16

// Compile makes the program of a profile for processes of arch, by Go's name. The same profile is compiled once.
func (p Profile) Compile(arch string) (Program, error) {
	compiled.mu.Lock()
	defer compiled.mu.Unlock()
	key := append(p.key(), arch...)
	if program, ok := compiled.programs[string(key)]; ok {
		return program, nil
	}
	program, err := p.compile(arch)
	if err != nil {
		return Program{}, err
	}
	if len(compiled.programs) >= mostCompiled {
		clear(compiled.programs)
	}
	compiled.programs[string(key)] = program
	return program, nil
}

func (p Profile) compile(arch string) (Program, error) {
	native := architectureOf(arch)
	if native == nil {
		return Program{}, &domain.Error{
			Code: codes.Unimplemented, Reason: davitv1.ErrorReason_ERROR_REASON_HOST_UNSUPPORTED, Op: "compile seccomp profile", Subject: p.Name,
			Message: fmt.Sprintf("there is no table of system calls for architecture %q, only for %s", arch, strings.Join(Architectures(), ", ")),
			Detail:  map[string]string{"arch": arch},
		}
	}
	if err := p.Check(); err != nil {
		return Program{}, p.invalid(err)
	}
	a := &assembler{returns: make(map[uint32]label)}
	next := a.ret(p.Foreign.code())
	if companion := architectureOf(native.companion); p.Companion && companion != nil {
		tree := p.tree(a, companion)
		next = a.branch(opEqual, companion.audit, tree, next)
	}
	tree := p.tree(a, native)
	next = a.branch(opEqual, native.audit, tree, next)
	a.then(instruction{code: opLoad, k: offsetArch}, next)
	if n := len(a.reversed); n > MostInstructions {
		return Program{}, p.invalid(fmt.Errorf("its program has %d instructions, above the kernel's %d; give fewer conditions", n, MostInstructions))
	}
	return a.program(), nil
}

func (p Profile) invalid(err error) error {
	return &domain.Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_CONFIG_UNSUPPORTED, Op: "compile seccomp profile", Subject: p.Name, Err: err,
	}
}

// span is the numbers from first up to the next span's, which are all answered the same.
type span struct {
	first uint32
	key   string
	*answer
}

// spans cover all numbers there are.
func (p Profile) spans(a *architecture) []span {
	var all []span
	add := func(first uint32, what *answer) {
		key := what.key()
		if n := len(all); n > 0 && all[n-1].first == first {
			all = all[:n-1]
		}
		if n := len(all); n == 0 || all[n-1].key != key {
			all = append(all, span{first: first, key: key, answer: what})
		}
	}
	unknown := &answer{last: p.Unknown}
	answers := p.answers(a)
	add(0, unknown)
	for _, number := range a.load().sorted {
		add(number, answers[number])
		add(number+1, unknown)
	}
	if a.x32 && p.Unknown.permits() { // no call may have two numbers of which rules see one
		add(x32, &answer{last: Errno(enosys)})
	}
	return all
}

// tree writes what answers the calls of one architecture.
func (p Profile) tree(a *assembler, arch *architecture) label {
	return a.then(instruction{code: opLoad, k: offsetNumber}, a.choose(p.spans(arch)))
}

// choose writes a balanced tree over spans.
func (a *assembler) choose(spans []span) label {
	if len(spans) == 1 {
		return a.answer(spans[0].answer)
	}
	middle := len(spans) / 2
	high := a.choose(spans[middle:])
	low := a.choose(spans[:middle])
	return a.branch(opGreaterOrEqual, spans[middle].first, high, low)
}

// answer writes a leaf.
func (a *assembler) answer(what *answer) label {
	next := a.ret(what.last.code())
	for _, r := range slices.Backward(what.rules) {
		yes := a.ret(r.Action.code())
		for _, c := range slices.Backward(r.When) {
			yes = a.condition(c, yes, next)
		}
		next = yes
	}
	return next
}

// condition goes on at yes if it holds, else at no.
func (a *assembler) condition(c Condition, yes, no label) label {
	switch c.Operator {
	case Equal:
		return a.equal(c, 1<<64-1, yes, no)
	case NotEqual:
		return a.equal(c, 1<<64-1, no, yes)
	case MaskedEqual:
		return a.equal(c, c.Mask, yes, no)
	case Greater:
		return a.above(c, opGreater, yes, no)
	case GreaterOrEqual:
		return a.above(c, opGreaterOrEqual, yes, no)
	case Less:
		return a.above(c, opGreaterOrEqual, no, yes)
	default:
		return a.above(c, opGreater, no, yes)
	}
}

// equal compares the halves that the mask has bits of.
func (a *assembler) equal(c Condition, mask uint64, yes, no label) label {
	yes = a.half(offsetArguments+8*uint32(c.Argument), uint32(mask), uint32(c.Value), yes, no)
	return a.half(offsetArguments+8*uint32(c.Argument)+4, uint32(mask>>32), uint32(c.Value>>32), yes, no)
}

func (a *assembler) half(offset, mask, value uint32, yes, no label) label {
	if mask == 0 || yes == no {
		return yes
	}
	next := a.branch(opEqual, value, yes, no)
	if mask != 1<<32-1 {
		next = a.then(instruction{code: opAnd, k: mask}, next)
	}
	return a.then(instruction{code: opLoad, k: offset}, next)
}

// above compares the upper halves, and the lower ones by op where those are equal.
func (a *assembler) above(c Condition, op uint16, yes, no label) label {
	if yes == no {
		return yes
	}
	offset := offsetArguments + 8*uint32(c.Argument)
	low := a.then(instruction{code: opLoad, k: offset}, a.branch(op, uint32(c.Value), yes, no))
	same := a.branch(opEqual, uint32(c.Value>>32), low, no)
	return a.then(instruction{code: opLoad, k: offset + 4}, a.branch(opGreater, uint32(c.Value>>32), yes, same))
}
