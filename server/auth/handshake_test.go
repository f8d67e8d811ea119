package auth_test

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testenv"
	"github.com/davitd/davit/server/auth"
)

// from dials an address of this host from another.
func from(t *testing.T, source, address string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// However many connections say nothing, from as many addresses as there are places, a client comes in: at once, and not when
// their time is over.
func TestSilenceKeepsNobodyOut(t *testing.T) {
	folder := authority(t)
	_, address := serveNetwork(t, policy(t, source(folder)), auth.NetworkLimits{Handshakes: 8, HandshakesPerAddress: 4},
		grpc.ConnectionTimeout(time.Hour))
	var silent []net.Conn
	for _, source := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"} {
		for range 4 {
			silent = append(silent, from(t, source, address))
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Scale(time.Minute))
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(as(t, folder, "read"))),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return from(t, "127.0.0.1", address), nil }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	err = conn.Invoke(ctx, list, &emptypb.Empty{}, &emptypb.Empty{}, grpc.WaitForReady(true))
	if code := domain.ToStatus(err).Code(); code != codes.Unimplemented {
		t.Errorf("list beside connections that say nothing: %v", err)
	}
	// Four of them had to go before the client came, and one when it did; this was the first.
	_ = silent[0].SetReadDeadline(time.Now().Add(testenv.Scale(time.Minute)))
	if _, err := silent[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the oldest: %v", err)
	}
}
