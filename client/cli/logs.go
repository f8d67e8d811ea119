package cli

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// logsOptions is what logs was told.
type logsOptions struct {
	name, since, until, origin      string
	tail                            uint32
	follow, timestamps, list, clear bool
}

func (o *logsOptions) flags(f *pflag.FlagSet) {
	f.BoolVarP(&o.follow, "follow", "f", false, "go on with what comes, until interrupted")
	f.StringVar(&o.since, "since", "", "lines from then on: 2006-01-02T15:04:05Z, a date, today, or 10m for ten minutes ago")
	f.StringVar(&o.until, "until", "", "lines before then")
	f.Uint32VarP(&o.tail, "tail", "n", 0, "the last so many lines of these")
	f.BoolVarP(&o.timestamps, "timestamps", "t", false, "when each line was written")
	f.StringVar(&o.origin, "origin", "", "only of a console, console0, or of init")
	f.BoolVar(&o.list, "list", false, "list the domains that have a log, also those that are gone")
	f.BoolVar(&o.clear, "remove", false, "remove the log of a domain that is not active")
}

func (a *app) logs() command {
	var o logsOptions
	return command{
		name: "logs", help: "show what a domain's consoles and its init said, also after it is gone",
		operands: []operand{{name: "domain", help: "domain name, id or uuid", optional: true, one: &o.name}},
		flags:    o.flags,
		bare:     true,
		exclusive: [][2]string{
			{"list", "follow"}, {"list", "remove"}, {"remove", "follow"}, {"follow", "until"}, {"list", "domain"},
		},
		run: func(ctx context.Context, set *pflag.FlagSet) error {
			if o.list {
				return a.listLogs(ctx)
			}
			if o.name == "" {
				return usage("command 'logs' requires <domain> option")
			}
			c, name, err := a.logOf(ctx, o.name)
			switch {
			case err != nil:
				return err
			case o.clear:
				return a.removeLog(ctx, c, name, o.name)
			}
			read, err := o.read(set, time.Now())
			if err != nil {
				return err
			}
			return a.showLog(ctx, c, name, o, read)
		},
	}
}

// logOf is how the log of a domain is asked for: by its UUID, or by the name of one that is gone.
func (a *app) logOf(ctx context.Context, text string) (*client.Client, string, error) {
	c, err := a.daemon(ctx)
	if err != nil {
		return nil, "", err
	}
	info, err := c.Lookup(ctx, text)
	if errors.Is(err, domain.ErrNotFound) {
		return c, text, nil
	}
	return c, info.GetUuid(), err
}

func (a *app) removeLog(ctx context.Context, c *client.Client, uuid, name string) error {
	if _, err := c.RemoveLog(ctx, &davitv1.RemoveLogRequest{Domain: uuid}); err != nil {
		return failed(unsure(err), "Failed to remove log of domain '%s'", name)
	}
	a.extra("Log of domain '%s' removed\n", name)
	return nil
}

// read is what to ask for.
func (o logsOptions) read(set *pflag.FlagSet, now time.Time) (client.LogOptions, error) {
	read := client.LogOptions{Follow: o.follow, Origin: o.origin}
	if set.Changed("tail") {
		read.Tail = &o.tail
	}
	for _, bound := range []struct {
		text string
		to   *time.Time
	}{{o.since, &read.Since}, {o.until, &read.Until}} {
		if bound.text == "" {
			continue
		}
		t, err := moment(bound.text, now)
		if err != nil {
			return read, err
		}
		*bound.to = t
	}
	return read, nil
}

func (a *app) showLog(ctx context.Context, c *client.Client, name string, o logsOptions, read client.LogOptions) error {
	p := &logPrinter{app: a, timestamps: o.timestamps}
	for line, err := range c.Log(ctx, name, read) {
		switch {
		case err != nil && ctx.Err() != nil:
			p.end()
			return nil // the user ended it
		case err != nil:
			p.end()
			return failed(err, "Failed to read log of domain '%s'", o.name)
		}
		if err := p.print(line); err != nil {
			return err
		}
		if err := a.out.failure(); err != nil {
			return err
		}
	}
	p.end()
	return nil
}

// logPrinter prints lines as they come. What comes in parts is put together again, unless another origin speaks up.
type logPrinter struct {
	app        *app
	timestamps bool
	open       string // origin of the line that has no end yet
}

func (p *logPrinter) print(line *davitv1.LogLine) error {
	if p.app.notation != text {
		return p.app.showLine(line)
	}
	if p.open != "" && p.open != line.GetOrigin() {
		p.end()
	}
	if p.open == "" {
		p.app.out.printf("%s", linePrefix(line, p.timestamps))
	}
	_, _ = p.app.out.Write(line.GetText()) // its failure is remembered
	p.open = line.GetOrigin()
	if !line.GetPartial() {
		p.end()
	}
	return nil
}

func (p *logPrinter) end() {
	if p.open != "" {
		p.app.out.printf("\n")
		p.open = ""
	}
}

// mainConsole is the console whose lines need no name: most domains have no other.
const mainConsole = "console0"

// linePrefix tells when, if that is wanted, and who speaks, unless it is the first console.
func linePrefix(line *davitv1.LogLine, timestamps bool) string {
	prefix := ""
	if timestamps {
		prefix = line.GetTime().AsTime().UTC().Format("2006-01-02T15:04:05.000000Z ")
	}
	if line.GetOrigin() != mainConsole {
		prefix += "[" + cell(line.GetOrigin()) + "] "
	}
	return prefix
}

// showLine prints a line as an object: one line of JSON, or a document of YAML.
func (a *app) showLine(line *davitv1.LogLine) error {
	o := object{
		{"time", line.GetTime()},
		{"origin", line.GetOrigin()},
		{"text", strings.ToValidUTF8(string(line.GetText()), "\uFFFD")},
		{"partial", line.GetPartial()},
	}
	if a.notation == yamlText {
		a.print("---\n")
		return a.show(o)
	}
	doc, err := encode(o)
	a.print("%s\n", doc)
	return err
}

func (a *app) listLogs(ctx context.Context) error {
	c, err := a.daemon(ctx)
	if err != nil {
		return err
	}
	resp, err := c.ListLogs(ctx, &davitv1.ListLogsRequest{})
	if err != nil {
		return failed(err, "Failed to list logs")
	}
	if a.notation != text {
		return a.show(messages(resp.GetLogs()))
	}
	t := newTable("Name", "UUID", "Domain", "Size", "Last line")
	for _, l := range resp.GetLogs() {
		is := "defined"
		if l.GetGone() {
			is = "gone"
		}
		t.add(l.GetName(), l.GetUuid(), is, byteText(l.GetSizeBytes()), timeText(l.GetModified().AsTime()))
	}
	a.printTable(t)
	a.extra("\n")
	return nil
}
