package launch

import (
	"context"
	"fmt"
	"os"
)

// opFurnish is what is tried while others put into the container's network namespace what belongs there.
const opFurnish = "furnish network namespace"

// furnishing is what others were asked to put into a network namespace.
type furnishing struct {
	callOff context.CancelFunc
	wait    func() error
}

// furnishAhead asks others as the launch begins, where the container has its network namespace already: they do it while all else is
// made.
func (l *launcher) furnishAhead() error {
	if l.descriptors.Furnish == nil || l.ahead == nil || !l.plan.GetNamespaces().GetNet() {
		return nil
	}
	netns, err := duplicate(l.ahead.Network())
	if err != nil {
		return failed(step{operation: opFurnish}, err)
	}
	l.furnish(netns)
	return nil
}

// unfurnished is the network namespace of the child, if others are yet to put something there; nil for a container without one of its
// own. It is looked up by the number of the child, which waits yet.
func (l *launcher) unfurnished(pid int) (*os.File, error) {
	if l.descriptors.Furnish == nil || l.furnishing != nil || !l.plan.GetNamespaces().GetNet() {
		return nil, nil
	}
	netns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, failed(step{operation: opFurnish}, err)
	}
	return netns, nil
}

// furnish asks others, if any, to put into a network namespace what belongs there, unless they were asked already. The file is ours.
func (l *launcher) furnish(netns *os.File) {
	if l.descriptors.Furnish == nil || l.furnishing != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	wait := l.descriptors.Furnish(ctx, netns)
	l.furnishing = &furnishing{callOff: cancel, wait: func() error {
		defer cancel()
		defer closeAll([]*os.File{netns})
		return wait()
	}}
}

// furnished waits until those who were asked are done.
func (l *launcher) furnished() error {
	f := l.furnishing
	if f == nil {
		return nil
	}
	l.furnishing = nil
	if err := f.wait(); err != nil {
		return failed(step{operation: opFurnish}, err)
	}
	return nil
}

// callOffFurnishing tells those who were asked that it is of no use any more.
func (l *launcher) callOffFurnishing() {
	if l.furnishing != nil {
		l.furnishing.callOff()
		_ = l.furnished()
	}
}
