package server_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server"
)

// preface is how a client of HTTP/2 begins: the preface and an empty frame of settings.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// frame is one of HTTP/2.
func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	b := []byte{0, 0, 0, kind, flags, 0, 0, 0, 0}
	b[0], b[1], b[2] = byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload))
	binary.BigEndian.PutUint32(b[5:], stream)
	return append(b, payload...)
}

// head is the head of a call: :method POST, :scheme http, :path, :authority, content-type and te, without compression.
func head(method string) []byte {
	b := []byte{0x83, 0x86, 0x04, byte(len(method))}
	b = append(b, method...)
	for _, field := range []struct {
		name  []byte
		value string
	}{
		{[]byte{0x01}, "localhost"}, {[]byte{0x0f, 0x10}, "application/grpc"}, {append([]byte{0x00, 2}, "te"...), "trailers"},
	} {
		b = append(b, field.name...)
		b = append(b, byte(len(field.value)))
		b = append(b, field.value...)
	}
	return b
}

// raw connects to a socket, whatever the length of its path.
func raw(t *testing.T, path string) net.Conn {
	t.Helper()
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	conn, err := net.Dial("unix", filepath.Join("/proc/self/fd", itoa(dir.Fd()), filepath.Base(path)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// flood writes until all is written or the daemon ends the connection, and reads meanwhile unless it is deaf.
func flood(t *testing.T, conn net.Conn, count int, next func(n int) []byte) (cut bool) {
	t.Helper()
	if _, err := conn.Write([]byte(preface)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	_ = conn.SetWriteDeadline(time.Now().Add(testenv.Scale(time.Minute)))
	for n := range count {
		if _, err := conn.Write(next(n)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the daemon neither reads nor ends the connection")
		} else if err != nil {
			return true
		}
	}
	return false
}

// While one client does what it should not, another is answered, and the daemon holds no more than before afterwards.
func TestHostileClients(t *testing.T) {
	const listDomains = "/davit.v1.DomainService/ListDomains"
	for name, attack := range map[string]func(t *testing.T, path string){
		"rapid reset": func(t *testing.T, path string) {
			t.Helper()
			flood(t, raw(t, path), 10_000, func(n int) []byte {
				stream := uint32(2*n + 1)
				return append(frame(1, 4, stream, head(listDomains)), frame(3, 0, stream, []byte{0, 0, 0, 8})...)
			})
		},
		"pings": func(t *testing.T, path string) {
			t.Helper()
			if !flood(t, raw(t, path), 1<<40, func(int) []byte { return frame(6, 0, 0, make([]byte, 8)) }) {
				t.Error("a client that pings without end is not cut off")
			}
		},
		"settings": func(t *testing.T, path string) {
			t.Helper()
			flood(t, raw(t, path), 10_000, func(int) []byte { return frame(4, 0, 0, nil) })
		},
		"open streams": func(t *testing.T, path string) {
			t.Helper()
			flood(t, raw(t, path), 10_000, func(n int) []byte { return frame(1, 4, uint32(2*n+1), head(listDomains)) })
		},
		"large head": func(t *testing.T, path string) {
			t.Helper()
			conn := raw(t, path)
			flood(t, conn, 1000, func(n int) []byte {
				if n == 0 {
					return frame(1, 0, 1, head(listDomains)) // not its end
				}
				return frame(9, 0, 1, append([]byte{0x00, 1, 'a', 0x7f, 0x81, 0x7e}, make([]byte, 16_000)...))
			})
		},
		"slow preface": func(t *testing.T, path string) {
			t.Helper()
			for range 50 {
				conn := raw(t, path)
				_, _ = conn.Write([]byte(preface[:3]))
			}
			// The last is cut off when its time is over.
			conn := raw(t, path)
			_, _ = conn.Write([]byte(preface[:5]))
			_ = conn.SetReadDeadline(time.Now().Add(testenv.Scale(time.Minute)))
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("a client that says nothing is not cut off")
			}
		},
		"idle connections": func(t *testing.T, path string) {
			t.Helper()
			for range 200 {
				conn := raw(t, path)
				_, _ = conn.Write([]byte(preface))
			}
		},
		"half closed": func(t *testing.T, path string) {
			t.Helper()
			for range 100 {
				conn := raw(t, path)
				_, _ = conn.Write(append([]byte(preface), frame(1, 4, 1, head(listDomains))...))
				if half, ok := conn.(*net.UnixConn); ok {
					_ = half.CloseWrite()
				}
			}
		},
		"cancelled calls": func(t *testing.T, path string) {
			t.Helper()
			c := davitv1.NewDomainServiceClient(dial(t, path))
			for range 10_000 {
				ctx, cancel := context.WithCancel(t.Context())
				go cancel()
				_, _ = c.ListDomains(ctx, &davitv1.ListDomainsRequest{})
				cancel()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, t.TempDir())
			other := davitv1.NewDomainServiceClient(dial(t, h.path(server.AdminSocket)))
			list := func() {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), testenv.Scale(time.Minute))
				defer cancel()
				if _, err := other.ListDomains(ctx, &davitv1.ListDomainsRequest{}, grpc.WaitForReady(true)); err != nil {
					t.Errorf("another client: %v", err)
				}
			}
			list()
			before := held()
			over, ended := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(ended)
				for {
					list()
					select {
					case <-over:
						return
					case <-time.After(5 * time.Millisecond): // as often as nobody's limit is reached
					}
				}
			}()
			attack(t, h.path(server.ReadOnlySocket))
			close(over)
			<-ended
			list()
			if after, most := held(), before+64<<20; after > most {
				t.Errorf("%d bytes are held, %d before", after, before)
			}
		})
	}
}

// Calls that are denied leave nothing behind, however long the client would wait for their answers.
func TestDeniedCallsAreForgotten(t *testing.T) {
	const (
		calls = 50_000
		bound = 8 << 20 // they left 500 bytes each
	)
	far := append([]byte{0x00, 12}, "grpc-timeout\x051000H"...)
	for name, more := range map[string][]byte{"far deadline": far, "no deadline": nil} {
		t.Run(name, func(t *testing.T) {
			h := start(t, t.TempDir(), func(o *server.Options) {
				o.Config.Limits.CallsPerSecond, o.Config.Limits.Burst = 10_000_000, 10_000_000
			})
			conn := raw(t, h.path(server.ReadOnlySocket))
			if _, err := conn.Write([]byte(preface)); err != nil {
				t.Fatal(err)
			}
			answers := bufio.NewReader(conn)
			deny := func(from, to int) {
				t.Helper()
				_ = conn.SetDeadline(time.Now().Add(testenv.Scale(2 * time.Minute)))
				written := make(chan error, 1)
				go func() {
					for n := from; n < to; n++ {
						block := append(head("/davit.v1.DomainService/DefineDomain"), more...)
						if _, err := conn.Write(frame(1, 4|1, uint32(2*n+1), block)); err != nil {
							written <- err
							return
						}
					}
					written <- nil
				}()
				for ended := from; ended < to; {
					var head [9]byte
					if _, err := io.ReadFull(answers, head[:]); err != nil {
						t.Fatalf("after %d answers: %v", ended-from, err)
					}
					if _, err := answers.Discard(int(head[0])<<16 | int(head[1])<<8 | int(head[2])); err != nil {
						t.Fatal(err)
					}
					if head[3] == 1 && head[4]&1 != 0 { // trailers
						ended++
					}
				}
				if err := <-written; err != nil {
					t.Fatal(err)
				}
			}
			deny(0, 1000) // what the daemon makes once for all of them
			before := heap()
			deny(1000, calls)
			if more := heap() - before; more > bound {
				t.Errorf("%d calls that were denied leave %d bytes, the bound is %d", calls, more, bound)
			} else {
				t.Logf("%d calls that were denied leave %d bytes", calls, more)
			}
		})
	}
}

// held is the memory that is in use.
func held() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A client that calls without end is told that it does by its own limit.
func TestCallsWithoutEnd(t *testing.T) {
	h := start(t, t.TempDir(), func(o *server.Options) { o.Config.Limits.CallsPerSecond, o.Config.Limits.Burst = 1, 20 })
	c := davitv1.NewDomainServiceClient(dial(t, h.path(server.AdminSocket)))
	for range 10_000 {
		_, err := c.ListDomains(t.Context(), &davitv1.ListDomainsRequest{})
		if status.Code(err) == codes.ResourceExhausted {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Error("no limit is reached")
}
