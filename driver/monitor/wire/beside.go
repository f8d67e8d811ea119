package wire

import (
	"slices"
	"strings"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Beside is a process that has what init has, and of its own the program, the folder, the user if it names one, and variables in place of
// init's or after them. A monitor makes it of what it is asked (Exec.beside); for one of an older davit davitd does.
func Beside(init, own *monitorv1.Process) *monitorv1.Process {
	p := *init
	p.Argv, p.Cwd, p.Console = own.GetArgv(), own.GetCwd(), 0
	if own.GetUser() != "" {
		p.User, p.Group = own.GetUser(), own.GetGroup()
	}
	p.Env = slices.Clone(init.GetEnv())
	for _, line := range own.GetEnv() {
		name, value, _ := strings.Cut(line, "=")
		p.Env = Setenv(p.Env, name, value)
	}
	return &p
}

// Setenv replaces a variable, or adds it.
func Setenv(env []string, name, value string) []string {
	at := slices.IndexFunc(env, func(line string) bool { return strings.HasPrefix(line, name+"=") })
	if at < 0 {
		return append(env, name+"="+value)
	}
	env[at] = name + "=" + value
	return env
}
