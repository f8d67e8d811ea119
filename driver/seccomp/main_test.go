package seccomp_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/seccomp"
)

// The test binary is its own guest: with childEnv it loads the filter of a profile and then tries calls or becomes a program.
const childEnv = "DAVIT_SECCOMP_CHILD"

// errand is what a child is to do below a filter.
type errand struct {
	Profile string // empty: no filter
	Try     []attempt
	Run     []string
	Int80   bool // call getpid as a 32-bit program does
}

// attempt is one call with its arguments.
type attempt struct {
	Number    uintptr
	Arguments [6]uintptr
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		if err := child(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child does the errand and writes the error number of each attempt.
func child(text string) error {
	var e errand
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return err
	}
	if e.Profile != "" {
		if err := confine(e.Profile); err != nil {
			return err
		}
	}
	if e.Int80 {
		return int80()
	}
	if len(e.Run) > 0 {
		return syscall.Exec(e.Run[0], e.Run, append(os.Environ(), childEnv+"="))
	}
	answers := make([]int, len(e.Try))
	for i, a := range e.Try {
		_, _, errno := syscall.Syscall6(a.Number, a.Arguments[0], a.Arguments[1], a.Arguments[2], a.Arguments[3], a.Arguments[4], a.Arguments[5])
		answers[i] = int(errno)
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

// confine loads a built-in profile for all threads.
func confine(name string) error {
	p, err := seccomp.Default(name)
	if err != nil {
		return err
	}
	program, err := p.Compile(seccomp.Native)
	if err != nil {
		return err
	}
	code := program.Bytes()
	filter := unix.SockFprog{Len: uint16(program.Len()), Filter: (*unix.SockFilter)(unsafe.Pointer(&code[0]))}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&filter))); errno != 0 {
		return fmt.Errorf("load seccomp filter: %w", errno)
	}
	runtime.KeepAlive(code)
	return nil
}

// send runs a child on an errand.
func send(t *testing.T, e errand) (out string, status syscall.WaitStatus) {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	var said strings.Builder
	cmd.Stderr = &said
	answer, err := cmd.Output()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		t.Fatalf("end of the child is a %T", cmd.ProcessState.Sys())
	}
	if said.Len() > 0 {
		t.Logf("the child said: %.2000s", said.String())
	}
	return string(answer), status
}

// try gives the error numbers of attempts below a profile.
func try(t *testing.T, profile string, attempts []attempt) []int {
	t.Helper()
	out, status := send(t, errand{Profile: profile, Try: attempts})
	var answers []int
	if err := json.Unmarshal([]byte(out), &answers); err != nil || len(answers) != len(attempts) {
		t.Fatalf("child of profile %q ended with %#x and answered %q: %v", profile, status, out, err)
	}
	return answers
}
