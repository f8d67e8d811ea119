package client_test

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestAttachActsOnce adds a device over a daemon that goes away under the call: both attempts carry one request id, which is
// not the caller's to see.
func TestAttachActsOnce(t *testing.T) {
	var ids []string
	s := &stub{attach: func(_ context.Context, r *davitv1.AttachDeviceRequest) (*davitv1.AttachDeviceResponse, error) {
		ids = append(ids, r.GetRequestId())
		if len(ids) < 2 {
			return nil, goingDown()
		}
		return &davitv1.AttachDeviceResponse{Device: &davitv1.Device{Kind: &davitv1.Device_Disk{Disk: &davitv1.Disk{Alias: r.GetSource().GetText()}}}}, nil
	}}
	c := s.connect(t)
	req := &davitv1.AttachDeviceRequest{Domain: client.ByName("web"), Source: client.DeviceXML("<disk/>")}
	resp, err := c.AttachDevice(t.Context(), req)
	if err != nil || resp.GetDevice().GetDisk().GetAlias() != "<disk/>" {
		t.Fatalf("AttachDevice: %v, %v", resp, err)
	}
	if len(ids) != 2 || ids[0] == "" || ids[0] != ids[1] || req.GetRequestId() != "" {
		t.Errorf("request ids of two attempts: %q, want one id; the caller's request has %q", ids, req.GetRequestId())
	}
}

// TestDetachIsRefused gets the daemon's reason for a device that stays, and sends the two ways to name one as they were given.
func TestDetachIsRefused(t *testing.T) {
	var asked []*davitv1.DeviceSelector
	s := &stub{detach: func(_ context.Context, r *davitv1.DetachDeviceRequest) (*davitv1.DetachDeviceResponse, error) {
		asked = append(asked, r.GetDevice())
		return nil, domain.ToStatus(&domain.Error{
			Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_DEVICE_BUSY, Op: "detach device", Subject: "web",
			Message: "it is in use", Detail: map[string]string{"device": "disk0"},
		}).Err()
	}}
	c := s.connect(t)
	like := &davitv1.Device{Kind: &davitv1.Device_Disk{Disk: &davitv1.Disk{TargetDev: "sda"}}}
	for _, device := range []*davitv1.DeviceSelector{client.ByAlias("disk0"), client.ByDevice(client.DeviceModel(like))} {
		_, err := c.DetachDevice(t.Context(), &davitv1.DetachDeviceRequest{Domain: client.ByName("web"), Device: device})
		var refused *domain.Error
		if !errors.As(err, &refused) || refused.Reason != davitv1.ErrorReason_ERROR_REASON_DEVICE_BUSY || refused.Detail["device"] != "disk0" {
			t.Errorf("DetachDevice: %v, want that it is busy", err)
		}
	}
	if len(asked) != 2 || asked[0].GetAlias() != "disk0" || asked[1].GetSource().GetDevice().GetDisk().GetTargetDev() != "sda" {
		t.Errorf("asked for %v", asked)
	}
}

// TestReadOnlyDevices looks at devices and sends no change of one.
func TestReadOnlyDevices(t *testing.T) {
	c := (&stub{}).connect(t, client.WithReadOnly())
	_, err := c.AttachDevice(t.Context(), &davitv1.AttachDeviceRequest{Domain: client.ByName("web")})
	if !errors.Is(err, domain.ErrPermission) {
		t.Errorf("AttachDevice: %v, want that it is refused", err)
	}
	_, err = c.ListInterfaces(t.Context(), &davitv1.ListInterfacesRequest{Domain: client.ByName("web")})
	if !errors.Is(err, domain.ErrUnsupported) {
		t.Errorf("ListInterfaces: %v, want that it reaches a daemon that has no such method", err)
	}
}
