package linear_test

import (
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// The check finds what it is there to find: histories of one domain table are taken, and what no table can have answered is not.
func TestCheckDetects(t *testing.T) {
	plain := image{kind: kindPlain, title: 1, memory: 1}
	define := question{verb: verbDefine, uuid: 1, name: 1, image: plain}
	other := question{verb: verbDefine, uuid: 2, name: 1, image: plain}
	get := question{verb: verbGet, name: 1}
	off := answer{view: view{uuid: 1, name: 1, persistent: true, title: 1, cond: domain.Condition{
		State: davitv1.DomainState_DOMAIN_STATE_SHUTOFF, Reason: davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_UNKNOWN,
	}}}
	on := off
	on.view.cond = domain.Condition{State: davitv1.DomainState_DOMAIN_STATE_RUNNING, Reason: davitv1.DomainReason_DOMAIN_REASON_RUNNING_BOOTED}
	rising := off
	rising.view.cond = domain.Starting
	begin := question{verb: verbStart, part: partBegin, id: 1, name: 1}
	end := question{verb: verbStart, part: partEnd, id: 1, name: 1}
	undefine := question{verb: verbUndefine, name: 1}
	rename := question{verb: verbRename, uuid: 2, to: 1}
	second := question{verb: verbDefine, uuid: 2, name: 2, image: plain}
	none, gone, taken := answer{}, answer{refused: notFound}, answer{refused: nameInUse}
	for name, c := range map[string]struct {
		legal   bool
		history []porcupine.Operation
	}{
		"one after the other":                  {true, []porcupine.Operation{op(0, 1, define, off), op(2, 3, get, off)}},
		"a look that is too late":              {false, []porcupine.Operation{op(0, 1, define, off), op(2, 3, get, gone)}},
		"a look meanwhile":                     {true, []porcupine.Operation{op(0, 3, define, off), op(1, 2, get, gone)}},
		"looks that go back":                   {false, []porcupine.Operation{op(0, 9, define, off), op(1, 2, get, off), op(3, 4, get, gone)}},
		"two have a name":                      {false, []porcupine.Operation{op(0, 9, define, off), op(0, 9, other, none)}},
		"one of two has a name":                {true, []porcupine.Operation{op(0, 9, define, off), op(0, 9, other, taken)}},
		"a start is seen":                      {true, []porcupine.Operation{op(0, 1, define, off), op(2, 9, begin, none), op(2, 9, end, on), op(3, 4, get, rising), op(5, 6, get, on)}},
		"a start goes back":                    {false, []porcupine.Operation{op(0, 1, define, off), op(2, 9, begin, none), op(2, 9, end, on), op(3, 4, get, on), op(5, 6, get, rising)}},
		"a name that is free is refused":       {false, []porcupine.Operation{op(0, 1, define, off), op(2, 3, second, none), op(4, 5, undefine, none), op(6, 7, rename, taken)}},
		"a name that is about to be free is":   {true, []porcupine.Operation{op(0, 1, define, off), op(2, 3, second, none), op(4, 7, undefine, none), op(5, 6, rename, taken)}},
		"a guest that is asked to end, ends":   {true, ended(define, off, begin, end, on, get, true)},
		"a guest that is not asked, runs":      {false, ended(define, off, begin, end, on, get, false)},
		"a title that nobody wrote is refused": {false, []porcupine.Operation{op(0, 1, define, answer{view: view{uuid: 1, name: 1, persistent: true, title: 2, cond: off.view.cond}})}},
	} {
		if got := porcupine.CheckOperations(model(), c.history); got != c.legal {
			t.Errorf("%s: %t, want %t", name, got, c.legal)
		}
	}
}

// ended is a history of a domain that is found shut off, and of one who asked for that.
func ended(define question, off answer, begin, end question, on answer, get question, asked bool) []porcupine.Operation {
	stopped := off
	stopped.view.cond.Reason = davitv1.DomainReason_DOMAIN_REASON_SHUTOFF_SHUTDOWN
	all := []porcupine.Operation{op(0, 1, define, off), op(2, 3, begin, answer{}), op(2, 3, end, on), op(6, 7, get, stopped)}
	if asked {
		all = append(all, op(4, 5, question{verb: verbShutdown, name: 1}, answer{}))
	}
	return all
}

func op(call, back int64, q question, a answer) porcupine.Operation {
	return porcupine.Operation{Input: q, Output: a, Call: call, Return: back}
}
