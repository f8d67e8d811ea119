package native

import (
	"context"
	"testing"
	"time"

	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Whoever changes interfaces holds the wiring, and may find that the monitor was killed: the domain is adopted then, though a boot of
// the monitor before waits to be furnished.
func TestAdoptedWhileWiring(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	i := &instance{spec: driver.Spec{Definition: &davitv1.Domain{}}}
	before := &furnishing{cancel, make(chan struct{})}
	i.furnishing = before
	i.wiring.Lock()
	go func() {
		defer close(before.done)
		<-ctx.Done()
		i.wiring.Lock() // as attach does
		defer i.wiring.Unlock()
	}()
	resumed := make(chan error, 1)
	go func() { resumed <- i.resumeFurnishing(t.Context()) }()
	select {
	case err := <-resumed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(testenv.Scale(time.Minute)):
		t.Error("the furnishing of a boot is waited for that waits for the wiring")
	}
	i.wiring.Unlock()
	<-before.done
}
