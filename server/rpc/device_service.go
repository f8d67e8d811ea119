package rpc

import (
	"context"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// deviceService answers for the devices of domains.
type deviceService struct {
	davitv1.UnsafeDeviceServiceServer
	altering
}

func (s *deviceService) AttachDevice(ctx context.Context, q *davitv1.AttachDeviceRequest) (*davitv1.AttachDeviceResponse, error) {
	return alter(ctx, s.altering, q, s.engine.AttachDevice)
}

func (s *deviceService) DetachDevice(ctx context.Context, q *davitv1.DetachDeviceRequest) (*davitv1.DetachDeviceResponse, error) {
	return alter(ctx, s.altering, q, s.engine.DetachDevice)
}

func (s *deviceService) UpdateDevice(ctx context.Context, q *davitv1.UpdateDeviceRequest) (*davitv1.UpdateDeviceResponse, error) {
	return alter(ctx, s.altering, q, s.engine.UpdateDevice)
}

func (s *deviceService) ListInterfaces(ctx context.Context, q *davitv1.ListInterfacesRequest) (*davitv1.ListInterfacesResponse, error) {
	return s.engine.ListInterfaces(ctx, q)
}

func (s *deviceService) ListBlockDevices(ctx context.Context, q *davitv1.ListBlockDevicesRequest) (*davitv1.ListBlockDevicesResponse, error) {
	return s.engine.ListBlockDevices(ctx, q)
}
