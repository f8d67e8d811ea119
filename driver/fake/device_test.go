package fake_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/fake"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// nics is a definition with interfaces of the given names of host ends, empty where the driver is to choose.
func nics(uuid string, ends ...string) driver.Spec {
	def := &davitv1.Domain{
		Name: uuid, Uuid: uuid, Id: 1, Os: &davitv1.Os{Init: "/sbin/init"}, Devices: &davitv1.Devices{Console: []*davitv1.Console{{}}},
	}
	for _, end := range ends {
		def.Devices.Interface = append(def.Devices.Interface, &davitv1.Interface{
			Type: davitv1.InterfaceType_INTERFACE_TYPE_ETHERNET, TargetDev: end,
		})
	}
	domain.NameDevices(def)
	return driver.Spec{Ref: driver.Ref{UUID: uuid, Generation: uuid}, Definition: def}
}

// names are those that an instance completes a definition with.
func names(t *testing.T, i driver.Instance, def *davitv1.Domain) []string {
	t.Helper()
	completer, ok := i.(driver.Completer)
	if !ok {
		t.Fatal("it completes nothing")
	}
	def = proto.CloneOf(def)
	completer.Complete(def)
	var list []string
	for _, n := range def.GetDevices().GetInterface() {
		list = append(list, n.GetTargetDev())
	}
	return list
}

func TestNames(t *testing.T) {
	d := fake.New(fake.Options{})
	one, two := nics("one", "", "mine", ""), nics("two", "")
	first, err := d.Start(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	second, err := d.Start(t.Context(), two)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		i    driver.Instance
		def  *davitv1.Domain
		want string
	}{{first, one.Definition, "vnet0 mine vnet1"}, {second, two.Definition, "vnet2"}} {
		if got := join(names(t, c.i, c.def)); got != c.want {
			t.Errorf("names are %q, want %q", got, c.want)
		}
	}
	less := proto.CloneOf(one.Definition)
	less.Devices.Interface = less.Devices.Interface[1:]
	if err := first.Update(t.Context(), less); err != nil {
		t.Fatal(err)
	}
	if got := join(names(t, first, less)); got != "mine vnet1" {
		t.Errorf("with one less, names are %q", got)
	}
	if err := first.Update(t.Context(), one.Definition); err != nil {
		t.Fatal(err)
	}
	if got := join(names(t, first, one.Definition)); got != "vnet0 mine vnet1" {
		t.Errorf("with one more, names are %q", got)
	}
}

func join(list []string) string { return strings.Join(list, " ") }

// A failure that was asked for comes once, and a device that is in use stays as long as it is.
func TestUpdateFailures(t *testing.T) {
	d := fake.New(fake.Options{})
	spec := nics("one", "", "")
	i, err := d.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	less := proto.CloneOf(spec.Definition)
	less.Devices.Interface = less.Devices.Interface[:1]
	broken := errors.New("broken")
	d.FailNextUpdate(broken)
	if err = i.Update(t.Context(), less); !errors.Is(err, broken) {
		t.Errorf("the failure that was asked for: %v", err)
	}
	if err = d.Occupy("one", "net1", true); err != nil {
		t.Fatal(err)
	}
	err = i.Update(t.Context(), less)
	if refusal, ok := errors.AsType[*domain.Error](err); !ok || refusal.Reason != davitv1.ErrorReason_ERROR_REASON_DEVICE_BUSY {
		t.Errorf("in use: %v", err)
	}
	if def, err := d.Definition("one"); err != nil || len(def.GetDevices().GetInterface()) != 2 {
		t.Errorf("it has %v, %v", def.GetDevices(), err)
	}
	if err := d.Occupy("one", "net1", false); err != nil {
		t.Fatal(err)
	}
	if err := i.Update(t.Context(), less); err != nil {
		t.Errorf("let go: %v", err)
	}
	if err := d.Occupy("two", "net1", true); err == nil {
		t.Error("a device of nobody is used")
	}
}
