// Package changetest holds a daemon to what it says of changes: a field that DiffDomain calls live can be changed in a running
// domain, and no other can.
package changetest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Run defines and starts a domain, compares it with one that differs in every tunable and more, and makes each of the
// changes to it. The definition needs a name and a uuid, and an init that runs until it is ended.
func Run(t *testing.T, c davitv1.DomainServiceClient, def *davitv1.Domain) {
	t.Helper()
	r := &running{T: t, c: c, ref: &davitv1.DomainRef{Ref: &davitv1.DomainRef_Uuid{Uuid: def.GetUuid()}}}
	r.start(def)
	to := other(def)
	changes := r.diff(to)
	for _, tunable := range domain.Tunables() {
		if !slices.ContainsFunc(changes, func(c *davitv1.FieldChange) bool {
			path, _, _ := strings.Cut(c.GetField(), "[")
			return path == string(tunable)
		}) && (tunable != "blkiotune.device" || to.GetBlkiotune().GetDevice() != nil) {
			t.Errorf("%s does not change; give it another value here", tunable)
		}
	}
	kinds := map[davitv1.ChangeEffect]int{}
	for _, change := range changes {
		kinds[change.GetEffect()]++
		r.try(change, to)
	}
	for _, effect := range []davitv1.ChangeEffect{
		davitv1.ChangeEffect_CHANGE_EFFECT_LIVE, davitv1.ChangeEffect_CHANGE_EFFECT_NEXT_BOOT, davitv1.ChangeEffect_CHANGE_EFFECT_NONE,
	} {
		if kinds[effect] == 0 {
			t.Errorf("no change has the effect %s", effect)
		}
	}
	for _, change := range r.diff(to) {
		if change.GetEffect() == davitv1.ChangeEffect_CHANGE_EFFECT_LIVE {
			t.Errorf("%s was changed and differs still: %q, want %q", change.GetField(), change.GetOld(), change.GetNew())
		}
	}
	more := proto.CloneOf(to)
	more.CurrentMemoryKib = more.GetMemoryKib() // more than the domain was started with
	for _, change := range r.diff(more) {
		r.try(change, more)
	}
}

// other is a definition that differs in all that is asked about.
func other(def *davitv1.Domain) *davitv1.Domain {
	to := proto.CloneOf(def)
	to.Title, to.Description, to.Metadata = "other", "another one", `<a:x xmlns:a="urn:a"/>`
	to.MemoryKib = 2 * def.GetMemoryKib()
	to.CurrentMemoryKib = def.GetMemoryKib() / 2
	to.Vcpu = &davitv1.Vcpu{Count: 3}
	to.PidsLimit = 4000
	to.Memtune = &davitv1.MemoryTune{
		HardLimitKib: def.GetMemoryKib() - 4096, SoftLimitKib: def.GetMemoryKib() / 4, SwapHardLimitKib: def.GetMemoryKib(),
	}
	to.Cputune = &davitv1.CpuTune{Shares: 512, Period: 50000, Quota: 25000}
	to.OnPoweroff, to.OnReboot, to.OnCrash = davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART,
		davitv1.LifecycleAction_LIFECYCLE_ACTION_DESTROY, davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART
	to.Restart = &davitv1.Restart{DelayMs: new(uint32(20)), MaxDelayMs: new(uint32(90)), Limit: new(uint32(5)), IntervalS: new(uint32(60))}
	to.Blkiotune = blockDevices()
	to.Numatune = &davitv1.NumaTune{Mode: davitv1.NumaMode_NUMA_MODE_STRICT, Nodeset: "0"}
	to.Os.Initdir, to.Os.Machine = "/tmp", "pc"
	to.Os.Initenv = append(to.Os.Initenv, &davitv1.InitEnv{Name: "OTHER", Value: "1"})
	to.Devices.Console = append(to.Devices.Console, &davitv1.Console{}, &davitv1.Console{})
	return to
}

// blockDevices are a weight that every kernel can give, for it is the one that it gives anyway, and a limit of a block device
// of the host, if it has one with a node. No program of the domain uses it.
func blockDevices() *davitv1.BlkioTune {
	tune := &davitv1.BlkioTune{Weight: 100}
	found, _ := filepath.Glob("/sys/block/*/dev")
	for _, file := range found {
		node := "/dev/" + filepath.Base(filepath.Dir(file))
		if info, err := os.Stat(node); err == nil && info.Mode().Type() == os.ModeDevice {
			tune.Device = []*davitv1.BlkioDevice{{Path: node, ReadBytesSec: 1 << 30}}
			break
		}
	}
	return tune
}

// running is a domain that runs.
type running struct {
	*testing.T
	c   davitv1.DomainServiceClient
	ref *davitv1.DomainRef
}

func (r *running) start(def *davitv1.Domain) {
	r.Helper()
	r.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := r.c.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: r.ref}); err != nil {
			r.Errorf("destroy: %v", err)
		}
		if _, err := r.c.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: r.ref}); err != nil {
			r.Errorf("undefine: %v", err)
		}
	})
	if _, err := r.c.DefineDomain(r.Context(), &davitv1.DefineDomainRequest{Source: source(def)}); err != nil {
		r.Fatalf("define: %v", err)
	}
	if _, err := r.c.StartDomain(r.Context(), &davitv1.StartDomainRequest{Domain: r.ref}); err != nil {
		r.Fatalf("start: %v", err)
	}
}

func source(def *davitv1.Domain) *davitv1.DefinitionSource {
	return &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Definition{Definition: def}}
}

// diff compares the running domain with a definition.
func (r *running) diff(to *davitv1.Domain) []*davitv1.FieldChange {
	r.Helper()
	d, err := r.c.DiffDomain(r.Context(), &davitv1.DiffDomainRequest{
		Domain: r.ref, Source: source(to), Against: davitv1.Affect_AFFECT_LIVE,
	})
	if err != nil {
		r.Fatalf("diff: %v", err)
	}
	return d.GetChanges()
}

// try makes a change to the running domain, which must go as the change says.
func (r *running) try(change *davitv1.FieldChange, to *davitv1.Domain) {
	r.Helper()
	path, _, _ := strings.Cut(change.GetField(), "[")
	if change.GetEffect() == davitv1.ChangeEffect_CHANGE_EFFECT_IMPOSSIBLE {
		return // another host may take it
	}
	_, err := r.c.UpdateDomain(r.Context(), &davitv1.UpdateDomainRequest{
		Domain: r.ref, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{path}}, Affect: davitv1.Affect_AFFECT_LIVE,
		Title: to.GetTitle(), Description: to.GetDescription(), Metadata: to.GetMetadata(), Definition: to,
	})
	live := change.GetEffect() == davitv1.ChangeEffect_CHANGE_EFFECT_LIVE
	err = domain.FromStatus(err)
	switch {
	case live && err != nil:
		r.Errorf("%s is live, and cannot be changed: %v", change.GetField(), err)
	case !live && !errors.Is(err, domain.ErrInvalid) && !errors.Is(err, domain.ErrFailedPrecondition):
		r.Errorf("%s is %s, and to change it gives %v", change.GetField(), change.GetEffect(), err)
	case !live && !strings.Contains(err.Error(), "cannot"):
		r.Errorf("%s is refused, and it is not said why: %v", change.GetField(), err)
	}
}
