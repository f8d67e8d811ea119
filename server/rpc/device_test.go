package rpc_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Devices come and go over the wire, with what a caller needs to know of what was done or why it was not.
func TestDevices(t *testing.T) {
	d := newDaemon(t)
	d.start()
	defer d.stop()
	d.reset(true)
	devices := davitv1.NewDeviceServiceClient(d.conn)
	attach := &davitv1.AttachDeviceRequest{Domain: byName("web"), Source: nic("<model type='e1000'/><colour/>"), Affect: davitv1.Affect_AFFECT_LIVE_AND_CONFIG}
	r, err := devices.AttachDevice(t.Context(), attach)
	if err != nil {
		t.Fatal(err)
	}
	n := r.GetDevice().GetInterface()
	if n.GetAlias() != "net0" || n.GetTargetDev() != "vnet0" || n.GetMac() == "" || r.GetPosition() == nil || r.GetDomain().GetName() != "web" {
		t.Errorf("attached: %v", r)
	}
	var places []string
	for _, w := range r.GetWarnings() {
		places = append(places, w.GetXmlPath())
	}
	if !slices.Contains(places, "/interface/colour") || !slices.Contains(places, "/interface/model") {
		t.Errorf("warnings are about %v", places)
	}
	nics, err := devices.ListInterfaces(t.Context(), &davitv1.ListInterfacesRequest{Domain: byName("web")})
	if err != nil || len(nics.GetInterfaces()) != 1 || nics.GetInterfaces()[0].GetMac() != n.GetMac() || nics.GetInterfaces()[0].GetCounters() == nil {
		t.Errorf("listed: %v, %v", nics, err)
	}
	disks, err := devices.ListBlockDevices(t.Context(), &davitv1.ListBlockDevicesRequest{Domain: byName("web")})
	if err != nil || len(disks.GetBlockDevices()) != 0 {
		t.Errorf("disks: %v, %v", disks, err)
	}
	if err = d.host.Occupy(uuidWeb, "net0", true); err != nil {
		t.Fatal(err)
	}
	detach := &davitv1.DetachDeviceRequest{Domain: byName("web"), Affect: davitv1.Affect_AFFECT_LIVE_AND_CONFIG, Device: &davitv1.DeviceSelector{
		By: &davitv1.DeviceSelector_Alias{Alias: "net0"},
	}}
	_, err = devices.DetachDevice(t.Context(), detach)
	refusal, ok := errors.AsType[*domain.Error](domain.FromStatus(err))
	if !ok || status.Code(err) != codes.FailedPrecondition || refusal.Reason != davitv1.ErrorReason_ERROR_REASON_DEVICE_BUSY ||
		!strings.Contains(refusal.Detail["device"], "net0") {
		t.Errorf("detached in use: %v", err)
	}
	if err = d.host.Occupy(uuidWeb, "net0", false); err != nil {
		t.Fatal(err)
	}
	gone, err := devices.DetachDevice(t.Context(), detach)
	if err != nil || gone.GetDevice().GetInterface().GetMac() != n.GetMac() {
		t.Errorf("detached: %v, %v", gone, err)
	}
	_, err = devices.DetachDevice(t.Context(), detach)
	if refusal, ok = errors.AsType[*domain.Error](domain.FromStatus(err)); !ok || refusal.Reason != davitv1.ErrorReason_ERROR_REASON_DEVICE_NOT_FOUND {
		t.Errorf("detached again: %v", err)
	}
	attach.Strict = true
	_, err = devices.AttachDevice(t.Context(), attach)
	if refusal, ok = errors.AsType[*domain.Error](domain.FromStatus(err)); !ok || len(refusal.Violations) == 0 || refusal.Violations[0].Line != 1 ||
		refusal.Violations[0].XMLPath != "/interface/colour" {
		t.Errorf("attached strictly: %v", err)
	}
}
