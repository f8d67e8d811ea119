package remotedriver_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/drivertest"
	"github.com/davitd/davit/driver/native"
	"github.com/davitd/davit/internal/changetest"
	"github.com/davitd/davit/internal/remotedriver"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/engine"
	"github.com/davitd/davit/server/events"
	"github.com/davitd/davit/server/rpc"
	"github.com/davitd/davit/server/store"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// daemon is a daemon on the native driver with its folders in a folder of the test; to close its driver stops it, to
// open the next starts it on the same state.
type daemon struct {
	dir    string
	guest  string
	memory remotedriver.Memory
}

// What a driver promises holds for real containers, seen through the whole daemon.
func TestConformance(t *testing.T) {
	drivertest.Run(t, func(t *testing.T) drivertest.Factory {
		t.Helper()
		return newDaemon(t)
	})
}

// newDaemon makes the folders of a daemon, where the host has what the native driver needs.
func newDaemon(t *testing.T) *daemon {
	t.Helper()
	testenv.Require(t, testenv.Root, testenv.UserNS, testenv.Overlay, testenv.Cgroup)
	testenv.Residue(t)
	d := &daemon{dir: t.TempDir()}
	d.guest = filepath.Join(d.dir, "guest")
	program := testenv.Build(t, "./driver/native/testdata/guest")
	if err := os.Mkdir(d.guest, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"reboot", "poweroff"} {
		if err := copyProgram(program, filepath.Join(d.guest, name)); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// What the daemon says of changes is true of real containers.
func TestChanges(t *testing.T) {
	d := newDaemon(t)
	conn, stop := d.serve(t)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	changetest.Run(t, davitv1.NewDomainServiceClient(conn), &davitv1.Domain{
		Type: davitv1.DomainType_DOMAIN_TYPE_LXC, Name: "web", Uuid: domain.NewUUID(), MemoryKib: 131072, Partition: "/test-davit",
		Os:      &davitv1.Os{Type: "exe", Init: "/bin/sleep", Initarg: []string{"infinity"}},
		Devices: &davitv1.Devices{Filesystem: []*davitv1.Filesystem{{SourceDir: "/", TargetDir: "/", Readonly: true}}},
	})
}

func copyProgram(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

func (d *daemon) Omit() map[string]string { return remotedriver.Omitted() }

// Complete adds the programs of the guest.
func (d *daemon) Complete(_ *testing.T, def *davitv1.Domain) {
	def.Partition = "/test-davit"
	def.Devices.Filesystem = append(def.Devices.Filesystem, &davitv1.Filesystem{
		Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: d.guest, TargetDir: "/guest", Readonly: true,
	})
}

// Open starts the daemon.
func (d *daemon) Open(t *testing.T) driver.Driver {
	t.Helper()
	conn, stop := d.serve(t)
	return remotedriver.New(conn, &d.memory, stop)
}

// serve starts the daemon and connects to it.
func (d *daemon) serve(t *testing.T) (conn *grpc.ClientConn, stop func() error) {
	t.Helper()
	states, err := store.Open(store.Options{LibDir: d.dir + "/lib", RunDir: d.dir + "/run"})
	if err != nil {
		t.Fatal(err)
	}
	journal, err := events.Open(d.dir+"/events", events.Options{})
	if err != nil {
		t.Fatal(err)
	}
	containers, err := native.New(native.Options{
		RunDir: d.dir + "/run", StateDir: d.dir + "/run/d", UpperDir: d.dir + "/upper",
		MonitorPath: testenv.Binary(t, "davit-monitor"), Instance: states.Instance(),
		Pool: native.Pool{Dir: d.dir + "/ids"},
	})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Options{
		Driver: containers, Store: states, Journal: journal, Host: domain.HostDefaults{Arch: "x86_64"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err = e.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	unary, stream := rpc.Interceptors()
	server, listener := grpc.NewServer(grpc.UnaryInterceptor(unary), grpc.StreamInterceptor(stream)), bufconn.Listen(1<<20)
	rpc.Register(server, e, rpc.Options{})
	served := make(chan error, 1)
	go func() {
		end := server.Serve(listener)
		if errors.Is(end, grpc.ErrServerStopped) {
			end = nil // it was stopped before it began
		}
		served <- end
	}()
	conn, err = grpc.NewClient("passthrough:///daemon", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	return conn, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		hard := time.AfterFunc(10*time.Second, server.Stop)
		defer hard.Stop()
		closed := make(chan error, 1)
		go func() { closed <- e.Close(ctx) }()
		server.GracefulStop()
		return errors.Join(<-closed, <-served, conn.Close(), containers.Close(), journal.Close(), states.Close())
	}
}
