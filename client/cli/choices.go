package cli

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// choice gives what an operand or the value of an option may be, as far as it begins with what was typed. After a tab
// stands what it is.
type choice func(ctx context.Context, a *app, typed string) ([]string, cobra.ShellCompDirective)

// choiceOf is the choice for an operand or option of a command, nil when it can be anything.
func choiceOf(command, name string) choice {
	switch command + " " + name {
	case "help command":
		return helpTopics
	case "log-level level":
		return among("debug", "info", "warn", "error")
	case "explain path":
		return schemaPaths
	case "convert to":
		return among("xml", "json", "yaml")
	case "domxml-from-native format":
		return among(lxcTools, ociBundle)
	case "domxml-to-native format":
		return among(ociBundle)
	case "domxml-from-native config", "domxml-to-native xml":
		return files
	case "logs origin":
		return among("init", "console0")
	case "set-lifecycle-action type":
		return among("poweroff", "reboot", "crash")
	case "set-lifecycle-action action":
		return among(slices.Sorted(maps.Keys(lifecycleActions()))...)
	case "wait for":
		return among("running", "paused", "shutoff", "crashed")
	case "completion shell":
		return among("bash", "zsh", "fish")
	case "connect name":
		return files
	}
	if found := deviceChoice(command, name); found != nil {
		return found
	}
	return commonChoice(command, name)
}

// commonChoice is the choice for an operand or option that means the same wherever it stands.
func commonChoice(command, name string) choice {
	switch name {
	case "domain":
		return domains(meant(command))
	case "file", "cacert", "cert", "key":
		return files
	case "dir":
		return folders
	case "mode":
		if command == "numatune" {
			return among("strict", "preferred", "interleave", "restrictive")
		}
		return among("initctl", "signal")
	case "output":
		return among("text", "table", "json", "yaml")
	case "color":
		return among("auto", "always", "never")
	case "signame":
		return among("hup", "int", "quit", "kill", "usr1", "usr2", "term", "cont", "stop")
	case "event":
		var words []string
		for _, n := range eventNames() {
			words = append(words, n.word)
		}
		return among(words...)
	}
	return nil
}

// meant chooses the domains that a command can be meant for, nil when it can be any.
func meant(command string) *davitv1.DomainFilter {
	yes, no := true, false
	switch command {
	case "start", "domrename":
		return &davitv1.DomainFilter{Active: &no}
	case "shutdown", "reboot", "reset", "destroy", "console", "exec", "domid", "ttyconsole", "lxc-enter-namespace",
		"send-process-signal", "cpu-stats", "dommemstat", "domfsinfo", "domjobinfo", "domcontrol", "detach-device-alias",
		"domblkstat", "domifstat", "domifaddr":
		return &davitv1.DomainFilter{Active: &yes}
	case "suspend":
		return &davitv1.DomainFilter{States: []davitv1.DomainState{davitv1.DomainState_DOMAIN_STATE_RUNNING}}
	case "resume":
		return &davitv1.DomainFilter{States: []davitv1.DomainState{davitv1.DomainState_DOMAIN_STATE_PAUSED}}
	case "autostart", "undefine":
		return &davitv1.DomainFilter{Persistent: &yes}
	}
	return nil
}

// helpTopics offers what there is help on.
func helpTopics(ctx context.Context, a *app, typed string) ([]string, cobra.ShellCompDirective) {
	var topics []string
	for _, g := range a.groups() {
		topics = append(topics, g.keyword)
		for _, c := range g.commands {
			topics = append(topics, c.name)
		}
	}
	slices.Sort(topics)
	return among(slices.Compact(topics)...)(ctx, a, typed)
}

// among offers words of a closed set.
func among(words ...string) choice {
	return func(_ context.Context, _ *app, typed string) ([]string, cobra.ShellCompDirective) {
		var offers []string
		for _, w := range words {
			if strings.HasPrefix(w, typed) {
				offers = append(offers, w)
			}
		}
		return offers, cobra.ShellCompDirectiveNoFileComp
	}
}

// domains offers the names of domains; where a name is not fit to be shown, the UUID instead. A daemon
// that does not answer in time is no reason to wait, or to say anything.
func domains(filter *davitv1.DomainFilter) choice {
	return func(ctx context.Context, a *app, typed string) ([]string, cobra.ShellCompDirective) {
		var offers []string
		c, err := a.daemon(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		for d, err := range c.Domains(ctx, filter) {
			if err != nil {
				break
			}
			word, about := d.GetName(), domain.StateWord(d.GetState())
			if !a.showable(word) {
				word, about = d.GetUuid(), cell(word)
			}
			if strings.HasPrefix(word, typed) {
				offers = append(offers, word+"\t"+about)
			}
		}
		return offers, cobra.ShellCompDirectiveNoFileComp
	}
}

// showable tells whether a name can stand on a line that is edited as it is: without characters that a terminal acts on,
// and, where the shell has a terminal of ASCII, without others than those.
func (a *app) showable(name string) bool {
	return cell(name) == name && (a.shell == nil || a.out.encoded(name) == name)
}

// files offers the files of a folder, and its folders to go on in. The shells of others do that themselves.
func files(_ context.Context, a *app, typed string) ([]string, cobra.ShellCompDirective) {
	if a.shell == nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return paths(a, typed, false)
}

// folders offers folders.
func folders(_ context.Context, a *app, typed string) ([]string, cobra.ShellCompDirective) {
	if a.shell == nil {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	return paths(a, typed, true)
}

// paths are what a folder holds and begins with what was typed. Names that are not fit to be shown are left out: nobody
// could tell what they are.
func paths(a *app, typed string, foldersOnly bool) ([]string, cobra.ShellCompDirective) {
	folder, base := filepath.Split(typed)
	in := folder
	if in == "" {
		in = "."
	}
	entries, err := os.ReadDir(in)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var offers []string
	directive := cobra.ShellCompDirectiveDefault
	for _, e := range entries {
		name := e.Name()
		hidden := strings.HasPrefix(name, ".") && !strings.HasPrefix(base, ".")
		if !strings.HasPrefix(name, base) || hidden || !a.showable(name) {
			continue
		}
		switch {
		case isFolder(folder, e):
			name += string(filepath.Separator)
			directive = cobra.ShellCompDirectiveNoSpace
		case foldersOnly:
			continue
		}
		offers = append(offers, folder+name)
	}
	return offers, directive
}

func isFolder(in string, e os.DirEntry) bool {
	if e.Type()&os.ModeSymlink == 0 {
		return e.IsDir()
	}
	info, err := os.Stat(filepath.Join(in, e.Name()))
	return err == nil && info.IsDir()
}
