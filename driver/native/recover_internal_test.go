package native

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/monitor/client"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A monitor that takes connections and hangs up, as one does that is being killed, is asked anew until nobody listens.
func TestConnectToADyingMonitor(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, client.MonitorSocket))
	if err != nil {
		t.Fatal(err)
	}
	const connections = 5
	served := make(chan int, 1)
	go func() {
		n := 0
		for ; n < connections; n++ {
			c, acceptErr := l.Accept()
			if acceptErr != nil {
				break
			}
			_ = c.Close()
		}
		_ = l.Close()
		served <- n
	}()
	folder, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	i := &instance{spec: driver.Spec{Definition: &davitv1.Domain{Name: "web"}}, folder: folder}
	if alive, err := i.connect(t.Context()); alive || err != nil {
		t.Errorf("alive %v, %v", alive, err)
	}
	if n := <-served; n != connections {
		t.Errorf("it was asked %d times, want %d", n, connections)
	}
}

// A change of devices of a domain that has just ended says so, and not what of the change was tried first.
func TestChangeOfAnEndedDomain(t *testing.T) {
	i := &instance{spec: driver.Spec{Definition: &davitv1.Domain{Name: "web"}}}
	told := &client.Error{Operation: "join container", Message: "it has ended", Kind: monitorv1.ErrorKind_ERROR_KIND_STATE}
	e, ok := errors.AsType[*domain.Error](i.deviceFailed(i.spec.Definition, nil, told))
	if !ok || e.Code != codes.FailedPrecondition || e.Reason != davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE || e.Message != "the domain has ended" {
		t.Errorf("%+v", e)
	}
	if err := i.deviceFailed(i.spec.Definition, nil, unix.EPIPE); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("without a monitor: %v", err)
	}
}
