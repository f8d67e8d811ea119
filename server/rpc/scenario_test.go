package rpc_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

var update = flag.Bool("update", false, "write what the scenarios give into their files")

// Each file of testdata is what happens to a daemon, its domains and their host, and what is seen of it: a line that
// begins with "$ " is done, the lines that follow are what it gives. Time passes only by "wait". A restart of the
// daemon leaves the host as it is.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			synctest.Test(t, func(t *testing.T) {
				d := newDaemon(t)
				d.start()
				defer func() { d.stop() }()
				got = (&scenario{daemon: d}).play(string(text))
			})
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(text), got); diff != "" {
				t.Errorf("transcript (-want +got):\n%s", diff)
			}
		})
	}
}

// scenario plays a file.
type scenario struct {
	*daemon
	epoch string // in which positions are meant
}

// play gives the file with what its commands give.
func (s *scenario) play(text string) string {
	var out strings.Builder
	for block := range strings.SplitSeq(text, "\n") {
		command, ok := strings.CutPrefix(block, "$ ")
		switch {
		case ok:
			out.WriteString(block + "\n")
			words := strings.Fields(command)
			if result := s.do(words[0], words[1:]); result != "" {
				out.WriteString(strings.TrimRight(result, "\n") + "\n")
			}
			out.WriteString("\n")
		case strings.HasPrefix(block, "#"):
			out.WriteString(block + "\n")
		}
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}

// do does one thing and lets everything settle.
func (s *scenario) do(verb string, args []string) string {
	args = append(args, "", "", "")
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Hour)
	defer cancel()
	text, err := s.dispatch(ctx, verb, args)
	synctest.Wait()
	if err == nil {
		return text
	}
	var e *domain.Error
	if !errors.As(domain.FromStatus(err), &e) {
		return "! " + err.Error()
	}
	return fmt.Sprintf("! %s %s: %s", e.Code, strings.TrimPrefix(e.Reason.String(), "ERROR_REASON_"), e.Error())
}

func (s *scenario) dispatch(ctx context.Context, verb string, args []string) (string, error) {
	switch verb {
	case "restart":
		s.stop()
		s.start()
		return "", nil
	case "autostart":
		return "", s.engine.Autostart(ctx)
	case "wait":
		d, err := time.ParseDuration(args[0])
		time.Sleep(d)
		return "", err
	case "watch":
		return s.watch(ctx, args[0])
	case "list":
		return s.list(ctx)
	case "show":
		return s.show(ctx, args[0])
	}
	if text, done, err := s.onHost(ctx, verb, args); done {
		return text, err
	}
	return s.onDomain(ctx, verb, args)
}

// onHost is what happens without the daemon.
func (s *scenario) onHost(ctx context.Context, verb string, args []string) (string, bool, error) {
	if verb == "fail-start" {
		s.host.FailNextStart(errors.New(strings.TrimSpace(strings.Join(args, " "))))
		return "", true, nil
	}
	uuid := ""
	if r, err := s.domains.GetDomain(ctx, &davitv1.GetDomainRequest{Domain: byName(args[0])}); err == nil {
		uuid = r.GetDomain().GetUuid()
	}
	n, _ := strconv.Atoi(args[1])
	switch verb {
	case "exit":
		return "", true, s.host.Exit(uuid, n)
	case "crash":
		return "", true, s.host.Crash(uuid, syscall.Signal(n))
	case "poweroff":
		return "", true, s.host.Poweroff(uuid)
	case "guest-reboot":
		return "", true, s.host.Reboot(uuid)
	case "oom":
		return "", true, s.host.OOM(uuid, args[1] == "init")
	case "lose":
		return "", true, s.host.Lose(uuid)
	case "vanish-and-restart":
		s.stop()
		err := s.host.Vanish(uuid)
		s.start()
		return "", true, err
	case "exit-while-away":
		s.stop()
		err := s.host.Exit(uuid, n)
		s.start()
		return "", true, err
	}
	return "", false, nil
}

// onDomain is what callers do.
func (s *scenario) onDomain(ctx context.Context, verb string, args []string) (string, error) {
	var err error
	ref := byName(args[0])
	switch verb {
	case "define", "create":
		return s.take(ctx, verb, args[0])
	case "undefine":
		_, err = s.domains.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: ref})
	case "start":
		_, err = s.domains.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: ref, Paused: args[1] == "paused"})
	case "plan":
		var r *davitv1.StartDomainResponse
		r, err = s.domains.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: ref, DryRun: true})
		return r.GetPlan(), err
	case "shutdown":
		_, err = s.domains.ShutdownDomain(ctx, &davitv1.ShutdownDomainRequest{Domain: ref})
	case "reboot":
		_, err = s.domains.RebootDomain(ctx, &davitv1.RebootDomainRequest{Domain: ref})
	case "destroy":
		q := &davitv1.DestroyDomainRequest{Domain: ref}
		if grace, e := time.ParseDuration(args[1]); e == nil {
			q.Grace = durationpb.New(grace)
		}
		_, err = s.domains.DestroyDomain(ctx, q)
	case "suspend":
		_, err = s.domains.SuspendDomain(ctx, &davitv1.SuspendDomainRequest{Domain: ref})
	case "resume":
		_, err = s.domains.ResumeDomain(ctx, &davitv1.ResumeDomainRequest{Domain: ref})
	case "signal":
		_, err = s.domains.SignalProcess(ctx, &davitv1.SignalProcessRequest{Domain: ref, GuestPid: 1, Signal: args[1]})
	case "set":
		_, err = s.domains.UpdateDomain(ctx, &davitv1.UpdateDomainRequest{
			Domain: ref, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{args[1]}},
			Title: args[2], Description: args[2], Autostart: args[2] == "on",
		})
	case "xml", "xml-inactive":
		var r *davitv1.GetDomainXMLResponse
		r, err = s.domains.GetDomainXML(ctx, &davitv1.GetDomainXMLRequest{Domain: ref, Inactive: verb == "xml-inactive"})
		return r.GetXml(), err
	default:
		err = fmt.Errorf("%q is no command of scenarios", verb)
	}
	return "", err
}

// take defines or creates a domain of a file.
func (s *scenario) take(ctx context.Context, verb, file string) (string, error) {
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		return "", err
	}
	from := &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: string(text)}}
	var warnings []*davitv1.Warning
	if verb == "define" {
		var r *davitv1.DefineDomainResponse
		r, err = s.domains.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: from})
		warnings = r.GetWarnings()
	} else {
		var r *davitv1.CreateDomainResponse
		r, err = s.domains.CreateDomain(ctx, &davitv1.CreateDomainRequest{Source: from})
		warnings = r.GetWarnings()
	}
	var out strings.Builder
	for _, w := range warnings {
		fmt.Fprintf(&out, "warning: %s: %s\n", w.GetXmlPath(), w.GetMessage())
	}
	return out.String(), err
}

// list is a line a domain.
func (s *scenario) list(ctx context.Context) (string, error) {
	r, err := s.domains.ListDomains(ctx, &davitv1.ListDomainsRequest{PageSize: 1000})
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, info := range r.GetDomains() {
		fmt.Fprintln(&out, line(info))
	}
	return out.String(), nil
}

func (s *scenario) show(ctx context.Context, name string) (string, error) {
	r, err := s.domains.GetDomain(ctx, &davitv1.GetDomainRequest{Domain: byName(name)})
	if err != nil {
		return "", err
	}
	info := r.GetDomain()
	text := line(info)
	if info.GetExit() != nil {
		text += "\nexit: " + ending(info.GetExit())
	}
	if info.GetLastError() != "" {
		text += "\nlast error: " + info.GetLastError()
	}
	if info.GetReboots() != 0 {
		text += fmt.Sprintf("\nreboots: %d", info.GetReboots())
	}
	return text, nil
}

// line is a domain on one line.
func line(info *davitv1.DomainInfo) string {
	id := "-"
	if info.GetId() != 0 {
		id = strconv.Itoa(int(info.GetId()))
	}
	words := []string{id, info.GetName(), domain.Condition{State: info.GetState(), Reason: info.GetReason()}.String()}
	if !info.GetPersistent() {
		words = append(words, "transient")
	}
	if info.GetAutostart() {
		words = append(words, "autostart")
	}
	if info.GetTitle() != "" {
		words = append(words, strconv.Quote(info.GetTitle()))
	}
	return strings.Join(words, "  ")
}

// watch gives the events after a position, "after=N".
func (s *scenario) watch(ctx context.Context, from string) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.epoch == "" {
		s.epoch = s.journal.Newest().GetEpoch()
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(from, "after="), 10, 64)
	if err != nil {
		return "", err
	}
	stream, err := s.events.WatchEvents(ctx, &davitv1.WatchEventsRequest{
		Start:             &davitv1.WatchEventsRequest_After{After: &davitv1.EventPosition{Epoch: s.epoch, Sequence: n}},
		HeartbeatInterval: durationpb.New(100 * time.Millisecond),
	})
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for positions := 0; positions < 2; {
		r, err := stream.Recv()
		if err != nil {
			return out.String(), err
		}
		if r.GetPosition() != nil {
			positions++
			continue
		}
		fmt.Fprintf(&out, "%d  %s\n", r.GetEvent().GetPosition().GetSequence(), describe(r.GetEvent()))
	}
	return out.String(), nil
}
