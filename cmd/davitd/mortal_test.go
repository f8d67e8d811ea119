package main

import (
	"context"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/server"
)

// points are where a start can be cut: what comes before the name is done, what comes after is not.
var points = []string{
	"intent is stored",  // the driver was not asked yet
	"container is made", // the driver has not answered yet
	"event is received", // the engine has not seen the driver's event
	"event is stored",   // the driver does not know that it is
	"event is acknowledged",
}

// mortal makes drivers whose daemon kills itself at a point; without one they are as ever.
func mortal(point string, open driverMaker) driverMaker {
	if point == "" {
		return open
	}
	return func(c server.Config, instance string, log *zap.Logger) (driver.Driver, error) {
		d, err := open(c, instance, log)
		if err != nil {
			return nil, err
		}
		return &mortalDriver{Driver: d, point: point}, nil
	}
}

type mortalDriver struct {
	driver.Driver
	point string
}

func (d *mortalDriver) reach(point string) {
	if point == d.point {
		_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
		select {}
	}
}

func (d *mortalDriver) Start(ctx context.Context, spec driver.Spec) (driver.Instance, error) {
	d.reach("intent is stored")
	i, err := d.Driver.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	d.reach("container is made")
	return &mortalInstance{Instance: i, driver: d}, nil
}

func (d *mortalDriver) Recover(ctx context.Context, spec driver.Spec) (driver.Instance, error) {
	d.reach("run is to be found")
	i, err := d.Driver.Recover(ctx, spec)
	d.reach("run is found")
	return i, err
}

func (d *mortalDriver) Sweep(ctx context.Context, keep []driver.Ref) error {
	d.reach("rest is to be swept")
	return d.Driver.Sweep(ctx, keep)
}

type mortalInstance struct {
	driver.Instance
	driver *mortalDriver
}

func (i *mortalInstance) Events(ctx context.Context, after uint64) (<-chan driver.Event, error) {
	from, err := i.Instance.Events(ctx, after)
	if err != nil {
		return nil, err
	}
	to := make(chan driver.Event)
	go func() {
		defer close(to)
		for ev := range from {
			i.driver.reach("event is received")
			select {
			case to <- ev:
			case <-ctx.Done():
			}
		}
	}()
	return to, nil
}

func (i *mortalInstance) Acknowledge(ctx context.Context, sequence uint64) error {
	i.driver.reach("event is stored")
	err := i.Instance.Acknowledge(ctx, sequence)
	i.driver.reach("event is acknowledged")
	return err
}

func (i *mortalInstance) Kill(ctx context.Context) error {
	i.driver.reach("container is to be killed")
	err := i.Instance.Kill(ctx)
	i.driver.reach("container is killed")
	return err
}

func (i *mortalInstance) Release(ctx context.Context) error {
	i.driver.reach("container is to be released")
	err := i.Instance.Release(ctx)
	i.driver.reach("container is released")
	return err
}
