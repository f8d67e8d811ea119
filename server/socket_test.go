package server_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/fake"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server"
)

func itoa(n uintptr) string { return strconv.FormatUint(uint64(n), 10) }

// answers tells whether a daemon answers on a socket.
func answers(t *testing.T, path string) error {
	t.Helper()
	_, err := davitv1.NewHostServiceClient(dial(t, path)).GetVersion(t.Context(), &davitv1.GetVersionRequest{})
	return err
}

// The path of a folder may be much longer than a socket's can.
func TestLongPaths(t *testing.T) {
	root := filepath.Join(t.TempDir(), strings.Repeat("long/", 60))
	if err := os.MkdirAll(root, 0o700); err != nil {
		t.Fatal(err)
	}
	h := start(t, root)
	if err := answers(t, h.path(server.AdminSocket)); err != nil {
		t.Error(err)
	}
}

func TestModesAndGroup(t *testing.T) {
	testenv.Require(t, testenv.Root)
	for group, want := range map[string]fs.FileMode{"": 0o600, "4242": 0o660} {
		h := start(t, t.TempDir(), func(o *server.Options) { o.Config.Socket.Group = group })
		info, err := os.Stat(h.path(server.AdminSocket))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("group %q: mode is %#o, want %#o", group, info.Mode().Perm(), want)
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); group != "" && (!ok || owner.Gid != 4242) {
			t.Errorf("socket belongs to %+v", owner)
		}
		if info, err = os.Stat(h.path(server.ReadOnlySocket)); err != nil || info.Mode().Perm() != 0o666 {
			t.Errorf("read-only socket: %v, %v", info.Mode(), err)
		}
	}
	h := start(t, t.TempDir(), func(o *server.Options) { o.Config.Socket.ReadOnly = false })
	if _, err := os.Lstat(h.path(server.ReadOnlySocket)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read-only socket is there: %v", err)
	}
}

// A socket that a killed daemon left is replaced; one on which somebody listens, or a file, is not.
func TestWhatIsInTheSocketsPlace(t *testing.T) {
	try := func(t *testing.T, root string) error {
		t.Helper()
		c := server.Rooted(root)
		s, err := server.New(server.Options{
			Config: c, Logger: zap.NewNop(),
			Driver: func(server.Config, string, *zap.Logger) (driver.Driver, error) { return fake.New(fake.Options{}), nil },
		})
		if err == nil {
			err = s.Close()
		}
		return err
	}
	place := func(t *testing.T) (root, path string) {
		t.Helper()
		root = t.TempDir()
		if err := os.Mkdir(filepath.Join(root, "run"), 0o711); err != nil {
			t.Fatal(err)
		}
		return root, filepath.Join(root, "run", server.AdminSocket)
	}
	listen := func(t *testing.T, path string) *net.UnixListener {
		t.Helper()
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	t.Run("stale socket", func(t *testing.T) {
		root, path := place(t)
		_ = listen(t, path).Close()
		h := start(t, root)
		if err := answers(t, h.path(server.AdminSocket)); err != nil {
			t.Error(err)
		}
	})
	t.Run("left half made", func(t *testing.T) {
		root, path := place(t)
		_ = listen(t, filepath.Join(filepath.Dir(path), ".new-"+server.AdminSocket)).Close()
		if err := try(t, root); err != nil {
			t.Error(err)
		}
	})
	t.Run("socket of another program", func(t *testing.T) {
		root, path := place(t)
		listen(t, path)
		err := try(t, root)
		var e *domain.Error
		if !errors.As(err, &e) || e.Reason != davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY {
			t.Errorf("error is %v", err)
		}
		if _, err := net.Dial("unix", path); err != nil {
			t.Errorf("the other program lost its socket: %v", err)
		}
	})
	t.Run("file", func(t *testing.T) {
		root, path := place(t)
		if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := try(t, root); err == nil || !strings.Contains(err.Error(), "not a socket") {
			t.Errorf("error is %v", err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
			t.Errorf("the file is %q, %v", text, err)
		}
	})
}

func TestTwoDaemonsSideBySide(t *testing.T) {
	one, two := start(t, t.TempDir()), start(t, t.TempDir())
	for _, h := range []*house{one, two} {
		if err := answers(t, h.path(server.AdminSocket)); err != nil {
			t.Error(err)
		}
	}
	_, err := server.New(server.Options{
		Config: one.config, Logger: zap.NewNop(),
		Driver: func(server.Config, string, *zap.Logger) (driver.Driver, error) { return fake.New(fake.Options{}), nil },
	})
	if err == nil || !strings.Contains(err.Error(), "pid "+strconv.Itoa(os.Getpid())) {
		t.Errorf("a second daemon on the same state: %v", err)
	}
	if err := answers(t, one.path(server.AdminSocket)); err != nil {
		t.Errorf("the first daemon after it: %v", err)
	}
}

// Sockets of systemd are taken as they are; the daemon neither makes nor removes them.
func TestSocketsThatWereHandedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "given")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	h := start(t, t.TempDir(), func(o *server.Options) {
		o.Sockets = map[string]net.Listener{server.AdminSocket: l}
	})
	if err := answers(t, path); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(h.path(server.AdminSocket)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a second admin socket: %v", err)
	}
}
