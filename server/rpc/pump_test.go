package rpc_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// faultyDriver is a driver whose consoles die of input.
type faultyDriver struct{ driver.Driver }

type faultyInstance struct{ driver.Instance }

type faultyStream struct{ driver.Stream }

func (d faultyDriver) Start(ctx context.Context, spec driver.Spec) (driver.Instance, error) {
	i, err := d.Driver.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	return faultyInstance{i}, nil
}

func (i faultyInstance) OpenConsole(ctx context.Context, o driver.ConsoleOptions) (driver.Stream, error) {
	s, err := i.Instance.OpenConsole(ctx, o)
	if err != nil {
		return nil, err
	}
	return faultyStream{s}, nil
}

func (faultyStream) Send([]byte) error { panic("the keyboard is on fire") }

// A panic over a message of a stream costs that call and not the daemon.
func TestPanicOverInput(t *testing.T) {
	d := newDaemon(t)
	d.wrap = func(inner driver.Driver) driver.Driver { return faultyDriver{inner} }
	d.start()
	t.Cleanup(d.stop)
	d.run("web", "cat")
	stream := d.console(t.Context(), &davitv1.ConsoleOpen{})
	if err := stream.Send(typing("hello")); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Internal || reason(err) != davitv1.ErrorReason_ERROR_REASON_INTERNAL {
		t.Errorf("console ended with %v", err)
	}
	if _, err := d.domains.GetDomain(t.Context(), &davitv1.GetDomainRequest{Domain: byName("web")}); err != nil {
		t.Errorf("after that: %v", err)
	}
}
