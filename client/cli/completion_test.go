//go:build linux

package cli_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/internal/testdaemon"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// completions asks the program as the scripts of bash, zsh and fish do, and returns what it offers and the directive.
func completions(t *testing.T, socket string, words ...string) ([]string, string) {
	t.Helper()
	r := run(t, socket, "", append([]string{"__complete"}, words...)...)
	all := strings.Split(strings.TrimSuffix(r.stdout, "\n"), "\n")
	if r.code != 0 {
		t.Fatalf("complete %q: exit code %d, %s", words, r.code, r.stderr)
	}
	return all[:len(all)-1], all[len(all)-1]
}

// patiently asks until so much is offered: a daemon that is slow to answer is not waited for, and whoever types asks again.
func patiently(t *testing.T, want int, socket string, words ...string) (got []string, directive string) {
	t.Helper()
	for end := time.Now().Add(testenv.Scale(time.Minute)); ; {
		got, directive = completions(t, socket, words...)
		if len(got) >= want || time.Now().After(end) {
			return got, directive
		}
	}
}

// stage is a daemon with a domain in each state that completion tells apart.
func stage(t *testing.T) *testdaemon.Daemon {
	t.Helper()
	d := testdaemon.Start(t)
	c := d.Client()
	for _, name := range []string{"off", "my web", "up", "it's", "evil\u202etxt"} {
		define(t, c, name)
	}
	for _, name := range []string{"up", "it's"} {
		if _, err := c.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: client.ByName(name)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.SuspendDomain(t.Context(), &davitv1.SuspendDomainRequest{Domain: client.ByName("it's")}); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestCompletion(t *testing.T) {
	d := stage(t)
	evil, err := d.Client().Lookup(t.Context(), "evil\u202etxt")
	if err != nil {
		t.Fatal(err)
	}
	const noFiles, anything, folders = ":4", ":0", ":16"
	shunned := evil.GetUuid() + "\t" + `evil\xe2\x80\xaetxt`
	tests := []struct {
		words     string
		want      []string
		directive string
	}{
		{"start|", []string{"my web\tshut off", "off\tshut off", shunned}, noFiles},
		{"start|o", []string{"off\tshut off"}, noFiles},
		{"start|off|", nil, noFiles},
		{"start|--domain|my", []string{"my web\tshut off"}, noFiles},
		{"start|--domain=my", []string{"my web\tshut off"}, noFiles},
		{"start|--domain=off|", nil, noFiles},
		{"shutdown|", []string{"it's\tpaused", "up\trunning"}, noFiles},
		{"suspend|", []string{"up\trunning"}, noFiles},
		{"resume|", []string{"it's\tpaused"}, noFiles},
		{"dominfo|u", []string{"up\trunning"}, noFiles},
		{"domrename|o", []string{"off\tshut off"}, noFiles},
		{"domrename|off|", nil, noFiles},
		{"exec|u", []string{"up\trunning"}, noFiles},
		{"exec|up|", nil, noFiles},
		{"shutdown|--mode|", []string{"initctl", "signal"}, noFiles},
		{"event|--event|m", []string{"metadata-change"}, noFiles},
		{"list|-o|", []string{"text", "table", "json", "yaml"}, noFiles},
		{"list|--color=a", []string{"auto", "always"}, noFiles},
		{"wait|--for|p", []string{"paused"}, noFiles},
		{"set-lifecycle-action|up|", []string{"poweroff", "reboot", "crash"}, noFiles},
		{"set-lifecycle-action|up|crash|p", []string{"preserve"}, noFiles},
		{"completion|", []string{"bash", "zsh", "fish"}, noFiles},
		{"help|domsta", []string{"domstate", "domstats"}, noFiles},
		{"define|", nil, anything},
		{"cd|", nil, folders},
		{"desc|up|", nil, noFiles},
	}
	for _, tt := range tests {
		got, directive := patiently(t, len(tt.want), d.Socket, strings.Split(tt.words, "|")...)
		slices.Sort(got)
		slices.Sort(tt.want)
		if diff := cmp.Diff(tt.want, got, equateEmpty()); diff != "" || directive != tt.directive {
			t.Errorf("%q: directive %s, want %s (-want +got):\n%s", tt.words, directive, tt.directive, diff)
		}
	}
}

func equateEmpty() cmp.Option {
	return cmp.FilterValues(func(x, y []string) bool { return len(x) == 0 && len(y) == 0 }, cmp.Ignore())
}

// TestCompletionDoesNotWait offers nothing where there is no daemon, or one that does not answer.
func TestCompletionDoesNotWait(t *testing.T) {
	mute := filepath.Join(t.TempDir(), "mute.sock")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", mute)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for _, socket := range []string{"/nonexistent.sock", mute} {
		begin := time.Now()
		got, directive := completions(t, socket, "start", "")
		if len(got) > 0 || directive != ":4" {
			t.Errorf("%s: offers %q%s", socket, got, directive)
		}
		if took := time.Since(begin); took > testenv.Scale(10*time.Second) {
			t.Errorf("%s: took %v", socket, took)
		}
	}
}

// TestCompletionScripts are printed, and know the program by its name.
func TestCompletionScripts(t *testing.T) {
	for shell, want := range map[string]string{
		"bash": "complete -o default", "zsh": "#compdef davit", "fish": "complete -c davit",
	} {
		if r := run(t, "", "", "completion", shell); r.code != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("%s: exit code %d, no %q in\n%.300s%s", shell, r.code, want, r.stdout, r.stderr)
		}
	}
	if r := run(t, "", "", "completion", "tcsh"); r.code != 1 || r.stdout != "\n" && r.stdout != "" {
		t.Errorf("tcsh: %+v", r)
	}
}

// bashDriver completes a line as bash does when Tab is pressed behind it, and prints what it offers, a line each. The
// three functions stand in for the package bash-completion, which is not there everywhere.
const bashDriver = `
_get_comp_words_by_ref() {
	words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
	cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
}
compopt() { :; }
eval "$(davit completion bash)"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMP_TYPE=9
__start_davit
printf '%s\n' "${COMPREPLY[@]}"
`

// TestCompletionInBash runs the script in bash.
func TestCompletionInBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skipf("needs bash: %v", err)
	}
	d := stage(t)
	path := filepath.Dir(testenv.Binary(t, "davit")) + ":" + os.Getenv("PATH")
	tests := []struct {
		words []string
		want  []string
	}{
		{[]string{"davit", "autos"}, []string{"autostart"}},
		{[]string{"davit", "domstate", "--reas"}, []string{"--reason"}},
		{[]string{"davit", "start", "o"}, []string{"off"}},
		{[]string{"davit", "start", "my"}, []string{`my\ web`}},
		{[]string{"davit", "shutdown", "it"}, []string{`it\'s`}},
		{[]string{"davit", "resume", ""}, []string{`it\'s`}},
		{[]string{"davit", "destroy", ""}, []string{"it's  (paused)", "up    (running)"}},
		{[]string{"davit", "shutdown", "--mode", "s"}, []string{"signal"}},
	}
	for _, tt := range tests {
		got, complaints := asks(t, tt.want, func(ctx context.Context) *exec.Cmd {
			cmd := exec.CommandContext(ctx, bash, append([]string{"--norc", "-c", bashDriver, "bash"}, tt.words...)...)
			cmd.Env = []string{"PATH=" + path, "DAVIT_DEFAULT_URI=" + d.Socket, "COLUMNS=80", "LC_ALL=C.UTF-8"}
			return cmd
		})
		if diff := cmp.Diff(tt.want, got); diff != "" || complaints != "" {
			t.Errorf("%q (-want +got):\n%s%s", tt.words, diff, complaints)
		}
	}
}

// asks lets a shell complete, again while it offers less than is wanted: a daemon that is slow to answer is not waited for.
func asks(t *testing.T, want []string, shell func(context.Context) *exec.Cmd) (got []string, complaints string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), testenv.Scale(2*time.Minute))
	defer stop()
	for end := time.Now().Add(testenv.Scale(time.Minute)); ; {
		cmd := shell(ctx)
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%q: %v\n%s", want, err, said.String())
		}
		got = strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		if slices.Equal(got, want) || len(strings.Join(got, "")) >= len(strings.Join(want, "")) || time.Now().After(end) {
			return got, said.String()
		}
	}
}

// program is a shell that the host may have.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("needs %s: %v", name, err)
	}
	return path
}

// TestCompletionInFish runs the script in fish, which tells what it would offer.
func TestCompletionInFish(t *testing.T) {
	fish := program(t, "fish")
	d := stage(t)
	path := filepath.Dir(testenv.Binary(t, "davit")) + ":" + os.Getenv("PATH")
	home := t.TempDir()
	for line, want := range map[string][]string{
		"davit autos":             {"autostart\tautostart a domain"}, //nolint:dupword // a name and its help
		"davit domstate --reas":   {"--reason\talso print reason for the state"},
		"davit start o":           {"off\tshut off"},
		"davit start my":          {"my web\tshut off"},
		"davit resume ":           {"it's\tpaused"},
		"davit shutdown --mode s": {"signal"},
	} {
		got, complaints := asks(t, want, func(ctx context.Context) *exec.Cmd {
			cmd := exec.CommandContext(ctx, fish, "--no-config", "-c", "davit completion fish | source; complete -C $argv[1]", line)
			cmd.Env = []string{"PATH=" + path, "DAVIT_DEFAULT_URI=" + d.Socket, "HOME=" + home, "LC_ALL=C.UTF-8", "TERM=dumb"}
			return cmd
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s%s", line, diff, complaints)
		}
	}
}

// TestCompletionInZsh types into zsh, with the script as it is installed: in a folder of functions.
func TestCompletionInZsh(t *testing.T) {
	zsh := program(t, "zsh")
	d := stage(t)
	home := t.TempDir()
	script := run(t, d.Socket, "", "completion", "zsh")
	if err := os.WriteFile(filepath.Join(home, "_davit"), []byte(script.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	rc := "PS1='zsh: '\nfpath=(~ $fpath)\nautoload -Uz compinit && compinit -u -d ~/dump\nunsetopt BEEP PROMPT_SP\n"
	if err := os.WriteFile(filepath.Join(home, ".zshrc"), []byte(rc), 0o600); err != nil {
		t.Fatal(err)
	}
	s := sitAt(t, 24, 80, []string{
		"PATH=" + filepath.Dir(testenv.Binary(t, "davit")) + ":" + os.Getenv("PATH"), "DAVIT_DEFAULT_URI=" + d.Socket,
		"HOME=" + home, "LC_ALL=C.UTF-8", "TERM=xterm",
	}, zsh, "-d", "-i")
	s.edits("zsh:")
	for _, tt := range []struct{ typed, want string }{
		{"davit autos", "davit autostart"},
		{"davit domstate --reas", "davit domstate --reason"},
		{"davit start o", "davit start off"},
		{"davit start my", `davit start my\ web`},
		{"davit resume ", `davit resume it\'s`},
		{"davit shutdown --mode s", "davit shutdown --mode signal"},
	} {
		s.types(tt.typed)
		s.completes("zsh: " + tt.want)
		s.types(ctrlU)
		s.edits("zsh:")
	}
	s.types("davit destroy ")
	s.offers("-- paused")
	s.shows("-- running")
}
