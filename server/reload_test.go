package server_test

import (
	"slices"
	"testing"

	"github.com/davitd/davit/server"
)

// What has changed and cannot hold before the next start is named; what holds already, or has not changed, is not.
func TestReloadNamesWhatWaits(t *testing.T) {
	folder := authority(t)
	h, _ := onNetwork(t, folder)
	const line = "some keys of the configuration have changed and hold from the next start on"
	for _, tt := range []struct {
		change func(*server.Config)
		keys   []string
	}{
		{func(*server.Config) {}, nil},
		{func(c *server.Config) { c.TLS.Role, c.TLS.Revoked = c.TLS.Role[:1], []string{} }, nil},
		{func(c *server.Config) { c.TLS.Listen = append(slices.Clone(c.TLS.Listen), "127.0.0.2:0") }, []string{"tls.listen"}},
		{func(c *server.Config) { c.TLS.Listen = nil }, []string{"tls.listen"}},
		{
			func(c *server.Config) {
				c.Limits.Calls, c.TLS.MaxHandshakes, c.Socket.MaxReaders, c.CgroupRoot = 5, 6, 7, "/elsewhere"
			},
			[]string{"cgroup_root", "limits.calls", "socket.max_readers", "tls.max_handshakes"},
		},
	} {
		before := h.logs.FilterMessage(line).Len()
		config := h.config
		tt.change(&config)
		if err := h.server.Reload(config); err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, entry := range h.logs.FilterMessage(line).All()[before:] {
			list, _ := entry.ContextMap()["keys"].([]any)
			for _, key := range list {
				name, _ := key.(string)
				keys = append(keys, name)
			}
		}
		slices.Sort(keys)
		if !slices.Equal(keys, tt.keys) {
			t.Errorf("named are %q, want %q", keys, tt.keys)
		}
	}
}

// A daemon that does not listen on the network names what waits as well.
func TestReloadWithoutNetwork(t *testing.T) {
	h := start(t, t.TempDir())
	config := h.config
	config.TLS.Listen, config.Limits.Calls = []string{"127.0.0.1:0"}, 9
	if err := h.server.Reload(config); err != nil {
		t.Fatal(err)
	}
	lines := h.logs.FilterMessage("some keys of the configuration have changed and hold from the next start on").All()
	if len(lines) != 1 {
		t.Fatalf("the log says %v", lines)
	}
	if keys, _ := lines[0].ContextMap()["keys"].([]any); len(keys) != 2 {
		t.Errorf("named are %v", keys)
	}
}
