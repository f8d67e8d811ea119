package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// patience is how long a condition is waited for: the guest's processor is emulated.
const patience = 3 * time.Minute

// test boots the Debian and goes through the life of the package.
func test(ctx context.Context, o options) error {
	b, err := startBox(filepath.Join(o.cache, o.suite), "/tmp/box", o.cache)
	if err != nil {
		return err
	}
	if err = b.until(ctx, "systemd is up", `systemctl is-system-running | grep -qE 'running|degraded'`); err != nil {
		return err
	}
	if o.script != "" {
		steps = []step{{"script", o.script}}
	}
	for _, s := range steps {
		begun := time.Now()
		var out string
		out, err = b.do(ctx, s.script)
		_, _ = fmt.Fprintf(os.Stdout, "=== %s (%.1fs)\n%s", s.name, time.Since(begun).Seconds(), out)
		if err != nil {
			journal, _ := b.do(ctx, `journalctl --no-pager -n 60; systemctl status --no-pager davitd.service`)
			_, _ = fmt.Fprintf(os.Stdout, "=== journal\n%s", journal)
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	_, err = fmt.Fprintln(os.Stdout, "=== ok")
	return err
}

// do runs a script in the box.
func (b *box) do(ctx context.Context, script string) (string, error) {
	cmd := exec.CommandContext(ctx, "nsenter", "-t", strconv.Itoa(b.init.Process.Pid), "-m", "-u", "-i", "-n", "-p", "-C", "--",
		"/bin/sh", "-c", prelude+script)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// until waits for a condition in the box.
func (b *box) until(ctx context.Context, what, script string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for tick := time.NewTicker(500 * time.Millisecond); ; {
		out, err := b.do(ctx, script)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w: %s", what, errors.Join(ctx.Err(), err), out)
		case <-tick.C:
			if b.init.ProcessState != nil {
				return errors.New("the box has ended")
			}
		}
	}
}

// prelude is what the scripts share. The id of a domain's init and when it began tell it from any other.
const prelude = `set -eu
domains=/sys/fs/cgroup/machine.slice/davit-domains.service
fail() { echo "FAIL: $*"; exit 1; }
same() { [ "$1" = "$2" ] || fail "got '$1', want '$2'${3:+: $3}"; }
until_true() { end=$(($(date +%s) + 120)); until eval "$1"; do [ $(date +%s) -lt $end ] || fail "never: $1"; sleep 0.5; done; }
main_pid() { systemctl show -P MainPID davitd.service; }
init_of() { p=$(head -n 1 $domains/machine/davit-*/init/cgroup.procs); echo "$p $(awk '{print $22}' /proc/$p/stat)"; }
`

// step is a part of the test, a script.
type step struct{ name, script string }

// steps are the life of the package.
var steps = []step{
	{"install", `
dpkg -i /mnt/davit_` + oldVersion + `.deb
for unit in davitd.socket davitd-ro.socket davitd-admin.socket davitd.service davit-domains.service; do
	same "$(systemctl is-active $unit)" active $unit
done
for unit in davitd.socket davitd-ro.socket davitd-admin.socket davitd.service; do
	same "$(systemctl is-enabled $unit)" enabled $unit
done
same "$(stat -c '%a %U:%G' /run/davit/davit.sock)" "660 root:davit"
same "$(stat -c '%a %U:%G' /run/davit/davit-ro.sock)" "666 root:root"
same "$(stat -c '%a %U:%G' /run/davit/davit-admin.sock)" "600 root:root"
same "$(stat -c %a /var/lib/davit)" 700
davit version
`},
	{"socket activation", `
systemctl stop davitd.service
same "$(systemctl is-active davitd.service || true)" inactive
davit list --all
same "$(systemctl is-active davitd.service)" active
`},
	{"who may do what", `
useradd -m -G davit member && useradd -m nobody-special
cat >/tmp/member.xml <<END
<domain type='lxc'><name>m</name><memory>65536</memory><os><type>exe</type><init>/bin/true</init></os></domain>
END
chmod 644 /tmp/member.xml
runuser -u member -- davit define /tmp/member.xml
runuser -u nobody-special -- davit -r list --all
! runuser -u nobody-special -- davit list --all || fail "a stranger came through davit.sock"
runuser -u member -- davit undefine m
`},
	{"run a domain", `
cat >/tmp/web.xml <<END
<domain type='lxc'>
  <name>web</name>
  <memory unit='MiB'>64</memory>
  <os><type>exe</type><init>/bin/sh</init><initarg>-c</initarg><initarg>trap 'exit 0' TERM; while :; do sleep 1; done</initarg></os>
  <devices><console type='pty'/></devices>
</domain>
END
davit define /tmp/web.xml
davit start web
same "$(davit domstate web | head -n 1)" running
davit exec web -- /bin/echo hello from inside
init_of | tee /tmp/init
same "$(cat /sys/fs/cgroup/machine.slice/davit-domains.service/machine/davit-*/memory.max)" 67108864
same "$(cat /proc/$(main_pid)/oom_score_adj)" -500
read -r pid _ </tmp/init
same "$(cat /proc/$pid/oom_score_adj)" 100 "a guest is not what the kernel ends first"
`},
	{"restart of the service", `
before=$(main_pid)
systemctl restart davitd.service
[ "$(main_pid)" != "$before" ] || fail "the daemon was not started anew"
same "$(davit domstate web | head -n 1)" running
same "$(init_of)" "$(cat /tmp/init)"
`},
	{"reload of the configuration", `
before=$(main_pid)
systemctl reload davitd.service
until_true 'systemctl show -P StatusText davitd.service | grep -q "The configuration is read again"'
cp -p /etc/davit/davitd.toml /tmp/davitd.toml
echo 'drivr = "fake"' >>/etc/davit/davitd.toml
! systemctl reload davitd.service || fail "the reload of a configuration with a fault succeeded"
kill -HUP "$before"
until_true 'systemctl show -P StatusText davitd.service | grep -q "NOT read again"'
davit doctor | grep -q '^ *configuration .*drivr' || fail "the daemon does not tell of the fault"
cp -p /tmp/davitd.toml /etc/davit/davitd.toml
systemctl reload davitd.service
until_true '! davit doctor | grep -q "^ *configuration "'
same "$(main_pid)" "$before" "the daemon was started anew"
same "$(systemctl is-active davitd.service)" active
`},
	{"upgrade", `
before=$(main_pid)
dpkg -i /mnt/davit_` + newVersion + `.deb
[ "$(main_pid)" != "$before" ] || fail "the daemon was not started anew"
same "$(davitd --version)" "davitd ` + newVersion + `"
davit version
same "$(davit domstate web | head -n 1)" running
same "$(init_of)" "$(cat /tmp/init)"
davit exec web -- /bin/echo hello from inside
`},
	{"kill of the daemon", `
before=$(main_pid)
kill -KILL "$before"
until_true '[ "$(main_pid)" != "$before" ] && [ "$(systemctl is-active davitd.service)" = active ]'
same "$(davit domstate web | head -n 1)" running
same "$(init_of)" "$(cat /tmp/init)"
`},
	{"watchdog", `
mkdir -p /run/systemd/system/davitd.service.d
printf '[Service]\nWatchdogSec=10\n' >/run/systemd/system/davitd.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart davitd.service
before=$(main_pid)
sleep 25
same "$(main_pid)" "$before" "a daemon that is well was ended"
kill -STOP "$before"
until_true '[ "$(main_pid)" != "$before" ] && [ "$(systemctl is-active davitd.service)" = active ]'
same "$(davit domstate web | head -n 1)" running
same "$(init_of)" "$(cat /tmp/init)"
rm -r /run/systemd/system/davitd.service.d
systemctl daemon-reload
`},
	{"reload of systemd", `
systemctl daemon-reexec
same "$(davit domstate web | head -n 1)" running
same "$(init_of)" "$(cat /tmp/init)"
davit destroy web
davit start web
davit exec web -- /bin/true
`},
	{"stop of the domains, as when the host goes down", `
systemctl stop davit-domains.service
same "$(systemctl is-active davitd.service || true)" inactive
[ ! -e $domains ] || fail "domains are left: $(find $domains -name 'davit-*')"
same "$(davit domstate web | head -n 1)" "shut off"
same "$(systemctl is-active davit-domains.service)" active
davit why web
davit start web
davit exec web -- /bin/true
davit logs web
davit admin status
`},
	{"purge with a domain running", `
dpkg --purge davit
for path in /var/lib/davit /var/log/davit /run/davit /var/lib/davit-ids /etc/davit /usr/bin/davit /usr/share/doc/davit; do
	[ ! -e $path ] || fail "$path is left: $(ls -la $path)"
done
! getent group davit || fail "the group is left"
left=$(grep -lsE '^Name:\s*(davit|sleep)' /proc/[0-9]*/status || true)
same "$left" "" "processes are left"
left=$(find /sys/fs/cgroup -name 'davit*')
same "$left" "" "cgroups are left"
left=$(find /etc /usr /var /run -xdev -iname '*davit*' -not -path '/var/log/journal/*' -not -path '/run/log/*')
same "$left" "" "files are left"
left=$(systemctl list-units --all --plain --no-legend 'davit*')
same "$left" "" "units are left"
same "$(dpkg -l davit 2>/dev/null | grep -c '^.[^n]  *davit' || true)" 0
`},
}
