package engine

import (
	"context"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// ListInterfaces tells the network interfaces of a domain, of an active one as they are.
func (e *Engine) ListInterfaces(ctx context.Context, q *davitv1.ListInterfacesRequest) (*davitv1.ListInterfacesResponse, error) {
	reporter, def, err := e.reporter(ctx, q.GetDomain(), q.GetInactive(), "list interfaces of")
	if err != nil {
		return nil, err
	}
	if reporter == nil {
		return &davitv1.ListInterfacesResponse{Interfaces: domain.InterfaceStatuses(def)}, nil
	}
	list, err := reporter.Interfaces(ctx)
	if err != nil {
		return nil, err
	}
	return &davitv1.ListInterfacesResponse{Interfaces: list}, nil
}

// ListBlockDevices tells the disks of a domain, of an active one with what went through them.
func (e *Engine) ListBlockDevices(ctx context.Context, q *davitv1.ListBlockDevicesRequest) (*davitv1.ListBlockDevicesResponse, error) {
	reporter, def, err := e.reporter(ctx, q.GetDomain(), q.GetInactive(), "list block devices of")
	if err != nil {
		return nil, err
	}
	if reporter == nil {
		return &davitv1.ListBlockDevicesResponse{BlockDevices: domain.BlockDeviceStatuses(def)}, nil
	}
	list, err := reporter.BlockDevices(ctx)
	if err != nil {
		return nil, err
	}
	return &davitv1.ListBlockDevicesResponse{BlockDevices: list}, nil
}

// reporter is whom to ask about the devices of an active domain; of another one, and where that is asked for, the stored definition
// tells.
func (e *Engine) reporter(ctx context.Context, ref *davitv1.DomainRef, inactive bool, verb string) (driver.DeviceReporter, *davitv1.Domain, error) {
	n, s, err := e.table.find(ref)
	if err == nil && !inactive {
		s, err = n.adopted(ctx, verb)
	}
	if err != nil {
		return nil, nil, err
	}
	if inactive || !s.active() {
		def, fault := s.inactive().open()
		if fault != nil {
			return nil, nil, fault
		}
		return nil, asleep(def), nil
	}
	instance, err := s.instance(verb)
	if err != nil {
		return nil, nil, err
	}
	reporter, ok := instance.(driver.DeviceReporter)
	if !ok {
		return nil, nil, unsupported("tell what devices do")
	}
	return reporter, nil, nil
}
