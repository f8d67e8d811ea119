package cli

import (
	"context"
	"encoding/xml"
	"strings"

	"github.com/spf13/pflag"
)

// echoOptions is what echo was told.
type echoOptions struct {
	shell, xml, split, err bool
	prefix                 string
	words                  []string
}

// echo prints its arguments, so that a script sees what the shell makes of them.
func (a *app) echo() command {
	var o echoOptions
	return command{
		name: "echo", help: "echo arguments. Used for internal testing.",
		operands: []operand{{name: "string", optional: true, rest: &o.words}},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&o.shell, "shell", false, "escape for shell use")
			f.BoolVar(&o.xml, "xml", false, "escape for XML use")
			f.BoolVar(&o.split, "split", false, "split each argument on ','; ',,' is an escape sequence")
			f.BoolVar(&o.err, "err", false, "output to stderr")
			f.StringVar(&o.prefix, "prefix", "", "prefix the message")
		},
		run: func(context.Context, *pflag.FlagSet) error {
			lines := []string{strings.Join(o.escaped(), " ")}
			if o.split {
				lines = splitCommas(lines[0])
			}
			for _, line := range lines {
				if o.err {
					a.report(failed(nil, "%s%s", o.prefix, line))
				} else {
					a.print("%s%s\n", o.prefix, line)
				}
			}
			return nil
		},
	}
}

func (o echoOptions) escaped() []string {
	out := make([]string, len(o.words))
	for i, word := range o.words {
		if o.shell {
			word = shellWord(word)
		}
		if o.xml {
			var b strings.Builder
			_ = xml.EscapeText(&b, []byte(word)) // a Builder takes everything
			word = strings.NewReplacer("&#34;", "&quot;", "&#39;", "&apos;").Replace(b.String())
		}
		out[i] = word
	}
	return out
}

// shellWord quotes a word for a shell if it needs it.
func shellWord(word string) string {
	if word != "" && !strings.ContainsAny(word, " \t\r\n!\"#$&'()*;<>?[\\]^`{|}~") {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// splitCommas splits a text at commas; two of them are one that does not split.
func splitCommas(text string) []string {
	const kept = "\x00"
	parts := strings.Split(strings.ReplaceAll(text, ",,", kept), ",")
	for i := range parts {
		parts[i] = strings.ReplaceAll(parts[i], kept, ",")
	}
	return parts
}
