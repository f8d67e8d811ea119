package debiantest_test

// prelude is what the scripts share.
const prelude = `set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root
fail() { echo "FAIL: $*"; exit 1; }
same() { [ "$1" = "$2" ] || fail "got '$1', want '$2'${3:+: $3}"; }
refused() { if "$@" 2>/dev/null; then fail "it was allowed: $*"; fi; }
until_true() { end=$((SECONDS + 120)); until eval "$1"; do [ $SECONDS -lt $end ] || fail "never: $1"; sleep 0.2; done; }
`

// check is something that a whole system does, as a script that fails where it cannot.
type check struct {
	name, script string
	again        bool // after a reboot, too
}

var checks = []check{
	{name: "what it is told of its host", again: true, script: `
same "$(systemd-detect-virt --container)" lxc-libvirt
systemd-detect-virt --private-users || fail "no user namespace"
same "$(tr '\0' '\n' </proc/1/environ | sed -n 's/^container=//p')" lxc-libvirt
same "$(tr '\0' '\n' </proc/1/environ | sed -n 's/^container_uuid=//p')" ` + domainUUID + `
same "$(cat /run/systemd/container)" lxc-libvirt
same "$(hostname)" ` + domainName + `
same "$(hostnamectl hostname)" ` + domainName + `
same "$(cat /etc/machine-id)" "$(echo ` + domainUUID + ` | tr -d -)" "machine-id"
`},
	{name: "users of its own", again: true, script: `
read -r inside outside count </proc/self/uid_map
same "$inside $count" "0 65536"
[ "$outside" -ge 100000 ] || fail "its root is $outside on the host"
same "$(stat -c '%u:%g' /etc/passwd /root /home/member | tr '\n' ' ')" "0:0 0:0 1000:1000 "
`},
	{name: "targets", again: true, script: `
for target in multi-user.target sysinit.target basic.target sockets.target timers.target getty.target remote-fs.target; do
	same "$(systemctl is-active $target || true)" active $target
done
for service in dbus cron ssh systemd-logind systemd-journald console-getty container-getty@1; do
	same "$(systemctl is-active $service || true)" active $service
done
same "$(systemctl list-jobs --no-legend)" "" "jobs are left"
`},
	{name: "no hardware", script: `
same "$(systemctl is-active systemd-udevd || true)" inactive
same "$(systemctl is-active dev-hugepages.mount dev-mqueue.mount || true)" "$(printf 'inactive\nactive')"
same "$(ls -A /sys/kernel/debug /sys/kernel/tracing | grep -v : | tr -d '\n')" "" "what is masked"
refused touch /sys/written
refused sh -c 'echo 1 >/sys/kernel/mm/ksm/run'
refused mknod /tmp/disk b 254 0
`},
	{name: "kernel settings", again: true, script: `
same "$(sysctl -n net.ipv4.ip_forward)" 0
sysctl -qw net.ipv4.ip_forward=1
same "$(sysctl -n net.ipv4.ip_forward)" 1
sysctl -qw net.ipv4.ip_forward=0
same "$(systemctl is-active systemd-sysctl)" active
echo net.ipv4.conf.all.log_martians=1 >/etc/sysctl.d/davit.conf
systemctl restart systemd-sysctl
same "$(sysctl -n net.ipv4.conf.all.log_martians)" 1
refused sysctl -qw net.core.bpf_jit_enable=1
refused sysctl -qw kernel.core_pattern=/tmp/core
refused sysctl -qw kernel.panic=1
refused sysctl -qw vm.overcommit_memory=1
refused sh -c 'echo b >/proc/sysrq-trigger'
`},
	{name: "cgroups", again: true, script: `
same "$(stat -f -c %T /sys/fs/cgroup)" cgroup2fs
same "$(sed -n s/^0:://p /proc/1/cgroup)" /init.scope
same "$(grep -v -e ^0: -e ':/$' /proc/1/cgroup || true)" "" "init sees more than its own"
same "$(systemctl show -P ControlGroup cron.service)" /system.slice/cron.service
grep -qx "$(systemctl show -P MainPID cron.service)" /sys/fs/cgroup/system.slice/cron.service/cgroup.procs || fail "cron is not in its cgroup"
systemd-cgls --no-pager | grep -q cron.service
unit=$(systemd-run --quiet --wait --pipe -p Delegate=yes sh -c 'cd /sys/fs/cgroup"$(sed -n s/^0:://p /proc/self/cgroup)"; mkdir sub; echo 0 >sub/cgroup.procs; sed -n s/^0:://p /proc/self/cgroup')
case $unit in /system.slice/run-*.service/sub) ;; *) fail "a delegated unit is in '$unit'" ;; esac
refused sh -c 'echo $$ >/sys/fs/cgroup/../cgroup.procs/cgroup.procs'
refused sh -c 'echo 1 >/sys/fs/cgroup/cgroup.max.descendants'
`},
	{name: "journal", again: true, script: `
journalctl --boot --no-pager --quiet --lines 1 | grep -q .
logger --tag davit-check "token $$"
until_true 'journalctl --sync; journalctl --boot --no-pager --quiet --identifier davit-check | grep -q "token '$$'"'
`},
	{name: "unit in a sandbox", again: true, script: `
echo outside >/tmp/seen
out=$(systemd-run --quiet --wait --pipe -p PrivateTmp=yes -p ProtectSystem=strict -p ProtectHome=yes -p PrivateDevices=yes -p DynamicUser=yes \
	-p StateDirectory=sandbox sh -c '
id -u
ls /tmp | grep -c seen
touch /usr/written 2>/dev/null && echo wrote /usr
ls /home/member >/dev/null 2>&1 && echo saw /home
ls /dev | tr "\n" " "
echo
touch /var/lib/sandbox/kept && echo kept
')
set -- $(printf '%s\n' "$out" | head -n 2)
[ "$1" -ge 61184 ] && [ "$1" -le 65519 ] || fail "its user is $1"
same "$2" 0 "it sees /tmp"
case $out in *wrote*|*saw*) fail "$out" ;; esac
case $out in *console*|*tty1*) fail "it has devices: $out" ;; *null*zero*kept) ;; *) fail "$out" ;; esac
`},
	{name: "unit in namespaces of its own", again: true, script: `
ours=$(readlink /proc/self/ns/net /proc/self/ns/user /proc/self/ns/mnt /proc/self/ns/ipc)
theirs=$(systemd-run --quiet --wait --pipe -p PrivateNetwork=yes -p PrivateUsers=yes -p PrivateIPC=yes -p ProtectHostname=yes \
	readlink /proc/self/ns/net /proc/self/ns/user /proc/self/ns/mnt /proc/self/ns/ipc)
same "$(printf '%s\n' $ours $theirs | sort | uniq -d)" "" "namespaces are shared"
`},
	{name: "unit behind a filter", script: `
out=$(systemd-run --quiet --wait --pipe -p NoNewPrivileges=yes -p SystemCallFilter='~@reboot uname' -p SystemCallErrorNumber=EPERM -p RestrictNamespaces=yes \
	-p MemoryDenyWriteExecute=yes -p RestrictAddressFamilies=AF_UNIX -p LockPersonality=yes -p RestrictRealtime=yes -p RestrictSUIDSGID=yes \
	sh -c 'uname 2>/dev/null && echo uname; unshare --user true 2>/dev/null && echo unshare; sed -n "s/^Seccomp:\t//p" /proc/self/status')
same "$out" 2
`},
	{name: "unit that protects the kernel", script: `
same "$(systemd-run --quiet --wait --pipe -p ProtectKernelTunables=yes -p ProtectKernelModules=yes -p ProtectKernelLogs=yes -p ProtectControlGroups=yes \
	-p ProtectClock=yes -p ProtectProc=invisible -p ProcSubset=pid sh -c 'test -w /sys/fs/cgroup && echo writes cgroups; echo done')" done
`},
	{name: "units that watch", script: `
systemd-run --quiet --unit=davit-timer --on-active=100ms --timer-property=AccuracySec=1ms touch /run/davit-timer
until_true '[ -e /run/davit-timer ]'
systemd-run --quiet --unit=davit-again -p Restart=on-failure -p RestartSec=10ms sh -c '[ -e /run/davit-again ] || { touch /run/davit-again; exit 1; }; exec sleep infinity'
until_true 'systemctl is-active --quiet davit-again && [ "$(systemctl show -P NRestarts davit-again)" = 1 ]'
kill -KILL "$(systemctl show -P MainPID davit-again)"
until_true 'systemctl is-active --quiet davit-again && [ "$(systemctl show -P NRestarts davit-again)" = 2 ]'
systemctl stop davit-again
`},
	{name: "mounts", script: `
same "$(stat -f -c %T /run)" tmpfs
same "$(stat -f -c %T /run/lock)" tmpfs
same "$(stat -f -c %T /dev/shm)" tmpfs
same "$(stat -c '%a %u' /tmp)" "1777 0"
systemd-tmpfiles --create
mount -t tmpfs none /mnt
mount --bind /etc /mnt
umount /mnt
umount /mnt
mkdir -p /srv/davit
systemd-mount --quiet --type=tmpfs none /srv/davit
same "$(systemctl is-active srv-davit.mount)" active
systemd-umount /srv/davit
`},
	{name: "log in as somebody", script: `
same "$(su - member -c 'id -un; pwd')" "$(printf 'member\n/home/member')"
loginctl enable-linger member
until_true 'systemctl is-active --quiet user@1000.service'
same "$(su - member -c 'XDG_RUNTIME_DIR=/run/user/1000 systemctl --user is-system-running --wait')" running
same "$(stat -c %u /run/user/1000)" 1000
loginctl disable-linger member
`},
	{name: "privileges that programs give", script: `
same "$(su member -c 'sudo --non-interactive id -u')" 0
same "$(sed -n 's/^NoNewPrivs:\t//p' /proc/self/status)" 0
refused su member -c 'cat /etc/shadow'
`},
	{name: "network", again: true, script: `
until_true 'ip -4 -brief address show scope global | grep -q 10.111.0.2/24'
ping -q -c 1 -W 30 127.0.0.1
ping -q -c 1 -W 30 10.111.0.2
ping -q -c 1 -W 30 ` + hostAddress + `
su member -c 'ping -q -c 1 -W 30 127.0.0.1'
exec 3<>/dev/tcp/127.0.0.1/22
read -r -t 30 banner <&3
case $banner in SSH-2.0-*) ;; *) fail "the server says '$banner'" ;; esac
`},
	{name: "changes to itself", script: `
hostnamectl set-hostname other
same "$(hostname)" other
hostnamectl set-hostname ` + domainName + `
same "$(hostname)" ` + domainName + `
systemctl start systemd-networkd
same "$(systemctl is-active systemd-networkd)" active
networkctl --no-pager --no-legend list | grep -q eth0
systemctl stop systemd-networkd.socket systemd-networkd
systemctl daemon-reload
systemctl daemon-reexec
until_true '[ "$(systemctl is-system-running)" = running ]'
same "$(systemctl --failed --plain --no-legend)" ""
`},
	{name: "packages", script: `
apt-get --version | grep -q '^apt 2'
same "$(dpkg --audit)" ""
apt-get -qq check
`},
	{name: "devices", again: true, script: `
for name in console full null ptmx random tty urandom zero pts/0 shm; do
	[ -e /dev/$name ] || fail "there is no /dev/$name"
done
for name in mem kmsg tty0 loop-control fuse kvm; do
	[ ! -e /dev/$name ] || fail "there is a /dev/$name"
done
same "$(stat -c %t /dev/console)" 88
head -c 8 /dev/urandom >/dev/null
echo x >/dev/null
`},
}
