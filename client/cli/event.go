package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// eventName is the word for a kind of event. What happens to a device is one kind with several words.
type eventName struct {
	word string
	kind davitv1.EventKind
}

// eventNames are virsh's words for what davit tells; device-updated and oom are davit's own.
func eventNames() []eventName {
	return []eventName{
		{"lifecycle", davitv1.EventKind_EVENT_KIND_LIFECYCLE},
		{"reboot", davitv1.EventKind_EVENT_KIND_REBOOT},
		{"device-removed", davitv1.EventKind_EVENT_KIND_DEVICE},
		{"device-added", davitv1.EventKind_EVENT_KIND_DEVICE},
		{"device-removal-failed", davitv1.EventKind_EVENT_KIND_DEVICE},
		{"device-updated", davitv1.EventKind_EVENT_KIND_DEVICE},
		{"tunable", davitv1.EventKind_EVENT_KIND_TUNABLE},
		{"metadata-change", davitv1.EventKind_EVENT_KIND_METADATA_CHANGE},
		{"oom", davitv1.EventKind_EVENT_KIND_OOM},
	}
}

// eventOptions is what event was told.
type eventOptions struct {
	domain, event              string
	all, loop, list, timestamp bool
	oldest                     bool
	timeout                    uint
}

func (o *eventOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.domain, "domain", "", "filter by domain name, id or uuid")
	f.StringVar(&o.event, "event", "", "which event type to wait for")
	f.BoolVar(&o.all, "all", false, "wait for all events instead of just one type")
	f.BoolVar(&o.loop, "loop", false, "loop until timeout or interrupt, rather than one-shot")
	f.UintVar(&o.timeout, "timeout", 0, "timeout seconds")
	f.BoolVar(&o.list, "list", false, "list valid event types")
	f.BoolVar(&o.timestamp, "timestamp", false, "show timestamp for each printed event")
	f.BoolVar(&o.oldest, "oldest", false, "begin with the oldest event that the daemon keeps")
}

func (a *app) event() command {
	var o eventOptions
	return command{
		name: "event", help: "Domain Events",
		flags:     o.flags,
		exclusive: [][2]string{{"all", "event"}, {"list", "all"}, {"list", "event"}},
		run: func(ctx context.Context, set *pflag.FlagSet) error {
			if o.list {
				for _, n := range eventNames() {
					a.print("%s\n", n.word)
				}
				return nil
			}
			kinds, err := o.kinds()
			if err != nil {
				return err
			}
			if set.Changed("timeout") && (o.timeout == 0 || o.timeout > maxTimeout) {
				return failed(nil, "Numeric value '%d' for <timeout> option is malformed or out of range", o.timeout)
			}
			return a.watch(ctx, o, kinds)
		},
	}
}

// maxTimeout is the longest timeout in seconds: as in virsh, what fits in milliseconds.
const maxTimeout = math.MaxInt32 / 1000

func (o eventOptions) kinds() ([]davitv1.EventKind, error) {
	if o.all {
		return nil, nil
	}
	if o.event == "" {
		return nil, failed(nil, "one of --list, --all, or --event <type> is required")
	}
	for _, n := range eventNames() {
		if n.word == o.event {
			return []davitv1.EventKind{n.kind}, nil
		}
	}
	return nil, failed(nil, "unknown event type %s", o.event)
}

// errTimeout is the cause of a watch that ended with its time.
var errTimeout = errors.New("event loop timed out")

// watch prints events until one has come, or with --loop until the time is up or the user interrupts.
func (a *app) watch(ctx context.Context, o eventOptions, kinds []davitv1.EventKind) error {
	c, err := a.daemon(ctx)
	if err != nil {
		return err
	}
	opts := client.WatchOptions{Kinds: kinds, Oldest: o.oldest}
	if o.domain != "" {
		_, info, wrong := a.lookup(ctx, o.domain)
		if wrong != nil {
			return wrong
		}
		opts.UUIDs = []string{info.GetUuid()}
	}
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(o.timeout)*time.Second, errTimeout)
		defer cancel()
	}
	count, err := a.follow(ctx, c, opts, o)
	if err != nil && ctx.Err() == nil {
		return err
	}
	if a.notation == text {
		switch {
		case errors.Is(context.Cause(ctx), errTimeout):
			a.print("event loop timed out\n")
		case ctx.Err() != nil:
			a.print("event loop interrupted\n")
		}
		a.print("events received: %d\n", count)
	}
	if count == 0 {
		return exitError(1)
	}
	return nil
}

func (a *app) follow(ctx context.Context, c *client.Client, opts client.WatchOptions, o eventOptions) (int, error) {
	count := 0
	for n, err := range c.Watch(ctx, opts) {
		if err != nil {
			return count, err
		}
		if n.Resync != nil {
			a.warn("events after %s are no longer kept: list the domains anew", positionText(n.Resync.After))
		}
		if n.Event == nil || (o.event != "" && wordOf(n.Event) != o.event) {
			continue
		}
		count++
		if err := a.printEvent(n.Event, o.timestamp); err != nil {
			return count, err
		}
		if err := a.out.failure(); err != nil {
			return count, err
		}
		if !o.loop {
			break
		}
	}
	return count, nil
}

func (a *app) printEvent(ev *davitv1.Event, timestamp bool) error {
	switch a.notation {
	case jsonText:
		doc, err := encode(ev)
		a.print("%s\n", doc)
		return err
	case yamlText:
		a.print("---\n")
		return a.show(ev)
	case text:
	}
	if timestamp {
		a.print("%s: ", timeText(ev.GetTime().AsTime()))
	}
	a.print("event '%s' for domain '%s'%s\n", wordOf(ev), cell(ev.GetName()), cell(eventDetail(ev)))
	for _, t := range ev.GetTunable().GetTunables() {
		a.print("\t%s: %s\n", tunableName(t.GetField()), tunableValue(t.GetValue()))
	}
	return nil
}

// wordOf is virsh's word for an event.
func wordOf(ev *davitv1.Event) string {
	switch kind := ev.GetKind().(type) {
	case *davitv1.Event_Lifecycle:
		return "lifecycle"
	case *davitv1.Event_Reboot:
		return "reboot"
	case *davitv1.Event_MetadataChange:
		return "metadata-change"
	case *davitv1.Event_Device:
		return deviceWords[kind.Device.GetType()]
	case *davitv1.Event_Oom:
		return "oom"
	case *davitv1.Event_Tunable:
		return "tunable"
	}
	return "unknown"
}

// deviceWords are virsh's words; it has none for a device that changes.
var deviceWords = map[davitv1.DeviceEventType]string{
	davitv1.DeviceEventType_DEVICE_EVENT_TYPE_ADDED:          "device-added",
	davitv1.DeviceEventType_DEVICE_EVENT_TYPE_REMOVED:        "device-removed",
	davitv1.DeviceEventType_DEVICE_EVENT_TYPE_REMOVAL_FAILED: "device-removal-failed",
	davitv1.DeviceEventType_DEVICE_EVENT_TYPE_UPDATED:        "device-updated",
}

// eventDetail is what follows the domain in the line of an event.
func eventDetail(ev *davitv1.Event) string {
	switch kind := ev.GetKind().(type) {
	case *davitv1.Event_Lifecycle:
		what, detail := domain.EventWords(kind.Lifecycle)
		return ": " + what + " " + detail
	case *davitv1.Event_MetadataChange:
		return fmt.Sprintf(": type %s, uri %s", metadataWord(kind.MetadataChange.GetType()), orNull(kind.MetadataChange.GetUri()))
	case *davitv1.Event_Device:
		return ": " + kind.Device.GetAlias()
	case *davitv1.Event_Tunable:
		return ":"
	case *davitv1.Event_Oom:
		return fmt.Sprintf(": count %d", kind.Oom.GetCount())
	}
	return ""
}

// tunableName is virsh's name of a limit; those of memory are davit's own.
func tunableName(field string) string {
	switch field {
	case "cputune.shares":
		return "cputune.cpu_shares"
	case "cputune.period":
		return "cputune.vcpu_period"
	case "cputune.quota":
		return "cputune.vcpu_quota"
	}
	return cell(strings.TrimSuffix(field, "_kib"))
}

// tunableValue is the value of a limit, for one that was lifted the word that is shown elsewhere.
func tunableValue(value string) string {
	if value == "" {
		return "unlimited"
	}
	return cell(value)
}

func metadataWord(t davitv1.MetadataType) string {
	return strings.ToLower(strings.TrimPrefix(t.String(), "METADATA_TYPE_"))
}

func orNull(s string) string {
	if s == "" {
		return "<null>"
	}
	return s
}

func positionText(p *davitv1.EventPosition) string {
	return fmt.Sprintf("%s:%d", p.GetEpoch(), p.GetSequence())
}
