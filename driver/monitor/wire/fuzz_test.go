package wire_test

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// FuzzReceive feeds a connection with any bytes, and any number of descriptors beside any byte of them. Whatever comes,
// receiving ends, what is accepted obeys the rules, and no descriptor stays open.
func FuzzReceive(f *testing.F) {
	f.Add([]byte{}, uint8(0), uint8(0))
	f.Add(frame(nil), uint8(0), uint8(0))
	f.Add(frame([]byte{0x7a, 1, 6}), uint8(1), uint8(0))
	f.Add(append(frame(nil), frame([]byte{0x7a, 2, 2, 2})...), uint8(2), uint8(4))
	f.Add([]byte{0, 0x10, 0, 1, 0}, uint8(70), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, descriptors, at uint8) {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = read.Close() }()
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := wire.NewConn(fds[1])
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		go func() {
			defer func() { _, _ = write.Close(), unix.Close(fds[0]) }()
			split := min(int(at), len(data))
			if sendAll(fds[0], data[:split]) != nil || split == len(data) {
				return
			}
			var control []byte
			if n := int(descriptors) % 100; n > 0 {
				rights := make([]int, n)
				for i := range rights {
					rights[i] = int(write.Fd())
				}
				control = unix.UnixRights(rights...)
			}
			if unix.Sendmsg(fds[0], data[split:split+1], control, nil, unix.MSG_NOSIGNAL) == nil {
				_ = sendAll(fds[0], data[split+1:])
			}
		}()
		for {
			request := new(monitorv1.MonitorRequest)
			files, err := conn.Receive(request)
			if err != nil {
				if files != nil {
					t.Errorf("%d descriptors beside an error", len(files))
				}
				break
			}
			if len(files) != len(request.GetDescriptors()) {
				t.Errorf("%d descriptors for %d names", len(files), len(request.GetDescriptors()))
			}
			wire.CloseAll(files)
		}
		_ = conn.Close()
		// Once nobody has the write end any more, the pipe is at its end.
		if err := read.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if n, err := read.Read(make([]byte, 1)); n != 0 || os.IsTimeout(err) {
			t.Errorf("a descriptor stays open (%v)", err)
		}
	})
}

func sendAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.SendmsgN(fd, data, nil, nil, unix.MSG_NOSIGNAL)
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}
