package server_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"testing"
	"time"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/client/pki"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// lasting makes the certificate of a pair anew, so that it ends at a time.
func lasting(t *testing.T, folder pki.Folder, pair string, end time.Time) {
	t.Helper()
	ca, err := tls.LoadX509KeyPair(folder.Certificate("ca"), folder.Key("ca"))
	if err != nil {
		t.Fatal(err)
	}
	old, err := pki.ReadCertificate(folder.Certificate(pair))
	if err != nil {
		t.Fatal(err)
	}
	template := *old
	template.NotAfter = end
	parent := ca.Leaf
	if pair == "ca" {
		parent = &template
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, old.PublicKey, ca.PrivateKey)
	if err == nil {
		err = os.WriteFile(folder.Certificate(pair), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A stream ends with the certificate that opened it, or with the authority's, whichever is first.
func TestStreamsEndWithTheCertificate(t *testing.T) {
	for _, pair := range []string{"admin", "ca"} {
		t.Run(pair, func(t *testing.T) {
			t.Parallel()
			// A certificate that ended before the stream was open proves nothing: one that lasts longer is tried then.
			for last := 2 * time.Second; ; last *= 2 {
				if endsWithCertificate(t, pair, last) {
					return
				}
				if last > testenv.Scale(time.Minute) {
					t.Fatal("no stream could be opened")
				}
			}
		})
	}
}

// endsWithCertificate waits for the end of a stream; false if it could not be opened in time.
func endsWithCertificate(t *testing.T, pair string, last time.Duration) bool {
	t.Helper()
	folder := authority(t)
	h, address := onNetwork(t, folder)
	define(t, h, "web")
	end := time.Now().Add(last)
	lasting(t, folder, pair, end)
	if pair == "ca" {
		if err := h.server.Reload(h.config); err != nil {
			t.Fatal(err)
		}
	}
	a, err := client.DialAudit("tls://"+address, client.WithIdentity(client.Identity{
		CA: folder.Certificate("ca"), Certificate: folder.Certificate("admin"), Key: folder.Key("admin"),
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	stream, err := followed(t, a)
	if err != nil && time.Now().After(end.Add(-time.Second)) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan *davitv1.ReadAuditResponse, 1)
	go func() {
		r, err := stream.Recv()
		if err == nil {
			over <- r
		}
		close(over)
	}()
	select {
	case r := <-over:
		if r != nil {
			t.Errorf("the stream goes on with %v", r)
		}
	case <-time.After(testenv.Scale(2 * time.Minute)):
		t.Error("the stream goes on")
	}
	if early := time.Until(end.Truncate(time.Second)); early > 0 {
		t.Errorf("the stream ended %v before the certificate", early)
	}
	return true
}
