package rpc_test

import (
	"context"
	"strings"
	"testing"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Who leaves a console and comes back at once finds it free, although the daemon may not have heard of the leave yet.
func TestConsoleIsFreeWhenItsHolderLeft(t *testing.T) {
	d := newDaemon(t)
	d.start()
	t.Cleanup(d.stop)
	d.run("web", "cat")
	for range 50 {
		ctx, leave := context.WithCancel(t.Context())
		d.console(ctx, &davitv1.ConsoleOpen{})
		leave()
	}
}

// Enter is "\r" on a keyboard and ends a line on a terminal.
func TestEnterEndsALine(t *testing.T) {
	d := newDaemon(t)
	d.start()
	t.Cleanup(d.stop)
	d.run("web", "cat")
	stream := d.console(t.Context(), &davitv1.ConsoleOpen{})
	if err := stream.Send(typing("hello\r")); err != nil {
		t.Fatal(err)
	}
	read(t, stream, strings.Repeat("hello\r\n", 2)) // the echo, and what the guest read
}
