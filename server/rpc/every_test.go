package rpc_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Every method of the schema is served and does what it is there for.
func TestEveryMethod(t *testing.T) {
	d := newDaemon(t)
	d.start()
	defer d.stop()
	byMethod := map[string]protoreflect.MethodDescriptor{}
	for _, m := range methods(t) {
		byMethod[string(m.Name())] = m
	}
	requests := good()
	requests["DefineDomain"] = &davitv1.DefineDomainRequest{Source: source("web", uuidWeb, "trap 'exit 0' TERM; trap 'reboot' HUP; sleep infinity")}
	requests["RemoveLog"] = &davitv1.RemoveLogRequest{Domain: "shop"}                   // which it had last
	requests["UndefineDomain"] = &davitv1.UndefineDomainRequest{Domain: byName("shop")} // its name then
	for name := range strings.FieldsSeq(`
		DefineDomain StartDomain GetDomain ListDomains DiffDomain GetDomainXML UpdateDomain GetDomainStats ListProcesses SuspendDomain
		ResumeDomain AttachDevice UpdateDevice ListInterfaces ListBlockDevices DetachDevice ResetDomain GetDomainJob ListFilesystems ListDomainStats OpenConsole Exec WatchEvents GetEventPosition ReadLog
		ListLogs RebootDomain SignalProcess WaitDomain
		StartDomain ShutdownDomain WaitDomain StartDomain DestroyDomain RenameDomain UndefineDomain RemoveLog CreateDomain
		GetVersion GetHost GetCapabilities GetSysinfo GetHostStats UpdateHost DiagnoseHost ConvertDefinition`) {
		if name == "SignalProcess" {
			d.rebooted()
		}
		m := byMethod[name]
		patience := time.Minute
		if m.IsStreamingServer() && name != "Exec" {
			patience = brief
		}
		err := d.send(t.Context(), patience, m, proto.Clone(requests[name]))
		for end := time.Now().Add(time.Minute); patience == brief && !slices.Contains(d.methods(), fullName(m)) && time.Now().Before(end); {
			err = d.send(t.Context(), patience, m, proto.Clone(requests[name])) // a busy daemon did not see it in time
		}
		endless := m.IsStreamingServer() && status.Code(err) == codes.DeadlineExceeded
		if err != nil && !endless {
			t.Errorf("%s: %v", name, err)
		}
	}
	var all []string
	for _, m := range methods(t) {
		if m.Parent().Name() != "AdminService" && m.Parent().Name() != "AuditService" { // on another socket, and tested there
			all = append(all, fullName(m))
		}
	}
	for _, m := range all {
		if !slices.Contains(d.methods(), m) {
			t.Errorf("%s was not called", m)
		}
	}
}

// rebooted waits until web was started again.
func (d *daemon) rebooted() {
	d.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		r, err := d.domains.GetDomain(d.t.Context(), &davitv1.GetDomainRequest{Domain: byName("web")})
		if err != nil {
			d.t.Fatal(err)
		}
		if r.GetDomain().GetReboots() > 0 && r.GetDomain().GetInitPid() != 0 {
			return
		}
	}
	d.t.Fatal("web does not reboot")
}

// The host is told as it is.
func TestHost(t *testing.T) {
	d := newDaemon(t)
	d.start()
	defer d.stop()
	version, err := d.hosts.GetVersion(t.Context(), &davitv1.GetVersionRequest{})
	if err != nil || version.GetVersion() != "1.2.3" || version.GetDriver() != "fake" || version.GetKernel() == "" || version.GetApi() != "davit.v1" {
		t.Errorf("version: %v, %v", version, err)
	}
	host, err := d.hosts.GetHost(t.Context(), &davitv1.GetHostRequest{})
	if err != nil || host.GetHostname() == "" || host.GetCpus() == 0 || host.GetMemoryBytes() < 1<<20 || host.GetArch() == "" {
		t.Errorf("host: %v, %v", host, err)
	}
	converted, err := d.hosts.ConvertDefinition(t.Context(), &davitv1.ConvertDefinitionRequest{Source: source("web", uuidWeb, "true")})
	if err != nil {
		t.Fatal(err)
	}
	back, err := d.hosts.ConvertDefinition(t.Context(), &davitv1.ConvertDefinitionRequest{
		Source: &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: converted.GetXml()}},
	})
	if err != nil || !proto.Equal(back.GetDefinition(), converted.GetDefinition()) || back.GetYaml() != converted.GetYaml() ||
		back.GetJson() != converted.GetJson() || back.GetJson() == "" {
		t.Errorf("converted back: %v, %v", back, err)
	}
}
