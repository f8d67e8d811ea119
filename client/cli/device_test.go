//go:build linux

package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// nowhere is a socket that nobody listens on: what prints XML needs no daemon.
const nowhere = "/nonexistent/davit.sock"

// TestDeviceMarkup reads back what the options of a command make: every value is where it belongs, however it is spelt, and
// becomes nothing else.
func TestDeviceMarkup(t *testing.T) {
	const hostile = `a'b"c<d>&e]]>é/` + "\t\n"
	disk := func(d *davitv1.Disk) *davitv1.Device { return &davitv1.Device{Kind: &davitv1.Device_Disk{Disk: d}} }
	iface := func(i *davitv1.Interface) *davitv1.Device {
		return &davitv1.Device{Kind: &davitv1.Device_Interface{Interface: i}}
	}
	mount := func(f *davitv1.Filesystem) *davitv1.Device {
		return &davitv1.Device{Kind: &davitv1.Device_Filesystem{Filesystem: f}}
	}
	prefix, long := uint32(24), uint32(64)
	bridge, ethernet := davitv1.InterfaceType_INTERFACE_TYPE_BRIDGE, davitv1.InterfaceType_INTERFACE_TYPE_ETHERNET
	direct, network := davitv1.InterfaceType_INTERFACE_TYPE_DIRECT, davitv1.InterfaceType_INTERFACE_TYPE_NETWORK
	tests := []struct {
		args []string
		want *davitv1.Device
	}{
		{
			[]string{"attach-disk", "web", "/nonexistent/a.img", "vda"},
			disk(&davitv1.Disk{Type: davitv1.DiskType_DISK_TYPE_FILE, SourceFile: "/nonexistent/a.img", TargetDev: "vda"}),
		},
		{
			[]string{"attach-disk", "web", "/dev/nonexistent/b", "sda", "--targetbus", "scsi", "--mode", "readonly", "--serial", hostile},
			disk(&davitv1.Disk{
				Type: davitv1.DiskType_DISK_TYPE_BLOCK, SourceDev: "/dev/nonexistent/b", TargetDev: "sda",
				TargetBus: davitv1.DiskBus_DISK_BUS_SCSI, Readonly: true, Serial: hostile,
			}),
		},
		{
			[]string{"attach-disk", "web", "/dev/zero", "vda", "--sourcetype", "file", "--type", "disk", "--cache", "none", "--driver", "loop", "--subdriver", "raw", "--io", "native", "--mode", "shareable"},
			disk(&davitv1.Disk{
				Type: davitv1.DiskType_DISK_TYPE_FILE, Device: davitv1.DiskDevice_DISK_DEVICE_DISK, SourceFile: "/dev/zero", TargetDev: "vda", Shareable: true,
				Driver: &davitv1.DiskDriver{Name: "loop", Type: "raw", Cache: "none", Io: "native"},
			}),
		},
		{
			[]string{"attach-disk", "--domain", "web", "--source", hostile, "--target", hostile, "--sourcetype=block"},
			disk(&davitv1.Disk{Type: davitv1.DiskType_DISK_TYPE_BLOCK, SourceDev: hostile, TargetDev: hostile}),
		},
		{
			[]string{"attach-interface", "web", "bridge", "br0"},
			iface(&davitv1.Interface{Type: bridge, SourceBridge: "br0"}),
		},
		{
			[]string{
				"attach-interface", "web", "bridge", hostile, "--target", "web0", "--guest", "eth7", "--mac", "00:16:3e:00:00:01", "--mtu", "1400",
				"--ip", "192.0.2.1/24", "--ip", "2001:db8::1/64", "--inbound", "1000,2000,64", "--outbound", "500,,8",
			},
			iface(&davitv1.Interface{
				Type: bridge, SourceBridge: hostile, TargetDev: "web0", GuestDev: "eth7", Mac: "00:16:3e:00:00:01", Mtu: 1400,
				Ip: []*davitv1.IpAddress{
					{Address: "192.0.2.1", Family: davitv1.IpFamily_IP_FAMILY_IPV4, Prefix: &prefix},
					{Address: "2001:db8::1", Family: davitv1.IpFamily_IP_FAMILY_IPV6, Prefix: &long},
				},
				Bandwidth: &davitv1.Bandwidth{
					Inbound:  &davitv1.BandwidthLimit{Average: 1000, Peak: 2000, Burst: 64},
					Outbound: &davitv1.BandwidthLimit{Average: 500, Burst: 8},
				},
			}),
		},
		{
			[]string{"attach-interface", "web", "direct", "enp1s0", "--source-mode", "private"},
			iface(&davitv1.Interface{Type: direct, SourceDev: "enp1s0", SourceMode: davitv1.DirectMode_DIRECT_MODE_PRIVATE}),
		},
		{
			[]string{"attach-interface", "web", "direct", "enp1s0", "--ipvlan", "l2"},
			iface(&davitv1.Interface{Type: direct, SourceDev: "enp1s0", Ipvlan: davitv1.IpvlanMode_IPVLAN_MODE_L2}),
		},
		{[]string{"attach-interface", "web", "ethernet"}, iface(&davitv1.Interface{Type: ethernet})},
		{
			[]string{"attach-interface", "web", "network", "default", "--model", "virtio"},
			iface(&davitv1.Interface{Type: network, SourceNetwork: "default", Other: []string{"<model type='virtio'/>"}}),
		},
		{
			[]string{"attach-filesystem", "web", "/srv/www", "/var/www", "--readonly", "--accessmode", "mapped"},
			mount(&davitv1.Filesystem{
				Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: "/srv/www", TargetDir: "/var/www", Readonly: true,
				Accessmode: davitv1.FilesystemAccessMode_FILESYSTEM_ACCESS_MODE_MAPPED,
			}),
		},
		{
			[]string{"attach-filesystem", "web", hostile, hostile, "--overlay", "discard", "--space-hard-limit", "1GiB"},
			mount(&davitv1.Filesystem{
				Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: hostile, TargetDir: hostile,
				OverlayUpper: davitv1.OverlayUpper_OVERLAY_UPPER_DISCARD, SpaceHardLimit: 1 << 30,
			}),
		},
		{
			[]string{"attach-filesystem", "web", "64MiB", "/tmp", "--type", "ram"},
			mount(&davitv1.Filesystem{Type: davitv1.FilesystemType_FILESYSTEM_TYPE_RAM, SourceUsageKib: 64 << 10, TargetDir: "/tmp"}),
		},
		{
			[]string{"attach-filesystem", "web", "/srv/a.img", "/mnt", "--type", "file", "--driver", "loop", "--format", "raw"},
			mount(&davitv1.Filesystem{
				Type: davitv1.FilesystemType_FILESYSTEM_TYPE_FILE, SourceFile: "/srv/a.img", TargetDir: "/mnt",
				Driver: &davitv1.FilesystemDriver{Type: "loop", Format: "raw"},
			}),
		},
		{
			[]string{"attach-filesystem", "web", "/dev/sdz", "/mnt", "--type", "block"},
			mount(&davitv1.Filesystem{Type: davitv1.FilesystemType_FILESYSTEM_TYPE_BLOCK, SourceDev: "/dev/sdz", TargetDir: "/mnt"}),
		},
		{
			[]string{"attach-filesystem", "web", "/var", "/mnt", "--type", "bind"},
			mount(&davitv1.Filesystem{Type: davitv1.FilesystemType_FILESYSTEM_TYPE_BIND, SourceDir: "/var", TargetDir: "/mnt"}),
		},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			r := run(t, nowhere, "", append(tt.args, "--print-xml")...)
			if r.code != 0 || r.stderr != "" {
				t.Fatalf("exit code %d, %s", r.code, r.stderr)
			}
			got, err := domain.ReadDevice(client.DeviceXML(r.stdout), false)
			if err != nil {
				t.Fatalf("%v\n%s", err, r.stdout)
			}
			if !proto.Equal(got.Device, tt.want) || len(got.Warnings) > 0 {
				t.Errorf("%s\nis read as %v, want %v (warnings %v)", r.stdout, got.Device, tt.want, got.Warnings)
			}
		})
	}
}

// TestDeviceOptions refuses what cannot be meant, before anything is sent.
func TestDeviceOptions(t *testing.T) {
	for args, want := range map[string]string{
		"attach-disk web a vda --mode writable":               "error: No support for writable in command 'attach-disk'",
		"attach-disk web a vda --sourcetype network":          "error: Unknown source type: 'network'",
		"attach-disk web a":                                   "error: command 'attach-disk' requires <target> option",
		"attach-disk web a\x1b[2J vda":                        `error: invalid argument: 'a\x1b[2J' has a character that XML cannot hold`,
		"attach-disk web a\xff vda":                           `error: invalid argument: 'a\xff' has a character that XML cannot hold`,
		"attach-disk web a vda --live --current":              "error: Options --current and --live are mutually exclusive",
		"attach-disk web a vda --persistent --current":        "error: Options --persistent and --current are mutually exclusive",
		"attach-interface web user none":                      "error: No support for user in command 'attach-interface'",
		"attach-interface web bridge":                         "error: command 'attach-interface' requires <source> option",
		"attach-interface web ethernet br0":                   "error: unexpected data 'br0'",
		"attach-interface web bridge br0 --inbound 1,2,3,4,5": "error: Rate string '1,2,3,4,5' has too many fields",
		"attach-interface web bridge br0 --inbound 1,fast":    "error: field 'peak' is malformed",
		"attach-interface web bridge br0 --inbound ,2":        "error: either inbound average or floor is mandatory",
		"attach-interface web bridge br0 --outbound -1":       "error: field 'average' is malformed",
		"attach-interface web bridge br0 --outbound ,2":       "error: outbound average is mandatory",
		"attach-interface web bridge br0 --outbound 1,2,3,4":  "error: outbound floor is unsupported yet",
		"attach-interface web bridge br0 --mtu big":           "error: Numeric value 'big' for <mtu> option is malformed or out of range",
		"attach-interface web bridge br0 --ip 10.0.0.5":       "error: option --ip needs the length of the network's prefix: '10.0.0.5'",
		"attach-interface web bridge br0 --ip fd00::5/":       "error: option --ip needs the length of the network's prefix: 'fd00::5/'",
		"attach-filesystem web /srv /mnt --type template":     "error: No support for template in command 'attach-filesystem'",
		"attach-filesystem web many /tmp --type ram":          "error: Scaled numeric value 'many' for <--source> option is malformed or out of range",
		"attach-filesystem web /a /b --space-hard-limit lots": "error: Scaled numeric value 'lots' for <--space-hard-limit> option is malformed or out of range",
		"domif-setlink web vnet0 sideways":                    "error: invalid link state 'sideways'",
		"domiftune web vnet0 --inbound 0,5":                   "error: inbound average is mandatory",
		"domiftune web vnet0 --outbound 1,,,4":                "error: outbound floor is unsupported yet",
		"domblkinfo web":                                      "error: command 'domblkinfo' requires <device> option",
		"domblkinfo web vda --all":                            "error: Options --all and --device are mutually exclusive",
		"domifaddr web --source rumour":                       "error: Unknown data source 'rumour'",
		"attach-device web /nonexistent/device.xml":           "error: Failed to open file '/nonexistent/device.xml': No such file or directory",
		"attach-device web":                                   "error: command 'attach-device' requires <file> option",
		"update-device web file --force":                      "error: command 'update-device' doesn't support option --force",
		"attach-interface web bridge br0 --script /bin/ifup":  "error: command 'attach-interface' doesn't support option --script",
		"detach-device-alias web net0 --persistent":           "error: command 'detach-device-alias' doesn't support option --persistent",
	} {
		r := run(t, nowhere, "", strings.Split(args, " ")...)
		first, _, _ := strings.Cut(r.stderr, "\n")
		if r.code != 1 || first != want {
			t.Errorf("%q: exit code %d, %q; want 1, %q", args, r.code, first, want)
		}
	}
}

// TestAddressesOfNoInterface tells that there is no such interface, instead of nothing.
func TestAddressesOfNoInterface(t *testing.T) {
	socket, _ := fixedDevices(t)
	r := run(t, socket, "", "domifaddr", "web", "vnet99")
	if want := "invalid path, 'vnet99' is not a known interface"; r.code != 1 || !strings.Contains(r.stderr, want) || strings.TrimSpace(r.stdout) != "" {
		t.Errorf("exit code %d, %q and %q; want 1, %q", r.code, r.stderr, r.stdout, want)
	}
	if r = run(t, socket, "", "domifaddr", "web", "vnet0"); r.code != 0 {
		t.Errorf("of one that there is: exit code %d, %q", r.code, r.stderr)
	}
}

// TestDeviceScopes sends what the options say to change: as with virsh the running domain where they say nothing, but for a
// change of a device, and --persistent both definitions of a domain that runs.
func TestDeviceScopes(t *testing.T) {
	socket, stub := fixedDevices(t)
	file := filepath.Join(t.TempDir(), "device.xml")
	if err := os.WriteFile(file, []byte("<disk type='file'/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := map[string]string{ // what stands for no option
		"attach-device {} FILE": "LIVE", "detach-device {} FILE": "LIVE", "update-device {} FILE": "CURRENT",
		"attach-disk {} /a.img vda": "LIVE", "attach-interface {} bridge br0": "LIVE", "attach-filesystem {} /a /b": "LIVE",
		"detach-disk {} vda": "LIVE", "detach-interface {} direct": "LIVE", "detach-filesystem {} /tmp": "LIVE",
	}
	scopes := []struct{ options, web, db string }{
		{"--live", "LIVE", "LIVE"},
		{"--config", "CONFIG", "CONFIG"},
		{"--live --config", "LIVE_AND_CONFIG", "LIVE_AND_CONFIG"},
		{"--current", "CURRENT", "CURRENT"},
		{"--persistent", "LIVE_AND_CONFIG", "CONFIG"},
		{"--persistent --config", "LIVE_AND_CONFIG", "CONFIG"},
		{"--persistent --live", "LIVE_AND_CONFIG", "LIVE_AND_CONFIG"},
	}
	for command, otherwise := range commands {
		for _, s := range append(scopes, struct{ options, web, db string }{"", otherwise, otherwise}) {
			for name, want := range map[string]string{"web": s.web, "db": s.db} {
				line := strings.NewReplacer("{}", name, "FILE", file).Replace(command)
				r := run(t, socket, "", append(strings.Fields(line), strings.Fields(s.options)...)...)
				asked := stub.changes()
				if r.code != 0 || len(asked) != 1 {
					t.Errorf("%s %s: exit code %d, %s, %d requests", line, s.options, r.code, r.stderr, len(asked))
					continue
				}
				m := asked[0].ProtoReflect()
				affect := davitv1.Affect(m.Get(m.Descriptor().Fields().ByName("affect")).Enum())
				if got := strings.TrimPrefix(affect.String(), "AFFECT_"); got != want {
					t.Errorf("%s %s changes %s, want %s", line, s.options, got, want)
				}
			}
		}
	}
}

// TestDeviceRequests sends the device that is meant.
func TestDeviceRequests(t *testing.T) {
	socket, stub := fixedDevices(t)
	file := filepath.Join(t.TempDir(), "device.json")
	const document = `{"interface": {"mac": "00:16:3e:00:00:01"}}`
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	like := func(d *davitv1.Device) *davitv1.DeviceSelector { return client.ByDevice(client.DeviceModel(d)) }
	live, stored := definitionOf(true).GetDevices(), definitionOf(false).GetDevices()
	iface := func(i *davitv1.Interface, change func(*davitv1.Interface)) *davitv1.DeviceSource {
		change(i)
		return client.DeviceModel(&davitv1.Device{Kind: &davitv1.Device_Interface{Interface: i}})
	}
	web, current := client.ByUUID(webUUID), davitv1.Affect_AFFECT_CURRENT
	vdb := like(&davitv1.Device{Kind: &davitv1.Device_Disk{Disk: &davitv1.Disk{Type: davitv1.DiskType_DISK_TYPE_BLOCK, TargetDev: "vdb"}}})
	second := like(&davitv1.Device{Kind: &davitv1.Device_Interface{Interface: &davitv1.Interface{
		Type: davitv1.InterfaceType_INTERFACE_TYPE_BRIDGE, Mac: "00:16:3e:00:00:02",
	}}})
	limits := func(inbound, outbound *davitv1.BandwidthLimit) func(*davitv1.Interface) {
		return func(i *davitv1.Interface) { i.Bandwidth = &davitv1.Bandwidth{Inbound: inbound, Outbound: outbound} }
	}
	was := &davitv1.BandwidthLimit{Average: 1000, Peak: 2000, Burst: 64}
	tests := []struct {
		line string
		want []proto.Message
	}{
		{"attach-device web FILE --live", []proto.Message{
			&davitv1.AttachDeviceRequest{Domain: web, Source: client.DeviceXML(document), Affect: davitv1.Affect_AFFECT_LIVE},
		}},
		{"detach-device web FILE --current", []proto.Message{
			&davitv1.DetachDeviceRequest{Domain: web, Device: client.ByDevice(client.DeviceXML(document)), Affect: current},
		}},
		{"detach-device-alias web net1", []proto.Message{
			&davitv1.DetachDeviceRequest{Domain: web, Device: client.ByAlias("net1"), Affect: davitv1.Affect_AFFECT_LIVE},
		}},
		{"detach-disk web vdb --current", []proto.Message{&davitv1.DetachDeviceRequest{Domain: web, Device: vdb, Affect: current}}},
		{"detach-disk web /dev/mapper/b --current", []proto.Message{&davitv1.DetachDeviceRequest{Domain: web, Device: vdb, Affect: current}}},
		{"detach-interface web bridge --mac 00:16:3E:00:00:02 --current", []proto.Message{
			&davitv1.DetachDeviceRequest{Domain: web, Device: second, Affect: current},
		}},
		{"detach-filesystem web /tmp --current", []proto.Message{&davitv1.DetachDeviceRequest{Domain: web, Affect: current, Device: like(
			&davitv1.Device{Kind: &davitv1.Device_Filesystem{Filesystem: &davitv1.Filesystem{
				Type: davitv1.FilesystemType_FILESYSTEM_TYPE_RAM, TargetDir: "/tmp",
			}}})}}},
		{"domif-setlink web vnet1 down", []proto.Message{&davitv1.UpdateDeviceRequest{Domain: web, Affect: current, Source: iface(
			proto.CloneOf(live.GetInterface()[1]), func(i *davitv1.Interface) { i.LinkState = davitv1.LinkState_LINK_STATE_DOWN })}}},
		{"domif-setlink web eth1 down", []proto.Message{&davitv1.UpdateDeviceRequest{Domain: web, Affect: current, Source: iface(
			proto.CloneOf(live.GetInterface()[1]), func(i *davitv1.Interface) { i.LinkState = davitv1.LinkState_LINK_STATE_DOWN })}}},
		{"domif-setlink web net1 down --config", []proto.Message{&davitv1.UpdateDeviceRequest{
			Domain: web, Affect: davitv1.Affect_AFFECT_CONFIG, Etag: "e1", Source: iface(
				proto.CloneOf(stored.GetInterface()[1]), func(i *davitv1.Interface) { i.LinkState = davitv1.LinkState_LINK_STATE_DOWN }),
		}}},
		{"domiftune web eth2 --inbound 7", []proto.Message{&davitv1.UpdateDeviceRequest{Domain: web, Affect: current, Source: iface(
			proto.CloneOf(live.GetInterface()[2]), limits(&davitv1.BandwidthLimit{Average: 7}, nil))}}},
		{"domif-setlink web lo down", nil},
		{"domif-setlink db eth1 down", nil},
		{"domif-setlink web 0:16:3e:0:0:3 up", nil},
		{"domif-setlink web 00:16:3E:00:00:03 up --config", []proto.Message{&davitv1.UpdateDeviceRequest{
			Domain: web, Affect: davitv1.Affect_AFFECT_CONFIG, Etag: "e1", Source: iface(
				proto.CloneOf(stored.GetInterface()[2]), func(i *davitv1.Interface) { i.LinkState = davitv1.LinkState_LINK_STATE_UP }),
		}}},
		{"domiftune web vnet1 --outbound 300", []proto.Message{&davitv1.UpdateDeviceRequest{Domain: web, Affect: current, Source: iface(
			proto.CloneOf(live.GetInterface()[1]), limits(was, &davitv1.BandwidthLimit{Average: 300}))}}},
		{"domiftune web vnet1 --inbound 0", []proto.Message{&davitv1.UpdateDeviceRequest{Domain: web, Affect: current, Source: iface(
			proto.CloneOf(live.GetInterface()[1]), func(i *davitv1.Interface) { i.Bandwidth = nil })}}},
		{"domif-setlink db 00:16:3e:00:00:01 down", []proto.Message{&davitv1.UpdateDeviceRequest{
			Domain: client.ByUUID(dbUUID), Affect: current, Etag: "e2", Source: iface(
				proto.CloneOf(stored.GetInterface()[0]), func(i *davitv1.Interface) { i.LinkState = davitv1.LinkState_LINK_STATE_DOWN }),
		}}},
		{"domiftune web 00:16:3e:00:00:02 --inbound 7,8,9 --live --config", []proto.Message{
			&davitv1.UpdateDeviceRequest{Domain: web, Affect: davitv1.Affect_AFFECT_LIVE, Source: iface(
				proto.CloneOf(live.GetInterface()[1]), limits(&davitv1.BandwidthLimit{Average: 7, Peak: 8, Burst: 9}, nil))},
			&davitv1.UpdateDeviceRequest{Domain: web, Affect: davitv1.Affect_AFFECT_CONFIG, Etag: "e1", Source: iface(
				proto.CloneOf(stored.GetInterface()[1]), limits(&davitv1.BandwidthLimit{Average: 7, Peak: 8, Burst: 9}, nil))},
		}},
	}
	for _, tt := range tests {
		r := run(t, socket, "", strings.Fields(strings.ReplaceAll(tt.line, "FILE", file))...)
		asked := stub.changes()
		if (r.code == 0) != (tt.want != nil) || len(asked) != len(tt.want) {
			t.Errorf("%s: exit code %d, %s, asked for %v", tt.line, r.code, r.stderr, asked)
			continue
		}
		for i, m := range asked {
			id := m.ProtoReflect().Descriptor().Fields().ByName("request_id")
			if m.ProtoReflect().Get(id).String() == "" {
				t.Errorf("%s: request without id", tt.line)
			}
			m.ProtoReflect().Clear(id)
			if !proto.Equal(m, tt.want[i]) {
				t.Errorf("%s asks for\n%v, want\n%v", tt.line, m, tt.want[i])
			}
		}
	}
}

// TestDeviceFailures puts the daemon's reasons into libvirt's words, with a hint where the running domain was meant by silence.
func TestDeviceFailures(t *testing.T) {
	socket, stub := fixedDevices(t)
	for _, tt := range []struct {
		line   string
		reason davitv1.ErrorReason
		want   string
	}{
		{
			"attach-disk web /a.img vdc", davitv1.ErrorReason_ERROR_REASON_DEVICE_EXISTS,
			"error: Failed to attach disk\nerror: operation failed: MESSAGE\n",
		},
		{
			"detach-disk web vda", davitv1.ErrorReason_ERROR_REASON_DEVICE_BUSY,
			"error: Failed to detach disk\nerror: resource busy: MESSAGE\n",
		},
		{
			"detach-device-alias web net7", davitv1.ErrorReason_ERROR_REASON_DEVICE_NOT_FOUND,
			"error: Failed to detach device with alias net7\nerror: device not found: MESSAGE\n",
		},
		{
			"domif-setlink web vnet0 down", davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED,
			"error: Failed to update interface link state\nerror: operation failed: MESSAGE\n",
		},
		{
			"attach-filesystem db /a /b", davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE,
			"error: Failed to attach filesystem\nerror: Requested operation is not valid: MESSAGE\n" +
				"hint: --config changes its definition, for the next start\n",
		},
		{
			"attach-filesystem db /a /b --live", davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE,
			"error: Failed to attach filesystem\nerror: Requested operation is not valid: MESSAGE\n",
		},
	} {
		stub.fail = &domain.Error{Code: codes.FailedPrecondition, Reason: tt.reason, Message: "MESSAGE"}
		r := run(t, socket, "", strings.Fields(tt.line)...)
		if r.code != 1 || r.stderr != tt.want {
			t.Errorf("%s: exit code %d, stderr\n%swant 1,\n%s", tt.line, r.code, r.stderr, tt.want)
		}
	}
}

// TestDeviceCompletion offers the devices of the domain that the line names.
func TestDeviceCompletion(t *testing.T) {
	socket, _ := fixedDevices(t)
	for line, want := range map[string][]string{
		"detach-disk|web|":                   {"vda", "vdb"},
		"detach-disk|db|v":                   {"vda", "vdb"},
		"detach-disk|--domain|web|--target|": {"vda", "vdb"},
		"detach-disk|nope|":                  nil,
		"domblkstat|web|vdb":                 {"vdb"},
		"domblkinfo|--domain=web|":           {"vda", "vdb"},
		"domif-getlink|web|":                 {"vnet0", "00:16:3e:00:00:01", "vnet1", "00:16:3e:00:00:02", "00:16:3e:00:00:03"},
		"domif-setlink|web|vnet0|":           {"down", "up"},
		"domiftune|web|vnet":                 {"vnet0", "vnet1"},
		"domifaddr|web|":                     {"vnet0", "vnet1"},
		"detach-device-alias|web|n":          {"net0", "net1", "net2"},
		"detach-interface|web|":              {"bridge", "direct", "ethernet", "network"},
		"detach-interface|web|direct|--mac|": {"00:16:3e:00:00:01", "00:16:3e:00:00:02", "00:16:3e:00:00:03"},
		"detach-filesystem|web|":             {"/var/www", "/tmp"},
		"attach-interface|web|b":             {"bridge"},
		"attach-disk|web|a|vda|--mode|":      {"readonly", "shareable"},
		"attach-filesystem|--type|b":         {"bind", "block"},
		"domifaddr|--source|":                {"agent"},
		"update-device|":                     {"web", "db", "gone"},
	} {
		offers, _ := completions(t, socket, strings.Split(line, "|")...)
		for i := range offers {
			offers[i], _, _ = strings.Cut(offers[i], "\t")
		}
		if diff := cmp.Diff(want, offers); diff != "" && len(want)+len(offers) > 0 {
			t.Errorf("%q (-want +got):\n%s", line, diff)
		}
	}
}

// TestDeviceEventWords has a word for whatever may happen to a device, and lists it.
func TestDeviceEventWords(t *testing.T) {
	r := run(t, nowhere, "", "event", "--list")
	words := strings.Fields(r.stdout)
	for n, name := range davitv1.DeviceEventType_name {
		if n == 0 {
			continue
		}
		word := "device-" + strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "DEVICE_EVENT_TYPE_")), "_", "-")
		if !slices.Contains(words, word) {
			t.Errorf("%s is not listed: %s", word, fmt.Sprint(words))
		}
	}
}
