package rpc_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// lines reads the log of a domain to its end, each line as "ORIGIN TEXT".
func (d *daemon) lines(q *davitv1.ReadLogRequest) ([]string, error) {
	stream, err := d.reading.ReadLog(d.t.Context(), q)
	if err != nil {
		return nil, err
	}
	var list []string
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		for _, l := range r.GetLines() {
			list = append(list, fmt.Sprintf("%s %s", l.GetOrigin(), l.GetText()))
		}
	}
}

// What a domain says is in its log while it runs, when it has stopped, and when it is gone, with how it ended; who follows
// gets it all, and the end.
func TestLogOfDomain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t)
		d.start()
		defer func() { d.stop() }()
		d.run("web", "echo hello; sleep 10; echo bye; exit 3") // transient: gone when it has ended
		time.Sleep(time.Second)
		pid := d.info("web").GetInitPid()
		want := []string{fmt.Sprintf("init started pid %d", pid), "console0 hello", "console0 bye", "init exited with code 3"}
		got, err := d.lines(&davitv1.ReadLogRequest{Domain: "web"})
		if diff := cmp.Diff(want[:2], got); diff != "" || err != nil {
			t.Errorf("while it runs (-want +got): %v\n%s", err, diff)
		}
		_, err = d.reading.RemoveLog(t.Context(), &davitv1.RemoveLogRequest{Domain: "web"})
		if !errors.Is(domain.FromStatus(err), domain.ErrFailedPrecondition) {
			t.Errorf("remove of the log of a domain that runs: %v", err)
		}
		got, err = d.lines(&davitv1.ReadLogRequest{Domain: "web", Follow: true})
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("followed to the end (-want +got): %v\n%s", err, diff)
		}
		d.stop()
		d.start()
		got, err = d.lines(&davitv1.ReadLogRequest{Domain: "web", Tail: new(uint32(2))})
		if diff := cmp.Diff(want[2:], got); diff != "" || err != nil {
			t.Errorf("of another daemon (-want +got): %v\n%s", err, diff)
		}
		list, err := d.reading.ListLogs(t.Context(), &davitv1.ListLogsRequest{})
		if err != nil || len(list.GetLogs()) != 1 || list.GetLogs()[0].GetName() != "web" || !list.GetLogs()[0].GetGone() ||
			list.GetLogs()[0].GetUuid() != uuidWeb || list.GetLogs()[0].GetSizeBytes() == 0 {
			t.Errorf("logs are %v, %v", list, err)
		}
		if _, err = d.reading.RemoveLog(t.Context(), &davitv1.RemoveLogRequest{Domain: "web"}); err != nil {
			t.Error(err)
		}
		_, err = d.lines(&davitv1.ReadLogRequest{Domain: "web"})
		if reason(err) != davitv1.ErrorReason_ERROR_REASON_DOMAIN_NOT_FOUND {
			t.Errorf("read of what is removed: %v", err)
		}
	})
}

func (d *daemon) info(name string) *davitv1.DomainInfo {
	d.t.Helper()
	r, err := d.domains.GetDomain(d.t.Context(), &davitv1.GetDomainRequest{Domain: byName(name)})
	if err != nil {
		d.t.Fatal(err)
	}
	return r.GetDomain()
}
