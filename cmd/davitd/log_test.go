package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// said is what the log of a domain has, each line as "ORIGIN TEXT".
func said(tb testing.TB, c *client.Client, name string) []string {
	tb.Helper()
	stream, err := c.ReadLog(tb.Context(), &davitv1.ReadLogRequest{Domain: name})
	if err != nil {
		tb.Fatal(err)
	}
	var lines []string
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			tb.Fatalf("log of %s: %v", name, err)
		}
		for _, l := range r.GetLines() {
			lines = append(lines, fmt.Sprintf("%s %s", l.GetOrigin(), l.GetText()))
		}
	}
}

// What a real domain said, and how it ended, can be read when it was destroyed and undefined, also from the next daemon.
func TestLogOutlivesItsDomain(t *testing.T) {
	s := newSite(t, "lxc")
	d := s.launch(t)
	c := s.client(t)
	s.define(t, c, "web")
	if err := startDomain(t.Context(), c, "web"); err != nil {
		t.Fatal(err)
	}
	reads(t, c, "web", "I am web")
	pid := look(t, c, "web").GetInitPid()
	uuid := look(t, c, "web").GetUuid()
	destroy(t, c, "web")
	if _, err := c.UndefineDomain(t.Context(), &davitv1.UndefineDomainRequest{Domain: client.ByName("web")}); err != nil {
		t.Fatal(err)
	}
	want := []string{fmt.Sprintf("init started pid %d", pid), "console0 I am web", "init killed by signal 9"}
	for range 2 {
		var got []string
		for end := time.Now().Add(testenv.Scale(time.Minute)); ; time.Sleep(10 * time.Millisecond) {
			if got = said(t, s.client(t), "web"); slices.Equal(got, want) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("log is %q, want %q", got, want)
			}
		}
		if code := d.end(t); code != exitOK {
			t.Errorf("davitd ended with %d", code)
		}
		d = s.launch(t)
	}
	list, err := s.client(t).ListLogs(t.Context(), &davitv1.ListLogsRequest{})
	if err != nil || len(list.GetLogs()) != 1 || list.GetLogs()[0].GetUuid() != uuid || !list.GetLogs()[0].GetGone() {
		t.Errorf("logs are %v, %v", list, err)
	}
	if _, err := s.client(t).RemoveLog(t.Context(), &davitv1.RemoveLogRequest{Domain: "web"}); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.root, "log", "d", "*")); len(left) > 0 {
		t.Errorf("left: %s", strings.Join(left, " "))
	}
	d.end(t)
}
