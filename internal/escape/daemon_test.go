package escape_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// The ids of the suite's domains, where the suite has to name them itself.
const (
	idBase   = 2_100_000_000
	idCount  = 65536
	strayFDs = 50
)

// partition is the folder of cgroups of the suite's domains.
const partition = "/test-davit"

// suite is a davitd of its own and all that the attacks share.
type suite struct {
	folder string // everybody may enter it
	root   string // of the daemon's state
	canary string // what no attack may change
	guest  string // the hostile program
	host   *hostFacts

	daemon *exec.Cmd
	log    *buffer
	client *client.Client
	facts  map[profile]map[string]string // what the init of a domain of each profile says of itself
	// named is whether a definition can name its profile, mapped whether a domain gets ids of its own without naming them.
	named, mapped bool
	count         int
}

// buffer is written and read at once.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// newSuite starts a davitd and learns what its domains are kept from.
func newSuite(t *testing.T) *suite {
	t.Helper()
	folder := t.TempDir()
	s := &suite{folder: folder, root: folder + "/davit", canary: folder + "/canary", guest: folder + "/guest", log: new(buffer)}
	// Attackers without rights must come as far as the daemon lets them, not as far as a temporary folder does.
	for dir := folder; strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(s.root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.root, 0o755); err != nil { //nolint:gosec // see above
		t.Fatal(err)
	}
	for _, name := range []string{"file", "pts/file", "shm/file", "sub/file", "self/oom_score_adj", "etc/hosts"} {
		mustWrite(t, filepath.Join(s.canary, name), "canary", 0o666)
	}
	program, err := os.ReadFile(testenv.Build(t, "./internal/escape/guest"))
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, s.guest, string(program), 0o755)
	s.host = newHostFacts(t, s)
	t.Setenv("DAVIT_MONITOR", testenv.Binary(t, "davit-monitor"))
	config := fmt.Sprintf("[idmap]\ndir = %q\nbase = %d\ncount = 64\n[logs]\nmax_file_bytes = 1048576\nmax_files = 2\n%s", s.root+"/ids", idBase+16*idCount, s.networkConfig(t))
	mustWrite(t, s.root+"/davitd.toml", config, 0o600)
	s.start(t)
	s.learn(t)
	return s
}

// start starts davitd with descriptors that nobody marked, and waits until it answers.
func (s *suite) start(tb testing.TB) {
	tb.Helper()
	address := fmt.Sprintf("@escape-%d-%s", os.Getpid(), rand.Text())
	ready, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = ready.Close() }()
	s.daemon = exec.Command(testenv.Binary(tb, "davitd"), "--root", s.root, "--log-level", "info")
	s.daemon.Env = append(os.Environ(), "NOTIFY_SOCKET="+address)
	s.daemon.Stdout, s.daemon.Stderr = s.log, s.log
	for range strayFDs {
		stray, openErr := os.Open("/")
		if openErr != nil {
			tb.Fatal(openErr)
		}
		defer func() { _ = stray.Close() }()
		s.daemon.ExtraFiles = append(s.daemon.ExtraFiles, stray)
	}
	if err = s.daemon.Start(); err != nil {
		tb.Fatal(err)
	}
	daemon := s.daemon
	tb.Cleanup(func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
		if tb.Failed() {
			tb.Logf("log of davitd:\n%s", s.log)
		}
	})
	if err = ready.SetReadDeadline(time.Now().Add(testenv.Scale(2 * time.Minute))); err != nil {
		tb.Fatal(err)
	}
	message := make([]byte, 64)
	if n, readErr := ready.Read(message); readErr != nil || string(message[:n]) != "READY=1" {
		tb.Fatalf("davitd says %q, %v: %s", message[:n], readErr, s.log)
	}
	if s.client, err = client.Dial(s.socket(), client.WithRetry(0)); err != nil {
		tb.Fatal(err)
	}
	c := s.client
	tb.Cleanup(func() { _ = c.Close() })
}

// socket is where the daemon answers to root, readOnly where to all.
func (s *suite) socket() string   { return filepath.Join(s.root, "run", "davit.sock") }
func (s *suite) readOnly() string { return filepath.Join(s.root, "run", "davit-ro.sock") }

// end ends the daemon in order, and what a failed case left running before that.
func (s *suite) end(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Scale(time.Minute))
	defer cancel()
	for info, err := range s.client.Domains(ctx, nil) {
		if err != nil {
			tb.Error(err)
			break
		}
		tb.Logf("%q was left", info.GetName())
		_, _ = s.client.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: client.ByUUID(info.GetUuid())})
	}
	_ = s.client.Close()
	if err := s.daemon.Process.Signal(unix.SIGTERM); err != nil {
		tb.Error(err)
	}
	if err := s.daemon.Wait(); err != nil {
		tb.Errorf("davitd: %v", err)
	}
	s.host.checkPrograms(tb)
}

// learn finds out what davit has, from what it does.
func (s *suite) learn(t *testing.T) {
	t.Helper()
	s.facts = map[profile]map[string]string{}
	s.named = s.accepts(`<davit:profile name='application'/>`)
	for _, p := range []profile{application, system} {
		for _, mapped := range []bool{true, false} {
			s.mapped = mapped
			c := s.newScene(t, p)
			facts := c.run(t, domainOptions{}, "identity").values()
			c.clear(t)
			s.facts[p] = facts
			if !mapped || !strings.HasPrefix(facts["uid_map"], "0 0 ") {
				break
			}
		}
		t.Logf("%s: profile can be named: %v, ids of its own by default: %v, %v", p, s.named, s.mapped, s.facts[p])
	}
}

// accepts tells whether an element beside the devices is one that davit knows.
func (s *suite) accepts(element string) bool {
	document := fmt.Sprintf("<domain type='lxc' %s><name>x</name><memory>65536</memory><os><type>exe</type><init>/x</init></os>%s</domain>", davitSpace, element)
	_, err := s.client.ConvertDefinition(context.Background(), &davitv1.ConvertDefinitionRequest{Source: client.XML(document), Strict: true})
	return err == nil
}
