package cli

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// auditOptions is what audit was told.
type auditOptions struct {
	domain, since, until, user string
	tail                       uint32
	denied, follow             bool
}

func (o *auditOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.domain, "domain", "", "only of this domain, by its uuid or the name that it had")
	f.StringVar(&o.since, "since", "", "records from then on: 2006-01-02T15:04:05Z, a date, today, or 10m for ten minutes ago")
	f.StringVar(&o.until, "until", "", "records before then")
	f.StringVar(&o.user, "user", "", "only of this caller: a user id, or the subject of a certificate")
	f.BoolVar(&o.denied, "denied", false, "only calls that were denied")
	f.Uint32VarP(&o.tail, "tail", "n", 0, "the last so many records of these")
	f.BoolVarP(&o.follow, "follow", "f", false, "go on with what comes, until interrupted")
}

// audit shows who changed what: through the socket for root beside the one that is given, or over the network, as who has
// the role admin there.
func (a *app) audit() command {
	var o auditOptions
	return command{
		name: "audit", help: "show who changed what, and who was refused; for root and the network's admins",
		flags:     o.flags,
		exclusive: [][2]string{{"follow", "until"}},
		run: func(ctx context.Context, set *pflag.FlagSet) error {
			q, err := o.request(set, time.Now())
			if err != nil {
				return err
			}
			return a.asAuditor(ctx, func(c *client.Audit) error { return a.showAudit(ctx, c, q) })
		},
	}
}

func (o auditOptions) request(set *pflag.FlagSet, now time.Time) (*davitv1.ReadAuditRequest, error) {
	q := &davitv1.ReadAuditRequest{Domain: o.domain, User: o.user, Denied: o.denied, Follow: o.follow}
	if set.Changed("tail") {
		q.Tail = &o.tail
	}
	for _, bound := range []struct {
		text string
		to   **timestamppb.Timestamp
	}{{o.since, &q.Since}, {o.until, &q.Until}} {
		if bound.text == "" {
			continue
		}
		t, err := moment(bound.text, now)
		if err != nil {
			return nil, err
		}
		*bound.to = timestamppb.New(t)
	}
	return q, nil
}

func (a *app) showAudit(ctx context.Context, c *client.Audit, q *davitv1.ReadAuditRequest) error {
	for record, err := range c.Records(ctx, q) {
		if err != nil {
			if ctx.Err() != nil { // the user ended it
				return nil
			}
			return failed(err, "Failed to read the audit log")
		}
		if wrong := a.showRecord(record); wrong != nil {
			return wrong
		}
		if wrong := a.out.failure(); wrong != nil {
			return wrong
		}
	}
	return nil
}

// showRecord prints a record: a line for people, or an object, one line of JSON or a document of YAML.
func (a *app) showRecord(r *davitv1.AuditRecord) error {
	switch a.notation {
	case text:
		a.print("%s\n", auditLine(r))
		return nil
	case yamlText:
		a.print("---\n")
		return a.show(r)
	default:
		doc, err := encode(r)
		a.print("%s\n", doc)
		return err
	}
}

// auditLine is a record on one line: when, who, what, on which domain, and what became of it.
func auditLine(r *davitv1.AuditRecord) string {
	words := []string{
		timeText(r.GetTime().AsTime()), cell(callerText(r.GetCaller())), r.GetMethod()[strings.LastIndexByte(r.GetMethod(), '/')+1:],
	}
	if name := r.GetDomain(); name != "" {
		words = append(words, "'"+name+"'")
	} else if r.GetUuid() != "" {
		words = append(words, r.GetUuid())
	}
	switch r.GetPhase() {
	case davitv1.AuditPhase_AUDIT_PHASE_BEGIN:
		words = append(words, "begins")
	default:
		words = append(words, r.GetCode())
		if r.GetReason() != "" {
			words = append(words, r.GetReason())
		}
		words = append(words, r.GetDuration().AsDuration().Round(time.Millisecond).String())
	}
	if r.GetMessage() != "" {
		words = append(words, "("+r.GetMessage()+")")
	}
	if len(r.GetRequest().GetFields()) > 0 {
		if doc, err := encode(r.GetRequest()); err == nil {
			words = append(words, string(doc))
		}
	}
	if n := r.GetSuppressed(); n > 0 {
		words = append(words, "["+strconv.FormatUint(n, 10)+" refused before it are not recorded]")
	}
	for i := range words {
		words[i] = cell(words[i])
	}
	return strings.Join(words, " ")
}

// callerText is who called, in few words.
func callerText(c *davitv1.AuditCaller) string {
	if p := c.GetProcess(); p != nil {
		who := "uid " + strconv.FormatUint(uint64(p.GetUid()), 10) + " pid " + strconv.FormatUint(uint64(p.GetPid()), 10)
		if p.GetProgram() != "" {
			who += " (" + p.GetProgram() + ")"
		}
		return who
	}
	if k := c.GetCertificate(); k != nil {
		return k.GetSubject() + " from " + k.GetAddress()
	}
	return "unknown"
}
