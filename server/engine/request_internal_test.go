package engine

import (
	"crypto/sha256"
	"strconv"
	"testing"

	"google.golang.org/protobuf/types/known/anypb"
)

// Many requests after one that is under way make it no stranger; of those that are answered the oldest go.
func TestAnswersAreBoundedAndKeepWhatIsUnderWay(t *testing.T) {
	forgotten := 0
	table := answers{forget: func(*answer) { forgotten++ }}
	var body [sha256.Size]byte
	slow := answerKey{id: "slow"}
	first, _ := table.ask(slow, body)
	first.stored = true
	number := func(i int) answerKey { return answerKey{id: strconv.Itoa(i)} }
	const more = 10
	for i := range requestCount + more {
		a, standing := table.ask(number(i), body)
		if standing != standingNew {
			t.Fatalf("request %d was known", i)
		}
		a.stored = true
		table.give(a, new(anypb.Any), nil)
	}
	if again, standing := table.ask(slow, body); standing != standingKnown || again != first {
		t.Error("the request that is under way is not known")
	}
	if n := len(table.byKey); n != requestCount+1 || table.order.Len() != requestCount || forgotten != more {
		t.Errorf("%d requests are remembered, %d of them answered, %d forgotten; the limit is %d", n, table.order.Len(), forgotten, requestCount)
	}
	if _, standing := table.ask(number(more-1), body); standing != standingNew {
		t.Error("the oldest answer is remembered")
	}
	if _, standing := table.ask(number(more), body); standing != standingKnown {
		t.Error("an answer within the limit is forgotten")
	}
	table.give(first, nil, nil)
	if _, standing := table.ask(slow, body); standing != standingKnown {
		t.Error("what took long is forgotten as soon as it is answered")
	}
}
