package client_test

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// hurried makes the first connections end when the handshake has begun, as a daemon does that has too many of them.
func hurried(s *stub, cut int32) (client.Option, *atomic.Int32) {
	var tries atomic.Int32
	return client.WithDialer(func(ctx context.Context) (net.Conn, error) {
		if tries.Add(1) > cut {
			return s.dial(ctx)
		}
		near, far := net.Pipe()
		go func() {
			_, _ = far.Read(make([]byte, 1))
			_ = far.Close()
		}()
		return near, nil
	}), &tries
}

// A connection that the daemon ends before it has shaken hands is made once more, by whoever asks for it first. More often it is
// an error.
func TestHandshakeIsTriedOnceMore(t *testing.T) {
	folder := made(t)
	pair, err := tls.LoadX509KeyPair(folder.Certificate("server"), folder.Key("server"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		connect func(*client.Client) error
	}{
		{"connect", func(c *client.Client) error { return c.Connect(t.Context()) }},
		{"call", func(c *client.Client) error {
			_, err := c.GetVersion(t.Context(), &davitv1.GetVersionRequest{})
			return err
		}},
	} {
		s := &stub{}
		s.run(grpc.Creds(credentials.NewServerTLSFromCert(&pair)))
		dial := func(cut int32) (*client.Client, *atomic.Int32) {
			dialer, tries := hurried(s, cut)
			c, err := client.Dial("tls://127.0.0.1", dialer, client.WithIdentity(client.Identity{Folder: string(folder)}), client.WithRetry(0))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			return c, tries
		}
		c, tries := dial(1)
		if err := tt.connect(c); err != nil || tries.Load() != 2 {
			t.Errorf("%s: %v after %d tries, want 2", tt.name, err, tries.Load())
		}
		c, tries = dial(1 << 30)
		if err := tt.connect(c); domain.ToStatus(err).Code() != codes.Unavailable || tries.Load() < 2 {
			t.Errorf("%s of a daemon that ends every connection: %v after %d tries", tt.name, err, tries.Load())
		}
		s.stop()
	}
}
