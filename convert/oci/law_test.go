package oci_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/davitd/davit/convert"
	"github.com/davitd/davit/convert/oci"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestThereAndBack writes definitions of all that both can say, and reads them again: nothing is told of, and they are what
// they were.
func TestThereAndBack(t *testing.T) {
	for seed := range uint64(500) {
		want := generate(rand.New(rand.NewPCG(seed, 1)))
		domain.Normalize(want)
		text, warnings, err := oci.Write(want, oci.Options{Device: numbered})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, w := range warnings {
			t.Errorf("seed %d: writing loses something: %s", seed, w)
		}
		got, warnings, err := oci.Read("/srv/bundle/config.json", text, oci.Options{})
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		for _, w := range warnings {
			t.Errorf("seed %d: reading loses something: %s\n%s", seed, w, text)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("seed %d: -want +got:\n%s\n%s", seed, diff, text)
		}
		if t.Failed() {
			return
		}
	}
}

// numbered gives every device a number of its own.
func numbered(path string) (major, minor int64, err error) {
	_, err = fmt.Sscanf(path, "/dev/d%d", &minor)
	return 200, minor, err
}

// generate makes a definition of what OCI can say.
func generate(r *rand.Rand) *davitv1.Domain {
	some := func() bool { return r.IntN(2) == 0 }
	def := &davitv1.Domain{
		Type: davitv1.DomainType_DOMAIN_TYPE_LXC, Name: fmt.Sprintf("guest-%d.example", r.IntN(1000)),
		MemoryKib: 1 + r.Uint64N(1<<32), Os: &davitv1.Os{Type: "exe", Init: "/bin/init"},
		Features: &davitv1.Features{Privnet: true},
		Devices: &davitv1.Devices{
			Emulator:   domain.Emulator,
			Filesystem: []*davitv1.Filesystem{{SourceDir: "/srv/root", TargetDir: "/", Readonly: some()}},
		},
	}
	if some() {
		def.Memtune = &davitv1.MemoryTune{SoftLimitKib: 1 + r.Uint64N(1<<20), SwapHardLimitKib: def.MemoryKib + r.Uint64N(1<<20)}
	}
	if some() {
		def.Vcpu = &davitv1.Vcpu{Cpuset: fmt.Sprintf("0,2-%d", 3+r.IntN(9))}
		def.Cputune = &davitv1.CpuTune{Shares: 2 + r.Uint64N(1000), Period: 1000 + r.Uint64N(1000), Quota: 1000 + r.Int64N(1e6)}
	}
	if some() {
		def.Numatune = &davitv1.NumaTune{
			Mode: davitv1.NumaMode_NUMA_MODE_STRICT, Nodeset: "0-1", Placement: davitv1.NumaPlacement_NUMA_PLACEMENT_STATIC,
		}
		def.PidsLimit = 1 + r.Uint64N(1e6)
		def.Os.Arch = "i686"
	}
	if some() {
		def.Blkiotune = &davitv1.BlkioTune{Weight: 1 + r.Uint32N(1000), Device: []*davitv1.BlkioDevice{
			{Path: "/dev/block/8:0", Weight: 500, ReadBytesSec: 1 + r.Uint64N(1<<40), WriteIopsSec: 1 + r.Uint32N(1<<20)},
			{Path: "/dev/block/8:16", Weight: 1 + r.Uint32N(1000)},
		}}
	}
	generateInit(r, def.Os)
	generateDevices(r, def)
	if some() {
		start, target, count, more, beyond := uint32(0), 100000+r.Uint32N(1000), 1+r.Uint32N(60000), uint32(70000), uint32(400000)
		def.Idmap = &davitv1.IdMap{
			Uid: []*davitv1.IdRange{{Start: &start, Target: &target, Count: &count}, {Start: &more, Target: &beyond, Count: &count}},
			Gid: []*davitv1.IdRange{{Start: &start, Target: &target, Count: &count}},
		}
	}
	if some() {
		def.Seclabel = []*davitv1.SecurityLabel{
			{Type: davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_STATIC, Model: "apparmor", Label: "a profile"},
			{Type: davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_STATIC, Model: "selinux", Label: "a:b:c"},
		}
	}
	generateCapabilities(r, def.Features)
	return def
}

func generateInit(r *rand.Rand, os *davitv1.Os) {
	for i := range r.IntN(4) {
		os.Initarg = append(os.Initarg, []string{"-x", "two words", "<&>", "ünï"}[i])
		os.Initenv = append(os.Initenv, &davitv1.InitEnv{Name: fmt.Sprintf("V%d", i), Value: []string{"", "a=b", " c ", "\u2028"}[i]})
	}
	if r.IntN(2) == 0 {
		os.Initdir, os.Inituser, os.Initgroup = "/srv", fmt.Sprint(1+r.IntN(1000)), fmt.Sprint(1+r.IntN(1000))
	}
}

func generateDevices(r *rand.Rand, def *davitv1.Domain) {
	d := def.Devices
	for i := range r.IntN(5) {
		f := &davitv1.Filesystem{TargetDir: fmt.Sprintf("/mnt/%d", i), SourceDir: fmt.Sprintf("/src, with a comma/%d", i), Readonly: r.IntN(2) == 0}
		if r.IntN(2) == 0 {
			f = &davitv1.Filesystem{
				Type: davitv1.FilesystemType_FILESYSTEM_TYPE_RAM, TargetDir: f.GetTargetDir(), SourceUsageKib: 1 + r.Uint64N(1<<30),
			}
		}
		d.Filesystem = append(d.Filesystem, f)
	}
	if r.IntN(2) == 0 {
		d.Console = []*davitv1.Console{{}}
	}
	for i := range r.IntN(3) {
		h := &davitv1.Hostdev{Mode: davitv1.HostdevMode_HOSTDEV_MODE_CAPABILITIES, Type: davitv1.HostdevType_HOSTDEV_TYPE_MISC, SourceChar: fmt.Sprintf("/dev/d%d", i)}
		if r.IntN(2) == 0 {
			h.Type, h.SourceChar, h.SourceBlock = davitv1.HostdevType_HOSTDEV_TYPE_STORAGE, "", h.GetSourceChar()
		}
		d.Hostdev = append(d.Hostdev, h)
	}
	switch r.IntN(4) {
	case 0:
		d.Hostdev = append(d.Hostdev, &davitv1.Hostdev{
			Mode: davitv1.HostdevMode_HOSTDEV_MODE_CAPABILITIES, Type: davitv1.HostdevType_HOSTDEV_TYPE_NET, SourceInterface: "eth1",
		})
	case 1:
		def.Features.Privnet = false
		def.LxcNamespace = &davitv1.LxcNamespace{
			Sharenet: &davitv1.LxcNamespaceShare{Type: davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_NETNS, Value: "blue"},
			Shareipc: &davitv1.LxcNamespaceShare{Type: davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_PID, Value: "17"},
			Shareuts: &davitv1.LxcNamespaceShare{Type: davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_PID, Value: "18"},
		}
	}
}

// generateCapabilities takes some from all, or adds some to none: what is said in the fewest words comes back in the same.
func generateCapabilities(r *rand.Rand, f *davitv1.Features) {
	f.Capabilities = &davitv1.Capabilities{Policy: davitv1.CapabilityPolicy_CAPABILITY_POLICY_ALLOW}
	on := r.IntN(2) == 0
	if on {
		f.Capabilities.Policy = davitv1.CapabilityPolicy_CAPABILITY_POLICY_DENY
	}
	for _, name := range convert.Capabilities() {
		if r.IntN(4) == 0 {
			convert.SetCapability(f.Capabilities, name, on)
		}
	}
	if all := convert.StatedCapabilities(f.Capabilities); len(all) >= len(convert.Capabilities())/2 {
		f.Capabilities = &davitv1.Capabilities{Policy: davitv1.CapabilityPolicy_CAPABILITY_POLICY_ALLOW}
	}
}

// TestDefaultCapabilities: a definition that leaves the set to its profile comes back with as many capabilities as that has,
// fewer than all and more than none.
func TestDefaultCapabilities(t *testing.T) {
	def := generate(rand.New(rand.NewPCG(0, 1)))
	def.Features.Capabilities = nil
	once, _, err := oci.Write(def, oci.Options{Device: numbered})
	if err != nil {
		t.Fatal(err)
	}
	back, _, err := oci.Read("/srv/bundle/config.json", once, oci.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(convert.StatedCapabilities(back.GetFeatures().GetCapabilities())); n == 0 {
		t.Errorf("the default set became %v", back.GetFeatures().GetCapabilities())
	}
	again, _, err := oci.Write(back, oci.Options{Device: numbered})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(once), string(again)); diff != "" {
		t.Errorf("the set changed on its way:\n%s", diff)
	}
}
