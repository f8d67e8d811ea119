package native_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/native"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// victimVar holds what a process that is to be killed does, in JSON.
const victimVar = "DAVIT_TEST_VICTIM"

// task is a start that is cut off by SIGKILL before a step; an empty step cuts it off when it is done.
type task struct {
	Options    native.Options
	Step       string
	Definition *davitv1.Domain
	Ref        driver.Ref
	// Update, if it is given, follows the start, and is what is cut off, before the step that passes for the Nth time, from 0.
	Update *davitv1.Domain
	Nth    int
	// Network is the path of the host's network namespace, if it is not the process's own.
	Network string
}

// victim is a davitd that dies. It never returns.
func victim() {
	var todo task
	if err := json.Unmarshal([]byte(os.Getenv(victimVar)), &todo); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	passed := 0
	die := func(step string) error {
		if step == todo.Step {
			passed++
		}
		if step == todo.Step && passed > todo.Nth {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}
	var err error
	if todo.Network != "" {
		todo.Options.Network, err = os.Open(todo.Network)
	}
	var d *native.Driver
	if err == nil {
		d, err = native.New(todo.Options)
	}
	var i driver.Instance
	if err == nil {
		if todo.Update == nil {
			d.OnStep(die)
		}
		i, err = d.Start(context.Background(), driver.Spec{Ref: todo.Ref, Definition: todo.Definition})
	}
	if err == nil && todo.Update != nil {
		d.OnStep(die)
		err = i.Update(context.Background(), todo.Update)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	_ = die(todo.Step)
	os.Exit(3)
}

// killedAt runs a start in a process that dies before a step.
func (h *host) killedAt(t *testing.T, step string, spec driver.Spec) {
	t.Helper()
	h.killed(t, task{Step: step, Definition: spec.Definition, Ref: spec.Ref})
}

// killed runs a task in a process that dies.
func (h *host) killed(t *testing.T, todo task) {
	t.Helper()
	todo.Options, todo.Options.Network = h.options, nil
	if ns := h.options.Network; ns != nil {
		todo.Network = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.Fd())
	}
	step := todo.Step
	text, err := json.Marshal(todo)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), victimVar+"="+string(text))
	out, err := cmd.CombinedOutput()
	var status syscall.WaitStatus
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		status, _ = exit.Sys().(syscall.WaitStatus)
	}
	if !status.Signaled() {
		t.Fatalf("the victim of %q: %v\n%s", step, err, out)
	}
}

// A davitd that is killed before a step leaves, for the next, either nothing that Recover does not remove or, once init
// runs, the whole domain.
func TestKilledAtEachStep(t *testing.T) {
	for _, step := range append(native.Steps, "done") {
		t.Run(step, func(t *testing.T) {
			h := newHost(t, "dead0001")
			spec := h.spec(idle)
			h.killedAt(t, step, spec)
			d := closing(t, h.open(t))
			i, err := d.Recover(t.Context(), spec)
			switch {
			case errors.Is(err, domain.ErrNotFound):
				if step == "done" {
					t.Error("a domain that ran is gone")
				}
				if err = d.Sweep(t.Context(), nil); err != nil {
					t.Error(err)
				}
			case err != nil:
				t.Fatalf("recover: %v", err)
			default:
				if st, err := i.Status(t.Context()); err != nil || !st.Running {
					t.Errorf("status %+v, %v, want it running", st, err)
				}
				kill(t, i)
			}
			h.empty(t)
			kill(t, start(t, d, h.spec(idle)))
		})
	}
}

// What the next davitd does not even ask for is swept.
func TestSweepAfterKill(t *testing.T) {
	for _, step := range append(native.Steps, "done") {
		t.Run(step, func(t *testing.T) {
			h := newHost(t, "dead0002")
			h.killedAt(t, step, h.spec(idle))
			d := closing(t, h.open(t))
			ctx, cancel := context.WithTimeout(t.Context(), testenv.Scale(time.Minute))
			defer cancel()
			if err := d.Sweep(ctx, nil); err != nil {
				t.Fatalf("sweep: %v", err)
			}
			h.empty(t)
		})
	}
}

// Somebody removed the state folder of a domain that runs: the sweep finds the rest by the instance's name.
func TestSweepWithoutState(t *testing.T) {
	h := newHost(t, "dead0003")
	d := h.open(t)
	spec := h.spec(idle)
	start(t, d, spec)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(h.options.StateDir, spec.UUID)); err != nil {
		t.Fatal(err)
	}
	d = closing(t, h.open(t))
	if err := d.Sweep(t.Context(), nil); err != nil {
		t.Fatalf("sweep: %v", err)
	}
	h.empty(t)
}
