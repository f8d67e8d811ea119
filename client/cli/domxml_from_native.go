package cli

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/convert"
	"github.com/davitd/davit/convert/lxctools"
	"github.com/davitd/davit/convert/oci"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// The formats of other programs.
const (
	lxcTools  = "lxc-tools"
	ociBundle = "oci-bundle"
)

// lxcConfigs is where the LXC tools keep what their configurations include.
const lxcConfigs = "/usr/share/lxc/config"

func (a *app) domxmlFromNative() command {
	var format, config string
	var strict bool
	return command{
		name: "domxml-from-native", help: "convert the configuration of LXC or an OCI bundle to domain XML; needs no daemon",
		operands: []operand{
			{name: "format", help: "source config data format: lxc-tools or oci-bundle", one: &format},
			{name: "config", help: "file to import from, - for standard input; of a bundle also its folder", one: &config},
		},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&strict, "validate", false, "refuse keys that LXC does not have")
		},
		bare: true,
		run: func(_ context.Context, _ *pflag.FlagSet) error {
			var def *davitv1.Domain
			var warnings []convert.Warning
			var err error
			switch format {
			case lxcTools:
				def, warnings, err = a.readLXC(config, strict)
			case ociBundle:
				def, warnings, err = a.readBundle(config)
			default:
				return unknownFormat(format, lxcTools, ociBundle)
			}
			if err != nil {
				return err
			}
			a.warnConverted(warnings)
			return a.printDefinition(def, string(a.notation))
		},
	}
}

func unknownFormat(format string, known ...string) error {
	return hint(failed(nil, "invalid argument: unsupported config type %s", format), "", nearest(format, known))
}

func (a *app) warnConverted(warnings []convert.Warning) {
	for _, w := range warnings {
		a.warn("%s", w)
	}
}

// readLXC reads a configuration of the LXC tools. What it includes may lie in its own folder and where LXC keeps such files.
func (a *app) readLXC(name string, strict bool) (*davitv1.Domain, []convert.Warning, error) {
	text, err := a.readFile(name)
	if err != nil {
		return nil, nil, err
	}
	o := lxctools.Options{Strict: strict, Folders: []string{lxcConfigs}}
	folders := o.Folders
	if full, absErr := filepath.Abs(name); absErr == nil && name != "-" {
		o.Folder = filepath.ToSlash(strings.TrimSuffix(full, filepath.Clean(name)))
		o.Folders, folders = []string{filepath.Dir(name), lxcConfigs}, []string{filepath.Dir(full), lxcConfigs}
		if filepath.Base(full) == "config" { // /var/lib/lxc/NAME/config
			o.Name = filepath.Base(filepath.Dir(full))
		}
	}
	files := openFolders(folders)
	defer files.close()
	o.Files = files
	def, warnings, err := lxctools.Parse(filepath.ToSlash(name), text, o)
	return def, warnings, unconverted(err, name)
}

// readBundle reads the config.json of a bundle, which the name may be the folder of.
func (a *app) readBundle(name string) (*davitv1.Domain, []convert.Warning, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		name = filepath.Join(name, "config.json")
	}
	text, err := a.readFile(name)
	if err != nil {
		return nil, nil, err
	}
	bundle, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, nil, failed(nil, "Failed to open file '%s': %s", name, plain(err))
	}
	o := oci.Options{Bundle: filepath.ToSlash(bundle)}
	var root *os.Root
	defer func() {
		if root != nil {
			_ = root.Close()
		}
	}()
	o.Root = func(folder string) fs.FS {
		if root, err = os.OpenRoot(folder); err != nil {
			return nil
		}
		return root.FS()
	}
	def, warnings, err := oci.Read(filepath.ToSlash(name), text, o)
	return def, warnings, unconverted(err, name)
}

// unconverted is the failure to convert a file, nil if there is none.
func unconverted(err error, name string) error {
	if err == nil {
		return nil
	}
	return failed(err, "Failed to convert %s", name)
}
