package cli

import (
	"context"
	"strconv"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// numaModes are the words for how memory nodes are used, in the order of libvirt's numbers, which virsh takes too.
func numaModes() []struct {
	word string
	mode davitv1.NumaMode
} {
	return []struct {
		word string
		mode davitv1.NumaMode
	}{
		{"strict", davitv1.NumaMode_NUMA_MODE_STRICT},
		{"preferred", davitv1.NumaMode_NUMA_MODE_PREFERRED},
		{"interleave", davitv1.NumaMode_NUMA_MODE_INTERLEAVE},
		{"restrictive", davitv1.NumaMode_NUMA_MODE_RESTRICTIVE},
	}
}

func (a *app) numatune() command {
	var name, mode, nodeset string
	var s scope
	return command{
		name: "numatune", help: "get or set numa parameters",
		operands: []operand{domainOperand(&name)},
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&mode, "mode", "", "NUMA mode, one of strict, preferred, interleave and restrictive, or its number")
			f.StringVar(&nodeset, "nodeset", "", "NUMA node selections to set")
			s.flags(f, "affect")
		},
		exclusive: scopesExclude(),
		run: func(ctx context.Context, set *pflag.FlagSet) error {
			tune := &davitv1.NumaTune{Nodeset: nodeset}
			var paths []string
			if set.Changed("mode") {
				if tune.Mode = numaMode(mode); tune.GetMode() == 0 {
					return failed(nil, "Invalid mode: %s", mode)
				}
				paths = append(paths, "numatune.mode")
			}
			if set.Changed("nodeset") {
				paths = append(paths, "numatune.nodeset")
			}
			if len(paths) == 0 {
				return a.showNumatune(ctx, name, s)
			}
			if err := a.change(ctx, name, s, &davitv1.Domain{Numatune: tune}, paths...); err != nil {
				return failed(unsure(err), "Unable to change numa parameters")
			}
			return nil
		},
	}
}

// numaMode reads a mode by its word or number; 0 if there is none such.
func numaMode(text string) davitv1.NumaMode {
	for i, m := range numaModes() {
		if text == m.word || text == strconv.Itoa(i) {
			return m.mode
		}
	}
	return 0
}

// showNumatune prints how memory nodes are used and which. Without a word in the definition the mode is strict, of no nodes.
func (a *app) showNumatune(ctx context.Context, name string, s scope) error {
	_, info, err := a.inspect(ctx, name, s)
	if err != nil {
		return failed(err, "Unable to get number of memory parameters")
	}
	tune := info.GetDefinition().GetNumatune()
	word := "strict"
	for _, m := range numaModes() {
		if m.mode == tune.GetMode() {
			word = m.word
		}
	}
	return a.showParameters([]parameter{{"numa_mode", word}, {"numa_nodeset", tune.GetNodeset()}})
}
