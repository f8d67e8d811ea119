package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"

	"github.com/davitd/davit/server"
)

// errHelp tells that help was asked for, and given.
var errHelp = flag.ErrHelp

// options are the arguments.
type options struct {
	configPath  string
	root        string
	driver      string
	cgroupRoot  string
	logLevel    string
	printConfig bool
	check       bool
	version     bool
}

const usage = `Usage: davitd [--config FILE] [--root DIR] [--driver lxc|fake] [--cgroup-root DIR]
              [--log-level LEVEL]
       davitd --print-config | --check | --version

davitd runs Linux containers and answers on a unix socket. Without arguments it is
the host's own daemon, which needs root: /etc/davit/davitd.toml, /var/lib/davit,
/run/davit.

  --config FILE       read the configuration from this file
  --root DIR          keep everything in this folder, the configuration included
                      (DIR/davitd.toml); several daemons run side by side so
  --driver DRIVER     what makes the containers: lxc, or fake, which only plays them
  --cgroup-root DIR   folder below which the cgroups of domains are made
  --log-level LEVEL   least level that is logged: debug, info, warn or error
  --print-config      print the configuration, with what each key means, and end
  --check             look at the configuration and the files that it names, say what
                      is wrong with them, and end
  --version           print the version and end
`

// parse reads the arguments.
func parse(args []string, stdout io.Writer) (options, error) {
	var o options
	set := flag.NewFlagSet("davitd", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&o.configPath, "config", "", "")
	set.StringVar(&o.root, "root", "", "")
	set.StringVar(&o.driver, "driver", "", "")
	set.StringVar(&o.cgroupRoot, "cgroup-root", "", "")
	set.StringVar(&o.logLevel, "log-level", "", "")
	set.BoolVar(&o.printConfig, "print-config", false, "")
	set.BoolVar(&o.check, "check", false, "")
	set.BoolVar(&o.version, "version", false, "")
	if err := set.Parse(args); errors.Is(err, errHelp) {
		_, _ = fmt.Fprint(stdout, usage)
		return o, err
	} else if err != nil {
		return o, fmt.Errorf("read arguments: %w; see davitd --help", err)
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("read arguments: %q is not one", set.Arg(0))
	}
	return o, nil
}

// config reads the configuration; arguments go before the file.
func (o options) config() (server.Config, error) {
	base, path := server.Default(), server.DefaultConfigPath
	var places server.Paths
	if o.root != "" {
		root, err := filepath.Abs(o.root)
		if err != nil {
			return server.Config{}, fmt.Errorf("find root: %w", err)
		}
		base, path = server.Rooted(root), server.RootedConfigPath(root)
		places = base.Paths
	}
	if o.configPath != "" {
		path = o.configPath
	}
	c, err := server.ReadConfig(path, o.configPath != "", base)
	if err != nil {
		return c, err
	}
	if o.root != "" {
		c.Paths = places
	}
	if o.driver != "" {
		c.Driver = o.driver
	}
	if o.cgroupRoot != "" {
		c.CgroupRoot = o.cgroupRoot
	}
	if o.logLevel != "" {
		c.Log.Level = o.logLevel
	}
	return server.ParseConfig("", "arguments", c)
}
