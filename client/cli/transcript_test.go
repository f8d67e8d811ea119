//go:build linux

package cli_test

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/client/pki"
	"github.com/davitd/davit/driver/fake"
	"github.com/davitd/davit/internal/testdaemon"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

var update = flag.Bool("update", false, "write the transcripts anew")

// TestTranscripts plays sessions of testdata/*.txt against a whole daemon on the fake driver. A line that begins with
// "$ davit" is run; below it stands what it printed, lines of standard error after "! ", and a last line "[exit N]" where
// N is not 0. "< TEXT" above a command is its standard input. Lines that begin with "% " act on the daemon or a domain
// from outside: "% say NAME "TEXT"" lets a domain write to its console, "% use NAME ALIAS" and "% leave NAME ALIAS"
// let its guest use a device, "% fixed host" puts a host in place of this one that is the same everywhere,
// "% fixed devices" a daemon whose domains have devices that are, "% editor COMMAND" is what edits files from then on. Lines that begin with "#" are comments.
// NETWORK-ROLE is the daemon on the network as it is named by who has a role, NETWORK its address.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			abs, err := filepath.Abs(file)
			if err != nil {
				t.Fatal(err)
			}
			t.Chdir("testdata")
			run := testdaemon.Start
			if strings.Contains(string(script), "NETWORK") {
				run = testdaemon.StartOnNetwork
			}
			got := (&player{t: t, daemon: run(t)}).play(string(script))
			if *update {
				if err := os.WriteFile(abs, []byte(got), 0o644); err != nil { //nolint:gosec // a file of the repository
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(script), got); diff != "" {
				t.Errorf("transcript differs (-want +got):\n%s", diff)
			}
		})
	}
}

type player struct {
	t      *testing.T
	daemon *testdaemon.Daemon
	input  strings.Builder
	editor string
	host   string // socket of a host that is the same everywhere
}

// play runs the commands of a script and returns it with their output.
func (p *player) play(script string) string {
	p.t.Helper()
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		command, isCommand := strings.CutPrefix(line, "$ davit")
		switch {
		case isCommand:
			out.WriteString(line + "\n" + p.davit(command))
		case strings.HasPrefix(line, "< "):
			p.input.WriteString(line[2:] + "\n")
			out.WriteString(line + "\n")
		case strings.HasPrefix(line, "% "):
			p.act(strings.Fields(line[2:]))
			out.WriteString(line + "\n")
		case strings.HasPrefix(line, "#"):
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}

func (p *player) davit(command string) string {
	p.t.Helper()
	socket := p.daemon.Socket
	if p.host != "" {
		socket = p.host
	}
	command = strings.ReplaceAll(command, "READONLY", p.daemon.ReadOnly)
	for _, role := range pki.Roles {
		command = strings.ReplaceAll(command, "NETWORK-"+role, p.daemon.Network.URI(role))
	}
	args := split(command)
	r := runEditing(p.t, socket, p.input.String(), p.editor, args...)
	p.input.Reset()
	text := scrub(p.daemon, r.stdout)
	switch {
	case strings.HasPrefix(command, " admin"):
		text = vague(text)
	case strings.Contains(command, " audit"):
		text = nameless(text)
	}
	if strings.HasPrefix(command, " exec -d") && r.code == 0 {
		text = "EXEC-ID\n"
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "[no newline]\n"
	}
	for line := range strings.Lines(scrub(p.daemon, r.stderr)) {
		text += "! " + line
	}
	if r.code != 0 {
		text += fmt.Sprintf("[exit %d]\n", r.code)
	}
	return text
}

// split splits a command line at blanks, less those in single quotes; \e in it is an escape character.
func split(line string) []string {
	var words []string
	line = strings.ReplaceAll(line, `\e`, "\x1b")
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	return words
}

var changing = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ][0-9:.]+(Z|\+0000)`), "TIME"},
	{regexp.MustCompile(`("epoch": ?|epoch: )"?[0-9a-f-]{8,}"?`), `${1}EPOCH`},
	{regexp.MustCompile(`("etag": ?|etag: )"?[0-9A-Za-z+/=_-]{8,}"?`), `${1}ETAG`},
	{regexp.MustCompile(`(arch='|"arch": "|arch: )(x86_64|aarch64)`), `${1}ARCH`},
	{regexp.MustCompile(`[ 0-9]+\.\d{9} seconds`), ` DURATION seconds`},
	{regexp.MustCompile(`(cpu\.(?:time|user|system)=)\d+`), `${1}N`},
	{regexp.MustCompile(`("instance": ")[0-9a-f]{8}`), `${1}INSTANCE`},
	{regexp.MustCompile(`(?m)(Running hypervisor: FAKE |"kernel": |kernel: ).*$`), `${1}KERNEL`},
	{regexp.MustCompile(`("(?:start_duration|(?:cpu|user|system)_time)": ?|(?:start_duration|(?:cpu|user|system)_time): )"?[0-9.]+s"?`), `${1}DURATION`},
}

// vague takes numbers, and what follows from their length, out of what the daemon tells about itself.
func vague(text string) string {
	text = regexp.MustCompile(`(?m)^((?:Process|Memory|Instance|Clients|Calls):\s+).*`).ReplaceAllString(text, "${1}N")
	text = regexp.MustCompile(`("(?:pid|id|memory_bytes|clients|calls)": )\d+`).ReplaceAllString(text, "${1}N")
	// A connection that was closed just now may still be there; it has no call.
	text = regexp.MustCompile(`(?m)^ \d+ .*TIME *\n`).ReplaceAllString(text, "")
	text = regexp.MustCompile(`(?m)^ \d+ .*TIME +`).ReplaceAllString(text, " N ... TIME ")
	text = regexp.MustCompile(`-{20,}`).ReplaceAllString(text, "-----")
	return regexp.MustCompile(` Id +Socket .*`).ReplaceAllString(text, " Id ...")
}

// nameless takes out of records what is different each time: processes, marks of certificates, how long it took.
func nameless(text string) string {
	text = regexp.MustCompile(`uid \d+ pid \d+( \(.*?\))?`).ReplaceAllString(text, "uid N pid N")
	text = regexp.MustCompile(` (from NETWORK:PORT|uid N pid N) (\S+)( '\w+')? ([A-Z_ ]+) [0-9.mµ]+s`).ReplaceAllString(text, " $1 $2$3 $4 DURATION")
	text = regexp.MustCompile(`"process":\{[^}]*\}`).ReplaceAllString(text, `"process":{PROCESS}`)
	text = regexp.MustCompile(`"(uuid|request_id|sha256|serial|fingerprint|duration)":"[^"]+"`).ReplaceAllString(text, `"$1":"X"`)
	return regexp.MustCompile(`(?m)^( *(?:serial|fingerprint|duration)): .*`).ReplaceAllString(text, "$1: X")
}

// scrub replaces what is different each time.
func scrub(d *testdaemon.Daemon, text string) string {
	text = strings.ReplaceAll(text, d.Socket, "SOCKET")
	if d.Network.Address != "" {
		text = strings.ReplaceAll(text, d.Network.Address, "NETWORK")
		text = strings.ReplaceAll(text, url.QueryEscape(d.Network.PKI), "PKI")
		text = regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(text, "NETWORK:PORT")
	}
	for _, c := range changing {
		text = c.pattern.ReplaceAllString(text, c.with)
	}
	return text
}

// act does what happens without the command line: to the daemon, or inside a domain.
func (p *player) act(words []string) {
	p.t.Helper()
	switch words[0] {
	case "restart":
		p.daemon.Restart()
		return
	case "editor":
		p.editor = strings.Join(words[1:], " ")
		return
	case "fixed":
		p.host = fixedHost(p.t)
		if words[1] == "devices" {
			p.host, _ = fixedDevices(p.t)
		}
		return
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	c := p.daemon.Client()
	info, err := c.Lookup(ctx, words[1])
	if err != nil {
		p.t.Fatal(err)
	}
	before, err := c.EventPosition(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	if err = happen(p.daemon.Driver, words[0], info.GetUuid(), words[2:]); err != nil {
		p.t.Fatalf("%s: %v", strings.Join(words, " "), err)
	}
	switch words[0] {
	case "say", "use", "leave":
	case "reboot", "oom":
		err = nextEvent(ctx, c, before.GetNewest())
	default:
		_, err = c.WaitDomain(ctx, &davitv1.WaitDomainRequest{Domain: client.ByUUID(info.GetUuid())})
	}
	if err != nil {
		p.t.Fatalf("%s: %v", strings.Join(words, " "), err)
	}
}

// nextEvent waits for the event that follows a position.
func nextEvent(ctx context.Context, c *client.Client, after *davitv1.EventPosition) error {
	for n, err := range c.Watch(ctx, client.WatchOptions{After: after}) {
		if err != nil || n.Event != nil {
			return err
		}
	}
	return nil
}

func happen(d *fake.Driver, what, uuid string, args []string) error {
	switch what {
	case "exit":
		code, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		return d.Exit(uuid, code)
	case "crash":
		return d.Crash(uuid, syscall.SIGSEGV)
	case "reboot", "rebootend":
		return d.Reboot(uuid)
	case "poweroff":
		return d.Poweroff(uuid)
	case "say":
		text, err := strconv.Unquote(strings.Join(args, " "))
		if err != nil {
			return err
		}
		return d.Write(uuid, 0, []byte(text))
	case "oom":
		return d.OOM(uuid, false)
	case "use", "leave": // a device, by its alias
		return d.Occupy(uuid, args[0], what == "use")
	case "wait":
		return nil
	}
	return fmt.Errorf("nobody knows how to %s", what)
}
