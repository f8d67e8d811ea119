package wire_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// foreign is an error of another package that knows how it travels.
type foreign struct{ error }

func (foreign) ToProto() *monitorv1.Error {
	return &monitorv1.Error{Operation: "mount", Object: "/proc", Step: 3}
}

// An error is the same on the other end, whatever it was made of.
func TestErrorTravels(t *testing.T) {
	own := &wire.Error{
		Operation: "open console", Object: "console0", Errno: syscall.EIO, Message: "m", Step: 4,
		Kind: monitorv1.ErrorKind_ERROR_KIND_BUSY,
	}
	for _, test := range []struct {
		err  error
		want *wire.Error
		text string
	}{
		{own, own, `open console "console0": m: input/output error`},
		{fmt.Errorf("wrapped: %w", own), own, `open console "console0": m: input/output error`},
		{foreign{errors.New("x")}, &wire.Error{Operation: "mount", Object: "/proc", Step: 3}, `mount "/proc"`},
		{
			fmt.Errorf("mount proc: %w", syscall.EPERM),
			&wire.Error{Operation: "mount proc", Errno: syscall.EPERM}, "mount proc: operation not permitted",
		},
		{errors.New("plain"), &wire.Error{Message: "plain"}, "plain"},
	} {
		got := wire.FromProto(wire.ToProto(test.err))
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.err, diff)
		}
		if got.Error() != test.text {
			t.Errorf("text is %q, want %q", got, test.text)
		}
	}
	if err := wire.FromProto(nil); err != nil {
		t.Errorf("no error gives %v", err)
	}
	if err := wire.FromProto(wire.ToProto(fmt.Errorf("x: %w", syscall.ENOENT))); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("%v is not ENOENT", err)
	}
}
