package main

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const (
	// patience is how long a daemon may take to answer, or to end.
	patience = 2 * time.Minute
	// atOnce is how many calls are made at once where only their end matters.
	atOnce = 8
	// partition is where the cgroups of the benchmark are.
	partition = "bench-of-davit"
)

// site is a daemon with a state of its own.
type site struct {
	b         *bench
	disk, run string
	daemon    *exec.Cmd // nil while none runs
	ended     chan error
	c         *client.Client
}

const configuration = `driver = "lxc"
monitor_path = %q
[paths]
lib = %q
run = %q
log = %q
seccomp_dir = %q
[idmap]
dir = %q
[audit]
kernel = "off"
[log]
level = "error"
`

// open makes a site and starts its daemon.
func (b *bench) open(ctx context.Context) (*site, error) {
	s := &site{b: b}
	var err error
	if s.disk, err = os.MkdirTemp(b.place.disk, "state-"); err != nil {
		return nil, err
	}
	if s.run, err = os.MkdirTemp(b.place.memory, "run-"); err != nil {
		return nil, err
	}
	in := func(name string) string { return filepath.Join(s.disk, name) }
	text := fmt.Sprintf(configuration, filepath.Join(b.bin, "davit-monitor"), in("lib"), s.run, in("log"), in("seccomp"), in("ids"))
	if err := os.WriteFile(s.config(), []byte(text), 0o600); err != nil {
		return nil, err
	}
	if _, err := s.launch(ctx); err != nil {
		return nil, errors.Join(err, s.close()) //nolint:contextcheck // cleaning up goes on when the user interrupts
	}
	return s, nil
}

func (s *site) socket() string { return filepath.Join(s.run, "davit.sock") }

func (s *site) config() string { return filepath.Join(s.disk, "davitd.toml") }

// launch starts the daemon and tells how long it took until it answered a question about domains.
func (s *site) launch(ctx context.Context) (time.Duration, error) {
	s.daemon = exec.Command(filepath.Join(s.b.bin, "davitd"), "--config", s.config())
	s.daemon.Stderr = os.Stderr
	// A key that interrupts the benchmark is for the benchmark, which ends the daemon in order.
	s.daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	begun := time.Now()
	if err := s.daemon.Start(); err != nil {
		s.daemon = nil
		return 0, fmt.Errorf("start davitd: %w", err)
	}
	s.ended = make(chan error, 1)
	go func(d *exec.Cmd) { s.ended <- d.Wait() }(s.daemon)
	var err error
	if s.c, err = client.Dial(s.socket()); err != nil {
		return 0, err
	}
	return s.awaitAnswer(ctx, begun)
}

func (s *site) awaitAnswer(ctx context.Context, begun time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := s.c.Connect(ctx)
		if err == nil {
			_, err = s.c.ListDomains(ctx, &davitv1.ListDomainsRequest{PageSize: 1})
		}
		if err == nil {
			return time.Since(begun), nil
		}
		select {
		case end := <-s.ended:
			s.daemon = nil
			return 0, fmt.Errorf("davitd ended at once: %w", orNothing(end))
		default:
		}
		if e := pause(ctx, time.Millisecond); e != nil {
			return 0, fmt.Errorf("davitd does not answer: %w", err)
		}
	}
}

func orNothing(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}

// halt ends the daemon by a signal.
func (s *site) halt(signal syscall.Signal) error {
	if s.daemon == nil {
		return nil
	}
	_ = s.c.Close()
	_ = s.daemon.Process.Signal(signal)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var err error
	select {
	case err = <-s.ended:
	case <-timer.C:
		_ = s.daemon.Process.Kill()
		err = errors.Join(errors.New("davitd did not end"), <-s.ended)
	}
	s.daemon = nil
	if signal == syscall.SIGKILL {
		return nil
	}
	return err
}

// close ends all domains and the daemon, and removes what it had. It goes on when the user interrupts.
func (s *site) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	var errs []error
	if s.daemon != nil {
		errs = append(errs, s.destroyAll(ctx), s.halt(syscall.SIGTERM))
	}
	return errors.Join(append(errs, os.RemoveAll(s.disk), os.RemoveAll(s.run))...)
}

// closing is close for a defer.
func closing(c io.Closer, err *error) { *err = errors.Join(*err, c.Close()) }

// Close is close.
func (s *site) Close() error { return s.close() }

// destroyAll ends what is active.
func (s *site) destroyAll(ctx context.Context) error {
	var active []string
	for d, err := range s.c.Domains(ctx, &davitv1.DomainFilter{Active: new(true)}) {
		if err != nil {
			return err
		}
		active = append(active, d.GetUuid())
	}
	return many(ctx, active, func(ctx context.Context, uuid string) error {
		_, err := s.c.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: client.ByUUID(uuid)})
		if errors.Is(err, domain.ErrNotFound) {
			return nil // it was transient, and ended by itself
		}
		return err
	})
}

// many does something with each of a list, a few at once.
func many[T any](ctx context.Context, list []T, do func(context.Context, T) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, one := range list {
		group.Go(func() error { return do(ctx, one) })
	}
	return group.Wait()
}

// document defines a domain with the full default isolation: the profile application, ids of its own, a root of its own.
func (s *site) document(name string, argv []string) string {
	var args strings.Builder
	for _, a := range argv[1:] {
		args.WriteString("<initarg>")
		_ = xml.EscapeText(&args, []byte(a))
		args.WriteString("</initarg>")
	}
	return fmt.Sprintf(`<domain type='lxc'><name>%s</name><memory unit='MiB'>64</memory>
  <resource><partition>/%s</partition></resource>
  <os><type>exe</type><init>%s</init>%s</os>
  <devices><filesystem type='mount'><source dir='%s'/><target dir='/'/></filesystem><console type='pty'/></devices>
</domain>`, name, partition, argv[0], args.String(), s.b.root)
}

// define defines a domain and gives its UUID.
func (s *site) define(ctx context.Context, name string, argv []string) (string, error) {
	resp, err := s.c.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: client.XML(s.document(name, argv))})
	return resp.GetDomain().GetUuid(), err
}

// defineMany defines domains and gives their UUIDs.
func (s *site) defineMany(ctx context.Context, n int, argv []string) ([]string, error) {
	uuids, numbers := make([]string, n), make([]int, n)
	for i := range numbers {
		numbers[i] = i
	}
	err := many(ctx, numbers, func(ctx context.Context, i int) (err error) {
		uuids[i], err = s.define(ctx, fmt.Sprintf("domain-%05d", i), argv)
		return err
	})
	return uuids, err
}

func (s *site) start(ctx context.Context, uuid string) (*davitv1.StartDomainResponse, error) {
	return s.c.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: client.ByUUID(uuid)})
}

func (s *site) destroy(ctx context.Context, uuid string) error {
	_, err := s.c.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: client.ByUUID(uuid)})
	return err
}
