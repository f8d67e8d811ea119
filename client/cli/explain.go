package cli

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/davitd/davit/domain/explain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) explain() command {
	var path string
	var recursive bool
	return command{
		name: "explain", help: "tell what a field or element of definitions means and what it may be; needs no daemon",
		operands: []operand{{
			name: "path", help: "domain.devices.filesystem, os.init, /domain/memory/@unit; all when absent", optional: true, one: &path,
		}},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&recursive, "recursive", false, "list everything below it, too")
		},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			ref := explain.New()
			entry, err := ref.Lookup(path)
			if unknown, ok := errors.AsType[*explain.UnknownError](err); ok {
				return hint(failed(nil, "there is nothing at '%s' in a definition", path), "", unknown.Nearest)
			}
			if err != nil {
				return err
			}
			x := explanation{app: a, entry: entry, lacking: a.lacking(ctx, entry.Path)}
			if recursive {
				for below := range ref.Below(entry.Path) {
					x.below = append(x.below, below)
				}
			}
			if a.notation != text {
				return a.show(x.data())
			}
			x.print()
			return nil
		},
	}
}

// explainPatience is how long the daemon has to say how its host is: what is explained does not depend on it.
var explainPatience = 500 * time.Millisecond // a test's daemon has longer

// lacking is what the daemon's host lacks for a place of the schema, or for some below it. A daemon that is not there, or does
// not answer in time, lacks nothing.
func (a *app) lacking(ctx context.Context, path string) []*davitv1.Finding {
	ctx, stop := context.WithTimeout(ctx, explainPatience)
	defer stop()
	c, err := a.daemon(ctx)
	if err != nil {
		return nil
	}
	resp, err := c.DiagnoseHost(ctx, &davitv1.DiagnoseHostRequest{})
	if err != nil {
		return nil
	}
	var list []*davitv1.Finding
	for _, f := range resp.GetFindings() {
		if concerns(f, path) {
			list = append(list, f)
		}
	}
	return list
}

// concerns tells whether a finding is about a place, about what it is part of, or about a part of it.
func concerns(f *davitv1.Finding, path string) bool {
	for _, field := range f.GetFields() {
		field = "domain." + field
		if field == path || strings.HasPrefix(field, path+".") || strings.HasPrefix(path, field+".") {
			return true
		}
	}
	return false
}

// schemaPaths offers the next step of a path of the schema, of the model or of the XML.
func schemaPaths(_ context.Context, _ *app, typed string) ([]string, cobra.ShellCompDirective) {
	cut := max(strings.LastIndexAny(typed, "./"), 0)
	e, err := explain.New().Lookup(typed[:cut])
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var offers []string
	directive := cobra.ShellCompDirectiveNoFileComp
	offer := func(word, about string) {
		if strings.HasPrefix(word, typed) {
			offers = append(offers, word+"\t"+sentence(about))
		}
	}
	for _, c := range append([]*explain.Entry{e}, e.Children...) {
		word := c.Path
		switch {
		case strings.HasPrefix(typed, "/"):
			word = c.XML
		case !strings.HasPrefix(typed, "domain."):
			word = strings.TrimPrefix(word, "domain.")
		}
		if before := len(offers); c != e || c.Path == "domain" {
			if offer(word, c.Meaning); len(offers) > before && c.Kind == explain.Group {
				directive |= cobra.ShellCompDirectiveNoSpace
			}
		}
	}
	for _, v := range e.Values {
		offer(typed[:cut]+"."+v.Word, v.Meaning)
	}
	return offers, directive
}

// sentence is the first sentence of a text.
func sentence(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	if s, _, ok := strings.Cut(first, ". "); ok {
		return s + "."
	}
	return first
}
