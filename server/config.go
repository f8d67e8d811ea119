package server

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/davitd/davit/server/auth"
	"github.com/davitd/davit/server/events"
)

// DefaultConfigPath is where davitd looks for its configuration. It need not be there.
const DefaultConfigPath = "/etc/davit/davitd.toml"

// Config is the daemon's configuration: one TOML file whose keys are the ones named here, all of them optional.
// [Default] has the values of what is left out, [Config.TOML] writes it with what each key means.
type Config struct {
	Driver      string `toml:"driver" doc:"Driver that makes the containers: \"lxc\" (needs root) or \"fake\", which only plays them."`
	CgroupRoot  string `toml:"cgroup_root" doc:"Folder below which the cgroups of domains are made: where the host's cgroups are mounted, or a folder of a cgroup2 tree that was delegated to the daemon."`
	MonitorPath string `toml:"monitor_path" doc:"Program that supervises a domain. When empty: $DAVIT_MONITOR, then davit-monitor beside davitd or in ../libexec/davit from there, then /usr/libexec/davit/davit-monitor and /usr/local/libexec/davit/davit-monitor."`

	Paths  Paths  `toml:"paths" doc:"Places. davitd --root DIR puts them all into DIR."`
	Socket Socket `toml:"socket" doc:"Who may connect."`
	TLS    TLS    `toml:"tls" doc:"The way in from the network: TLS 1.3 in which both sides show a certificate, never without. SIGHUP reads the files, roles and revoked again."`
	Limits Limits `toml:"limits" doc:"What one client may do through a socket at once: a user of this host, or of root one process, or who holds a certificate. Who is above a limit is told which, and the audit log tells it."`
	IDMap  IDMap  `toml:"idmap" doc:"Host ids for the user namespaces of domains that do not name their own: count ranges of size ids from base up, 2147483647 at most. What belongs to the host's users (/etc/subuid, /etc/subgid) is left out. Where nothing of the default is free, the ranges after it are handed out."`
	Events Events `toml:"events" doc:"How much of what happened is kept."`
	Logs   Logs   `toml:"logs" doc:"The logs of domains: what their consoles and their init said."`
	Audit  Audit  `toml:"audit" doc:"The record of who changed what, or was refused, in the folder audit of paths.log; davit audit shows it."`
	Log    Log    `toml:"log" doc:"The daemon's own log, on standard error."`
}

// Paths are the places of the daemon.
type Paths struct {
	Lib        string `toml:"lib" doc:"What outlives a reboot: definitions, events, kept layers."`
	Run        string `toml:"run" doc:"What does not: sockets, state of running domains."`
	Log        string `toml:"log" doc:"Logs of domains."`
	SeccompDir string `toml:"seccomp_dir" doc:"Filters of system calls that definitions name, each NAME.json as Docker and OCI write them."`
}

// Socket is who may connect.
type Socket struct {
	Group                 string `toml:"group" doc:"Group, by name or number, whose members may do everything, beside root. When empty only root may."`
	ReadOnly              bool   `toml:"read_only" doc:"Whether there is a second socket, davit-ro.sock, through which every user of the host may look."`
	Admin                 bool   `toml:"admin" doc:"Whether there is a third socket, davit-admin.sock, through which root steers the daemon itself: log level, connections, drain."`
	MaxConnections        int    `toml:"max_connections" doc:"Connections to davit.sock of all users together; root is not refused."`
	MaxConnectionsPerUser int    `toml:"max_connections_per_user" doc:"Connections to davit.sock of each user but root."`
	MaxReaders            int    `toml:"max_readers" doc:"Connections to davit-ro.sock of all users together; root is not refused."`
	MaxReadersPerUser     int    `toml:"max_readers_per_user" doc:"Connections to davit-ro.sock of each user but root. Each may make the daemon hold some MiB of answers."`
}

// IDMap is the pool of id ranges.
type IDMap struct {
	Dir   string `toml:"dir" doc:"Folder that lists the ranges in use, and the files that consoles of running domains are written to. All daemons of a host share it, so that none is used twice. A domain keeps its range, over reboots too, until it is undefined."`
	Base  int64  `toml:"base" doc:"First id of the first range."`
	Size  int64  `toml:"size" doc:"Ids of a range."`
	Count int64  `toml:"count" doc:"Ranges."`
}

// Events bounds the journal.
type Events struct {
	MaxEvents int   `toml:"max_events" doc:"Events that are kept at most."`
	MaxBytes  int64 `toml:"max_bytes" doc:"Bytes of their files at most."`
	MaxLag    int   `toml:"max_lag" doc:"Events that a watcher may fall behind before it is ended and has to resume."`
}

// Logs bounds the logs of domains.
type Logs struct {
	MaxFileBytes int64         `toml:"max_file_bytes" doc:"Bytes of a file; then the next is begun."`
	MaxFiles     int           `toml:"max_files" doc:"Files of a domain; the oldest goes first."`
	Keep         time.Duration `toml:"keep" doc:"How long the log of a domain is kept after the domain is undefined or, if it was transient, has stopped."`
	MaxGone      int           `toml:"max_gone" doc:"Logs of domains that are gone, at most; the oldest go first."`
}

// Audit bounds the audit log.
type Audit struct {
	MaxFileBytes int64  `toml:"max_file_bytes" doc:"Bytes of a file; then the next is begun."`
	MaxFiles     int    `toml:"max_files" doc:"Files; the oldest goes first. Of denied calls there are a quarter as many beside them."`
	Kernel       string `toml:"kernel" doc:"Whether the records go to the kernel's audit as well: auto, where it listens and the daemon has CAP_AUDIT_WRITE; or off."`
}

// Log is the daemon's own log.
type Log struct {
	Level  string `toml:"level" doc:"Least level that is logged: debug, info, warn or error."`
	Format string `toml:"format" doc:"json, one object a line; console, for people; or auto: console where standard error is a terminal."`
}

// Default is the configuration of a daemon without a file.
func Default() Config {
	return Config{
		Driver:     "lxc",
		CgroupRoot: "/sys/fs/cgroup",
		Paths:      Paths{Lib: "/var/lib/davit", Run: "/run/davit", Log: "/var/log/davit", SeccompDir: "/etc/davit/seccomp"},
		Socket: Socket{
			ReadOnly: true, Admin: true, MaxConnections: 1024, MaxConnectionsPerUser: 64, MaxReaders: 256, MaxReadersPerUser: 8,
		},
		TLS: TLS{
			Certificate: "/etc/pki/davit/servercert.pem", Key: "/etc/pki/davit/serverkey.pem", ClientCA: "/etc/pki/davit/cacert.pem",
			MaxConnections: 256, MaxConnectionsPerClient: 16, MaxHandshakes: 256, MaxHandshakesPerAddress: 16,
		},
		Limits: Limits{Calls: 256, Watchers: 128, CallsPerSecond: 2000, Burst: 10_000},
		IDMap:  IDMap{Dir: "/var/lib/davit-ids", Base: 1_000_000, Size: 65536, Count: 15000},
		Events: Events{
			MaxEvents: events.DefaultMaxEvents,
			MaxBytes:  events.DefaultMaxBytes,
			MaxLag:    events.DefaultMaxLag,
		},
		Logs:  Logs{MaxFileBytes: 10 << 20, MaxFiles: 3, Keep: 14 * 24 * time.Hour, MaxGone: 1000},
		Audit: Audit{MaxFileBytes: 16 << 20, MaxFiles: 8, Kernel: "auto"},
		Log:   Log{Level: "info", Format: "auto"},
	}
}

// Rooted is the default configuration with every place in one folder, for davitd --root: one that keeps to itself, the
// kernel's audit included.
func Rooted(dir string) Config {
	c := Default()
	c.Paths = Paths{Lib: filepath.Join(dir, "lib"), Run: filepath.Join(dir, "run"), Log: filepath.Join(dir, "log"), SeccompDir: filepath.Join(dir, "seccomp")}
	c.Audit.Kernel = "off"
	pki := filepath.Join(dir, "pki")
	c.TLS.Certificate, c.TLS.Key = filepath.Join(pki, "servercert.pem"), filepath.Join(pki, "serverkey.pem")
	c.TLS.ClientCA = filepath.Join(pki, "cacert.pem")
	return c
}

// RootedConfigPath is where davitd --root looks for its configuration.
func RootedConfigPath(dir string) string { return filepath.Join(dir, "davitd.toml") }

// Names of the sockets in the run folder: for those who may do everything to domains, for all who look, and for root, who
// steers the daemon itself.
const (
	AdminSocket    = "davit.sock"
	ReadOnlySocket = "davit-ro.sock"
	RootSocket     = "davit-admin.sock"
)

// Monitor finds the program that supervises a domain.
func (c Config) Monitor() (string, error) {
	candidates := []string{c.MonitorPath, os.Getenv("DAVIT_MONITOR")}
	if self, err := os.Executable(); err == nil {
		dir := filepath.Dir(self)
		candidates = append(candidates, filepath.Join(dir, "davit-monitor"), filepath.Join(dir, "../libexec/davit/davit-monitor"))
	}
	candidates = append(candidates, "/usr/libexec/davit/davit-monitor", "/usr/local/libexec/davit/davit-monitor")
	var looked []string
	for i, path := range candidates {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return path, nil
		}
		if i < 2 { // somebody named it: no other will do
			return "", fmt.Errorf("find davit-monitor: %q is not a program", path)
		}
		looked = append(looked, fmt.Sprintf("%q", path))
	}
	return "", fmt.Errorf("find davit-monitor: it is none of %s; name it by monitor_path", strings.Join(looked, ", "))
}

// lastID is the highest id of a pool: older kernels (6.1) take no group above it for the terminals of a domain.
const lastID = 1<<31 - 1

// check names the values that cannot be.
func (c Config) check(fault func(key, format string, args ...any)) {
	if c.Driver != "lxc" && c.Driver != "fake" {
		fault("driver", "%q is neither \"lxc\" nor \"fake\"", c.Driver)
	}
	for key, path := range map[string]string{
		"cgroup_root": c.CgroupRoot, "paths.lib": c.Paths.Lib, "paths.run": c.Paths.Run, "paths.log": c.Paths.Log,
		"paths.seccomp_dir": c.Paths.SeccompDir,
		"idmap.dir":         c.IDMap.Dir,
	} {
		if !filepath.IsAbs(path) {
			fault(key, "%q is not an absolute path", path)
		}
	}
	if c.MonitorPath != "" && !filepath.IsAbs(c.MonitorPath) {
		fault("monitor_path", "%q is not an absolute path", c.MonitorPath)
	}
	if c.Paths.Lib == c.Paths.Run {
		fault("paths.run", "%q is also paths.lib", c.Paths.Run)
	}
	if _, err := c.Socket.gid(); err != nil {
		fault("socket.group", "%v", err)
	}
	within(fault, "socket.max_connections", c.Socket.MaxConnections, 1, 100_000)
	within(fault, "socket.max_connections_per_user", c.Socket.MaxConnectionsPerUser, 1, 100_000)
	within(fault, "socket.max_readers", c.Socket.MaxReaders, 1, 100_000)
	within(fault, "socket.max_readers_per_user", c.Socket.MaxReadersPerUser, 1, 100_000)
	c.TLS.check(fault)
	c.Limits.check(fault)
	within(fault, "events.max_events", c.Events.MaxEvents, events.MinEvents, 100_000_000)
	within(fault, "events.max_bytes", c.Events.MaxBytes, events.MinBytes, 1<<40)
	within(fault, "events.max_lag", c.Events.MaxLag, 1, 100_000_000)
	within(fault, "logs.max_file_bytes", c.Logs.MaxFileBytes, 64<<10, 1<<40)
	within(fault, "logs.max_files", c.Logs.MaxFiles, 1, 100)
	within(fault, "logs.max_gone", c.Logs.MaxGone, 0, 1_000_000)
	if c.Logs.Keep < 0 {
		fault("logs.keep", "%s is less than no time", c.Logs.Keep)
	}
	within(fault, "audit.max_file_bytes", c.Audit.MaxFileBytes, 64<<10, 1<<40)
	within(fault, "audit.max_files", c.Audit.MaxFiles, 1, 1000)
	if c.Audit.Kernel != "auto" && c.Audit.Kernel != "off" {
		fault("audit.kernel", "%q is neither \"auto\" nor \"off\"", c.Audit.Kernel)
	}
	within(fault, "idmap.base", c.IDMap.Base, 100_000, lastID)
	within(fault, "idmap.size", c.IDMap.Size, 1, lastID)
	within(fault, "idmap.count", c.IDMap.Count, 1, lastID)
	if last := c.IDMap.Base + c.IDMap.Size*c.IDMap.Count - 1; last > lastID {
		fault("idmap.count", "the last range ends at id %d, the last id is %d", last, int64(lastID))
	}
	if _, err := c.Log.level(); err != nil {
		fault("log.level", "%q is none of debug, info, warn and error", c.Log.Level)
	}
	if !slices.Contains([]string{"auto", "json", "console"}, c.Log.Format) {
		fault("log.format", "%q is none of auto, json and console", c.Log.Format)
	}
}

func within[N int | int64](fault func(key, format string, args ...any), key string, n N, least, most int64) {
	if int64(n) < least || int64(n) > most {
		fault(key, "%d is not from %d to %d", n, least, most)
	}
}

// limits of the connections to the admin socket.
func (s Socket) limits() auth.Limits {
	return auth.Limits{
		Total: s.MaxConnections, TotalName: "socket.max_connections",
		PerUser: s.MaxConnectionsPerUser, PerUserName: "socket.max_connections_per_user",
	}
}

// readLimits are those of the read-only one.
func (s Socket) readLimits() auth.Limits {
	return auth.Limits{
		Total: s.MaxReaders, TotalName: "socket.max_readers", PerUser: s.MaxReadersPerUser, PerUserName: "socket.max_readers_per_user",
	}
}

// gid is the number of the group, -1 if there is none. The group is looked up in /etc/group by this program itself:
// nothing of the host's name service is linked.
func (s Socket) gid() (int, error) {
	if s.Group == "" {
		return -1, nil
	}
	return lookupGroup("/etc/group", s.Group)
}
