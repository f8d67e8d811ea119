package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const (
	secret   = "s3cr3t-passw0rd"
	secret2  = "s3cr3t-2nd-passw0rd" // which the stored definition has, not the running one
	guess    = "not-it"
	withPass = `<domain type='lxc'><name>web</name><uuid>` + uuidWeb + `</uuid><memory>65536</memory>
<os><type>exe</type><init>/bin/sh</init><initenv name='PASSWORD'>%[1]s</initenv></os>
<devices><graphics type='vnc' port='5900' passwd='%[1]s'/><disk type='file' device='disk'><source file='/x'/><target dev='vdb'/>
<mirror><source><cookies><cookie name='c'>%[1]s</cookie></cookies></source></mirror></disk></devices></domain>`
)

func withSecret(value string) *davitv1.DefinitionSource {
	return &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: fmt.Sprintf(withPass, value)}}
}

// answers makes a call and gives all that it is answered, as text: messages, and the error with its details. A call without
// end is ended after the first pause.
func (d *daemon) answers(m protoreflect.MethodDescriptor, q proto.Message) (text string, err error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), brief)
	defer cancel()
	var out strings.Builder
	add := func(answer proto.Message) {
		out.WriteString(prototext.Format(answer))
	}
	answer := dynamicpb.NewMessage(m.Output())
	if !m.IsStreamingServer() {
		err = d.conn.Invoke(ctx, fullName(m), q, answer)
		add(answer)
	} else {
		var stream grpc.ClientStream
		stream, err = d.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, fullName(m))
		if err == nil {
			err = errors.Join(stream.SendMsg(q), stream.CloseSend())
		}
		for err == nil {
			answer = dynamicpb.NewMessage(m.Output())
			if err = stream.RecvMsg(answer); err == nil {
				add(answer)
			}
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		add(status.Convert(err).Proto())
	}
	return out.String(), err
}

// looking are the requests of methods that look, with as much asked for as can be.
func looking(m protoreflect.MethodDescriptor) []proto.Message {
	web := byName("web")
	list := []proto.Message{}
	if q := good()[string(m.Name())]; q != nil {
		variants(q, func(_ string, q proto.Message) { list = append(list, proto.Clone(q)) })
	}
	full := davitv1.DomainView_DOMAIN_VIEW_FULL
	switch m.Name() {
	case "GetDomain":
		for _, inactive := range []bool{false, true} {
			for _, secrets := range []bool{false, true} {
				list = append(list, &davitv1.GetDomainRequest{Domain: web, View: full, Inactive: inactive, IncludeSecrets: secrets})
			}
		}
	case "GetDomainXML":
		for _, inactive := range []bool{false, true} {
			for _, secrets := range []bool{false, true} {
				list = append(list, &davitv1.GetDomainXMLRequest{Domain: web, Inactive: inactive, IncludeSecrets: secrets})
			}
		}
	case "ListDomains":
		list = append(list, &davitv1.ListDomainsRequest{View: full}, &davitv1.ListDomainsRequest{View: full, PageSize: 1})
	case "DiffDomain":
		for against := range davitv1.Affect_name {
			for _, source := range []*davitv1.DefinitionSource{withSecret(guess), withSecret(domain.Withheld), source("web", uuidWeb, "true")} {
				for _, secrets := range []bool{false, true} {
					list = append(list, &davitv1.DiffDomainRequest{
						Domain: web, Source: source, Against: davitv1.Affect(against), Unchanged: true, IncludeSecrets: secrets,
					})
				}
			}
		}
	case "WatchEvents":
		list = []proto.Message{&davitv1.WatchEventsRequest{
			Start: &davitv1.WatchEventsRequest_Oldest{Oldest: true}, HeartbeatInterval: durationpb.New(100 * time.Millisecond),
		}}
	case "WaitDomain":
		list = []proto.Message{&davitv1.WaitDomainRequest{Domain: web, States: []davitv1.DomainState{davitv1.DomainState_DOMAIN_STATE_RUNNING}}}
	}
	return list
}

// keeping makes a domain that runs with secrets, and another definition of it that is stored with others.
func (d *daemon) keeping() {
	d.t.Helper()
	ctx := d.t.Context()
	for _, value := range []string{secret, secret2} {
		if _, err := d.domains.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: withSecret(value)}); err != nil {
			d.t.Fatal(domain.FromStatus(err))
		}
		if value == secret {
			d.host.FailNextStart(errors.New("no luck"))
			if _, err := d.domains.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: byName("web")}); err == nil {
				d.t.Fatal("it was started")
			}
			if _, err := d.domains.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: byName("web")}); err != nil {
				d.t.Fatal(err)
			}
		}
	}
	exec, err := d.consoles.Exec(ctx)
	if err == nil {
		err = exec.Send(&davitv1.ExecRequest{Action: &davitv1.ExecRequest_Start{Start: &davitv1.ExecStart{
			Domain: byName("web"), Argv: []string{"sleep", "infinity"}, Env: []string{"PASSWORD=" + secret}, Detach: true,
		}}})
	}
	if err == nil {
		_, err = exec.Recv()
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// No method that looks gives a secret to those who may only look, whatever they ask: not in an answer, an event or an error,
// nor by an etag or by a difference that is or is not there.
func TestNoSecretsForThoseWhoLook(t *testing.T) {
	d := newDaemon(t)
	d.start()
	defer d.stop()
	d.keeping()
	shown := map[string]bool{}
	for _, looks := range []bool{false, true} {
		d.looks.Store(looks)
		tried := 0
		for _, m := range methods(t) {
			if access, _ := proto.GetExtension(m.Options(), davitv1.E_Access).(davitv1.Access); access != davitv1.Access_ACCESS_READ {
				continue
			}
			for _, q := range looking(m) {
				tried++
				text, _ := d.answers(m, q)
				if strings.Contains(text, "passw0rd") {
					shown[string(m.Name())] = true
					if looks {
						t.Errorf("%s %v: %s", m.Name(), q, text)
					}
				}
			}
		}
		if tried < 100 {
			t.Errorf("only %d requests", tried)
		}
		if names := []string{"GetDomain", "ListDomains", "GetDomainXML", "DiffDomain"}; !looks && slices.ContainsFunc(names, func(n string) bool { return !shown[n] }) {
			t.Errorf("those who may operate are shown secrets by %v only", shown)
		}
	}
}

// Whoever may only look and asks for secrets is told that he may not; a guess at one is as right as any.
func TestGuesses(t *testing.T) {
	d := newDaemon(t)
	d.start()
	defer d.stop()
	d.keeping()
	known, err := d.domains.GetDomain(t.Context(), &davitv1.GetDomainRequest{Domain: byName("web")})
	if err != nil {
		t.Fatal(err)
	}
	d.looks.Store(true)
	if _, err = d.domains.GetDomainXML(t.Context(), &davitv1.GetDomainXMLRequest{Domain: byName("web"), IncludeSecrets: true}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("XML with secrets: %v", err)
	}
	_, err = d.domains.GetDomain(t.Context(), &davitv1.GetDomainRequest{Domain: byName("web"), View: davitv1.DomainView_DOMAIN_VIEW_FULL, IncludeSecrets: true})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("definition with secrets: %v", err)
	}
	var differences []string
	for _, value := range []string{secret, guess} {
		r, wrong := d.domains.DiffDomain(t.Context(), &davitv1.DiffDomainRequest{Domain: byName("web"), Source: withSecret(value)})
		if wrong != nil {
			t.Fatal(wrong)
		}
		differences = append(differences, fmt.Sprint(r.GetChanges()))
	}
	if differences[0] != differences[1] {
		t.Errorf("the right guess gives %s, another %s", differences[0], differences[1])
	}
	looked, err := d.domains.GetDomain(t.Context(), &davitv1.GetDomainRequest{Domain: byName("web")})
	if err != nil || looked.GetDomain().GetEtag() == known.GetDomain().GetEtag() || looked.GetDomain().GetEtag() == "" {
		t.Errorf("the etag of the definition with its secrets is shown: %v, %v", looked, err)
	}
}

// Whoever may operate is told that a password changes, and from what to what only if he asks for that.
func TestDifferencesOfPasswords(t *testing.T) {
	d := newDaemon(t)
	d.start()
	defer d.stop()
	d.keeping()
	for _, secrets := range []bool{false, true} {
		r, err := d.domains.DiffDomain(t.Context(), &davitv1.DiffDomainRequest{
			Domain: byName("web"), Source: withSecret(guess), Against: davitv1.Affect_AFFECT_CONFIG, IncludeSecrets: secrets,
		})
		if err != nil {
			t.Fatal(err)
		}
		told := map[string]*davitv1.FieldChange{}
		for _, c := range r.GetChanges() {
			told[c.GetXmlPath()] = c
		}
		graphics, disk := told["/domain/devices/graphics"], told["/domain/devices/disk[1]/mirror"]
		if graphics == nil || disk == nil || len(told) != 3 {
			t.Fatalf("the changes are %v", r.GetChanges())
		}
		for _, c := range []*davitv1.FieldChange{graphics, disk} {
			if strings.Contains(c.GetOld(), secret2) != secrets || strings.Contains(c.GetNew(), guess) != secrets ||
				strings.Contains(c.GetNew(), domain.Withheld) == secrets || c.GetEffect() == davitv1.ChangeEffect_CHANGE_EFFECT_UNCHANGED {
				t.Errorf("secrets asked for: %t, change is %v", secrets, c)
			}
		}
	}
	// One that is new or goes is told without it.
	for _, source := range []*davitv1.DefinitionSource{withSecret(guess), bare(t, withSecret(guess))} {
		r, err := d.domains.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: source, ValidateOnly: true})
		if err != nil || len(r.GetChanges()) == 0 {
			t.Fatal(r, err)
		}
		for _, c := range r.GetChanges() {
			if strings.Contains(c.GetXmlPath(), "/devices") && (strings.Contains(c.GetOld(), "passw0rd") || strings.Contains(c.GetNew(), guess)) {
				t.Errorf("a define that only tells what it would do shows %v", c)
			}
		}
	}
}

// bare is a definition without its devices.
func bare(t *testing.T, source *davitv1.DefinitionSource) *davitv1.DefinitionSource {
	t.Helper()
	before, _, found := strings.Cut(source.GetXml(), "<devices>")
	if !found {
		t.Fatal("no devices")
	}
	return &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: before + "</domain>"}}
}

// Those who may only look are told of the same domains and events as those who may operate.
func TestSameDomainsForAll(t *testing.T) {
	d := newDaemon(t)
	d.start()
	defer d.stop()
	d.keeping()
	var lists, told []string
	for _, looks := range []bool{false, true} {
		d.looks.Store(looks)
		r, err := d.domains.ListDomains(t.Context(), &davitv1.ListDomainsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		names := ""
		for _, info := range r.GetDomains() {
			names += info.GetName() + " "
			seen[info.GetUuid()] = true
			if _, err = d.domains.GetDomain(t.Context(), &davitv1.GetDomainRequest{Domain: byName(info.GetName())}); err != nil {
				t.Errorf("%s is listed and not shown: %v", info.GetName(), err)
			}
		}
		lists = append(lists, names)
		stream, err := d.events.WatchEvents(t.Context(), &davitv1.WatchEventsRequest{Start: &davitv1.WatchEventsRequest_Oldest{Oldest: true}})
		if err != nil {
			t.Fatal(err)
		}
		all := ""
		for last := r.GetPosition().GetSequence(); ; {
			item, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if ev := item.GetEvent(); ev != nil {
				all += prototext.Format(ev)
				if !seen[ev.GetUuid()] {
					t.Errorf("an event tells of %s, which is not shown", ev.GetUuid())
				}
				if ev.GetPosition().GetSequence() >= last {
					break
				}
			}
		}
		told = append(told, all)
	}
	if lists[0] != lists[1] || told[0] != told[1] || told[0] == "" {
		t.Errorf("domains %q, events %q", lists, told)
	}
}

// A document that was dumped without its secrets gives the same domain when it is defined again; it never loses them.
func TestRedefineWithoutSecrets(t *testing.T) {
	d := newDaemon(t)
	d.start()
	defer d.stop()
	d.keeping()
	for _, looks := range []bool{true, false} {
		d.looks.Store(looks)
		dumped, err := d.domains.GetDomainXML(t.Context(), &davitv1.GetDomainXMLRequest{Domain: byName("web"), Inactive: true})
		if err != nil || strings.Contains(dumped.GetXml(), "passwd='"+secret2) || strings.Contains(dumped.GetXml(), secret2) == looks {
			t.Fatalf("dumped: %v, %v", dumped, err)
		}
		d.looks.Store(false)
		source := &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: dumped.GetXml()}}
		before, err := d.domains.GetDomain(t.Context(), &davitv1.GetDomainRequest{Domain: byName("web")})
		if err != nil {
			t.Fatal(err)
		}
		defined, err := d.domains.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: source})
		if err != nil || defined.GetDomain().GetEtag() != before.GetDomain().GetEtag() {
			t.Errorf("defined again: %v, %v, the etag was %s", defined, err, before.GetDomain().GetEtag())
		}
		other := strings.ReplaceAll(strings.ReplaceAll(dumped.GetXml(), uuidWeb, "22222222-2222-4222-8222-222222222222"), "<name>web", "<name>shop")
		other = strings.ReplaceAll(other, secret2, domain.Withheld)
		source = &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: other}}
		_, err = d.domains.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: source})
		if !errors.Is(domain.FromStatus(err), domain.ErrInvalid) || !strings.Contains(domain.FromStatus(err).Error(), "os.initenv[0].value") {
			t.Errorf("defined as another domain: %v", err)
		}
		_, err = d.domains.CreateDomain(t.Context(), &davitv1.CreateDomainRequest{Source: source})
		if !errors.Is(domain.FromStatus(err), domain.ErrInvalid) {
			t.Errorf("created as another domain: %v", err)
		}
	}
}
