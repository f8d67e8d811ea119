package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/driver/monitor/policy"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

func code(n uint32) *monitorv1.Exit   { return &monitorv1.Exit{How: &monitorv1.Exit_Code{Code: n}} }
func signal(n uint32) *monitorv1.Exit { return &monitorv1.Exit{How: &monitorv1.Exit_Signal{Signal: n}} }

func TestCause(t *testing.T) {
	for name, test := range map[string]struct {
		exit *monitorv1.Exit
		want monitorv1.Cause
	}{
		"exit 0":         {code(0), monitorv1.Cause_CAUSE_POWEROFF},
		"exit 3":         {code(3), monitorv1.Cause_CAUSE_POWEROFF},
		"reboot to halt": {signal(2), monitorv1.Cause_CAUSE_POWEROFF},
		"reboot":         {signal(1), monitorv1.Cause_CAUSE_REBOOT},
		"kill":           {signal(9), monitorv1.Cause_CAUSE_CRASH},
		"segfault":       {signal(11), monitorv1.Cause_CAUSE_CRASH},
		"unknown":        {&monitorv1.Exit{How: &monitorv1.Exit_Unknown{Unknown: true}}, monitorv1.Cause_CAUSE_UNSPECIFIED},
		"nothing":        {nil, monitorv1.Cause_CAUSE_UNSPECIFIED},
	} {
		if got := policy.Cause(test.exit); got != test.want {
			t.Errorf("%s: cause %v, want %v", name, got, test.want)
		}
	}
}

// Only what the policy says to restart is restarted.
func TestAction(t *testing.T) {
	restart, destroy := monitorv1.Action_ACTION_RESTART, monitorv1.Action_ACTION_DESTROY
	causes := []monitorv1.Cause{
		monitorv1.Cause_CAUSE_UNSPECIFIED, monitorv1.Cause_CAUSE_POWEROFF, monitorv1.Cause_CAUSE_REBOOT,
		monitorv1.Cause_CAUSE_CRASH,
	}
	for _, test := range []struct {
		name   string
		policy *monitorv1.Policy
		want   []monitorv1.Action
	}{
		{"none", nil, []monitorv1.Action{destroy, destroy, destroy, destroy}},
		{"empty", &monitorv1.Policy{}, []monitorv1.Action{destroy, destroy, destroy, destroy}},
		{"poweroff", &monitorv1.Policy{OnPoweroff: restart}, []monitorv1.Action{destroy, restart, destroy, destroy}},
		{"reboot", &monitorv1.Policy{OnReboot: restart}, []monitorv1.Action{destroy, destroy, restart, destroy}},
		{"crash", &monitorv1.Policy{OnCrash: restart}, []monitorv1.Action{destroy, destroy, destroy, restart}},
		{"of a later release", &monitorv1.Policy{OnCrash: 99}, []monitorv1.Action{destroy, destroy, destroy, destroy}},
	} {
		var got []monitorv1.Action
		for _, cause := range causes {
			got = append(got, policy.Action(test.policy, cause))
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("policy %q (-want +got):\n%s", test.name, diff)
		}
	}
}
