package cli_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/client/cli"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func TestNotations(t *testing.T) {
	ev := &davitv1.Event{
		Position: &davitv1.EventPosition{Epoch: "1e3", Sequence: 18446744073709551615},
		Time:     timestamppb.New(time.Date(2026, 11, 24, 9, 0, 0, 500000000, time.UTC)),
		Name:     "no: \"<web>\" & é\x1b",
		Kind:     &davitv1.Event_Reboot{Reboot: &davitv1.RebootEvent{Count: 2, Backoff: durationpb.New(1500 * time.Millisecond)}},
	}
	life := &davitv1.LifecycleEvent{
		Type: davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_STOPPED, State: 99,
		Exit: &davitv1.Exit{How: &davitv1.Exit_Code{}},
	}
	tests := []struct{ name, got, want string }{
		{"json", must(cli.EncodeJSON(ev)), `{"position":{"epoch":"1e3","sequence":18446744073709551615},"time":"2026-11-24T09:00:00.5Z","uuid":"",` +
			`"name":"no: \"<web>\" & é\u001b","id":0,"reboot":{"count":2,"backoff":"1.5s"}}`},
		{"yaml", must(cli.EncodeYAML(ev)), "position:\n  epoch: \"1e3\"\n  sequence: 18446744073709551615\ntime: \"2026-11-24T09:00:00.5Z\"\n" +
			"uuid: \"\"\nname: \"no: \\\"<web>\\\" & é\\e\"\nid: 0\nreboot:\n  count: 2\n  backoff: 1.5s\n"},
		{
			"controls that only JSON holds", must(cli.EncodeYAML(&davitv1.ExecStarted{ExecId: "\x7f\u0085\u009b\ufffe"})),
			"exec_id: \"\\x7F\\N\\x9B\\uFFFE\"\npid: 0\n",
		},
		{
			"a value of a later version, and a zero that was chosen", must(cli.EncodeJSON(life)),
			`{"type":"stopped","state":99,"exit":{"code":0,"oom_killed":false}}`,
		},
		{
			"lists", must(cli.EncodeJSON(&davitv1.Process{Pid: 1, Argv: []string{"a", "b"}})),
			`{"pid":1,"guest_pid":0,"ppid":0,"comm":"","argv":["a","b"],"state":"","uid":0}`,
		},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, tt.got, tt.want)
		}
	}
}

func must(text string, err error) string {
	if err != nil {
		return err.Error()
	}
	return text
}
