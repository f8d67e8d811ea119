package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

// A connection that the other end closed is told from one with an end that had something to say, or that this side did not like.
func TestEndedEarly(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{io.EOF, true},
		{fmt.Errorf("shake hands: %w", io.ErrUnexpectedEOF), true},
		{io.ErrClosedPipe, true},
		{&net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}, true},
		{&net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}, true},
		{nil, false},
		{&net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}, false},
		{&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, false},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(42)}, false},
		{&net.OpError{Op: "local error", Err: tls.AlertError(42)}, false},
		{x509.UnknownAuthorityError{}, false},
		{context.DeadlineExceeded, false},
		{errors.New("another"), false},
	} {
		if got := endedEarly(tt.err); got != tt.want {
			t.Errorf("%v: %t, want %t", tt.err, got, tt.want)
		}
	}
}
