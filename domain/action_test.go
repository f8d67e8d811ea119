package domain_test

import (
	"strings"
	"testing"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestActionOn: every action comes down to destroy or restart, as its own word says.
func TestActionOn(t *testing.T) {
	const destroy, restart = davitv1.LifecycleAction_LIFECYCLE_ACTION_DESTROY, davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART
	values := davitv1.LifecycleAction(0).Descriptor().Values()
	for i := range values.Len() {
		said := davitv1.LifecycleAction(values.Get(i).Number())
		want := destroy
		if strings.HasSuffix(said.String(), "RESTART") {
			want = restart
		}
		if got := domain.ActionOn(said, destroy); got != want {
			t.Errorf("%s comes down to %s, want %s", said, got, want)
		}
	}
	if got := domain.ActionOn(0, restart); got != restart {
		t.Errorf("where nothing is said %s follows, want restart", got)
	}
}
