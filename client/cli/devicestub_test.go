package cli_test

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// deviceStub is a daemon with domain web, which runs, and domain db, which does not; transient gone has no stored definition.
// It keeps what it was asked to change and changes nothing.
type deviceStub struct {
	davitv1.UnimplementedDomainServiceServer
	davitv1.UnimplementedDeviceServiceServer
	davitv1.UnimplementedEventServiceServer

	mu    sync.Mutex
	asked []proto.Message
	fail  *domain.Error // what a change ends with
}

const (
	webUUID  = "6b3e9c1c-5f0e-4c0e-9a53-0b0b54a0a001"
	dbUUID   = "6b3e9c1c-5f0e-4c0e-9a53-0b0b54a0a002"
	goneUUID = "6b3e9c1c-5f0e-4c0e-9a53-0b0b54a0a003"
)

// fixedDevices runs the stub and gives its socket.
func fixedDevices(t *testing.T) (string, *deviceStub) {
	t.Helper()
	s := &deviceStub{}
	server := grpc.NewServer()
	davitv1.RegisterDomainServiceServer(server, s)
	davitv1.RegisterDeviceServiceServer(server, s)
	davitv1.RegisterEventServiceServer(server, s)
	socket := filepath.Join(t.TempDir(), "davit.sock")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return socket, s
}

// changes are what was asked for since the last time.
func (s *deviceStub) changes() []proto.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.asked
	s.asked = nil
	return all
}

func (s *deviceStub) ask(r proto.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r)
	if s.fail != nil {
		return domain.ToStatus(s.fail).Err()
	}
	return nil
}

func (s *deviceStub) infos() []*davitv1.DomainInfo {
	return []*davitv1.DomainInfo{
		{Name: "web", Uuid: webUUID, Id: 1, State: davitv1.DomainState_DOMAIN_STATE_RUNNING, Persistent: true, Etag: "e1"},
		{Name: "db", Uuid: dbUUID, State: davitv1.DomainState_DOMAIN_STATE_SHUTOFF, Persistent: true, Etag: "e2"},
		{Name: "gone", Uuid: goneUUID, Id: 2, State: davitv1.DomainState_DOMAIN_STATE_RUNNING},
	}
}

func (s *deviceStub) find(ref *davitv1.DomainRef) (*davitv1.DomainInfo, error) {
	for _, d := range s.infos() {
		if ref.GetName() == d.GetName() || ref.GetUuid() == d.GetUuid() {
			return d, nil
		}
	}
	return nil, domain.ToStatus(&domain.Error{Code: codes.NotFound, Reason: davitv1.ErrorReason_ERROR_REASON_DOMAIN_NOT_FOUND}).Err()
}

func (s *deviceStub) GetDomain(_ context.Context, r *davitv1.GetDomainRequest) (*davitv1.GetDomainResponse, error) {
	info, err := s.find(r.GetDomain())
	if err == nil && r.GetView() == davitv1.DomainView_DOMAIN_VIEW_FULL {
		info.Definition = definitionOf(info.GetId() != 0 && !r.GetInactive())
	}
	return &davitv1.GetDomainResponse{Domain: info}, err
}

func (s *deviceStub) ListDomains(context.Context, *davitv1.ListDomainsRequest) (*davitv1.ListDomainsResponse, error) {
	return &davitv1.ListDomainsResponse{Domains: s.infos()}, nil
}

// definitionOf is what every domain of the stub has: two disks, two interfaces on a bridge and one on an interface of the
// host, a folder and memory.
func definitionOf(live bool) *davitv1.Domain {
	d := &davitv1.Devices{
		Disk: []*davitv1.Disk{
			{Type: davitv1.DiskType_DISK_TYPE_FILE, SourceFile: "/srv/a.img", TargetDev: "vda", TargetBus: davitv1.DiskBus_DISK_BUS_VIRTIO},
			{Type: davitv1.DiskType_DISK_TYPE_BLOCK, SourceDev: "/dev/mapper/b", TargetDev: "vdb", TargetBus: davitv1.DiskBus_DISK_BUS_VIRTIO, Readonly: true},
		},
		Interface: []*davitv1.Interface{
			{Type: davitv1.InterfaceType_INTERFACE_TYPE_BRIDGE, Mac: "00:16:3e:00:00:01", SourceBridge: "br0", GuestDev: "eth0"},
			{
				Type: davitv1.InterfaceType_INTERFACE_TYPE_BRIDGE, Mac: "00:16:3e:00:00:02", SourceBridge: "br1",
				Bandwidth: &davitv1.Bandwidth{Inbound: &davitv1.BandwidthLimit{Average: 1000, Peak: 2000, Burst: 64}},
			},
			{Type: davitv1.InterfaceType_INTERFACE_TYPE_DIRECT, Mac: "00:16:3e:00:00:03", SourceDev: "enp1s0", LinkState: davitv1.LinkState_LINK_STATE_DOWN},
		},
		Filesystem: []*davitv1.Filesystem{
			{Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: "/srv/www", TargetDir: "/var/www"},
			{Type: davitv1.FilesystemType_FILESYSTEM_TYPE_RAM, SourceUsageKib: 1024, TargetDir: "/tmp"},
		},
	}
	if live {
		d.Disk[0].Alias, d.Disk[1].Alias = "virtio-disk0", "virtio-disk1"
		d.Interface[0].Alias, d.Interface[1].Alias, d.Interface[2].Alias = "net0", "net1", "net2"
		d.Interface[0].TargetDev, d.Interface[1].TargetDev = "vnet0", "vnet1"
		d.Filesystem[0].Alias, d.Filesystem[1].Alias = "fs0", "fs1"
	}
	return &davitv1.Domain{Devices: d}
}

func (s *deviceStub) AttachDevice(_ context.Context, r *davitv1.AttachDeviceRequest) (*davitv1.AttachDeviceResponse, error) {
	err := s.ask(r)
	return &davitv1.AttachDeviceResponse{
		Device:   &davitv1.Device{Kind: &davitv1.Device_Disk{Disk: definitionOf(true).GetDevices().GetDisk()[0]}},
		Warnings: []*davitv1.Warning{{XmlPath: "/disk/driver/@io", Message: "the host's kernel handles requests"}},
	}, err
}

func (s *deviceStub) DetachDevice(_ context.Context, r *davitv1.DetachDeviceRequest) (*davitv1.DetachDeviceResponse, error) {
	return &davitv1.DetachDeviceResponse{}, s.ask(r)
}

func (s *deviceStub) UpdateDevice(_ context.Context, r *davitv1.UpdateDeviceRequest) (*davitv1.UpdateDeviceResponse, error) {
	return &davitv1.UpdateDeviceResponse{Device: r.GetSource().GetDevice()}, s.ask(r)
}

// ListInterfaces tells of an active domain what its guest made beside the definition, too, under a name that is not fit to
// be shown.
func (s *deviceStub) ListInterfaces(_ context.Context, r *davitv1.ListInterfacesRequest) (*davitv1.ListInterfacesResponse, error) {
	info, err := s.find(r.GetDomain())
	if err != nil {
		return nil, err
	}
	bridge, direct := davitv1.InterfaceType_INTERFACE_TYPE_BRIDGE, davitv1.InterfaceType_INTERFACE_TYPE_DIRECT
	all := []*davitv1.InterfaceStatus{
		{Type: bridge, Source: "br0", Mac: "00:16:3e:00:00:01", GuestDev: "eth0", Addresses: []string{"192.0.2.1/24"}},
		{Type: bridge, Source: "br1", Mac: "00:16:3e:00:00:02"},
		{Type: direct, Source: "enp1s0", Mac: "00:16:3e:00:00:03"},
	}
	if info.GetId() == 0 || r.GetInactive() {
		return &davitv1.ListInterfacesResponse{Interfaces: all}, nil
	}
	for n, names := range [][3]string{{"net0", "vnet0", "eth0"}, {"net1", "vnet1", "eth1"}, {"net2", "", "eth2"}} {
		all[n].Alias, all[n].HostDev, all[n].GuestDev, all[n].Mtu = names[0], names[1], names[2], 1500
		all[n].Up = n < 2
	}
	all[0].Addresses = []string{"192.0.2.1/24", "2001:db8::1/64"}
	all[0].Counters = &davitv1.InterfaceCounters{
		ReceivedBytes: 1000, ReceivedPackets: 10, ReceiveErrors: 1, ReceiveDrops: 2,
		SentBytes: 2000, SentPackets: 20, SendErrors: 3, SendDrops: 4,
	}
	all = append(all,
		&davitv1.InterfaceStatus{GuestDev: "lo", Mac: "00:00:00:00:00:00", Mtu: 65536, Up: true, Addresses: []string{"127.0.0.1/8"}},
		&davitv1.InterfaceStatus{GuestDev: "evil\x1b[2J", Mac: "00:16:3e:00:00:09", Mtu: 1500})
	return &davitv1.ListInterfacesResponse{Interfaces: all}, nil
}

func (s *deviceStub) ListBlockDevices(_ context.Context, r *davitv1.ListBlockDevicesRequest) (*davitv1.ListBlockDevicesResponse, error) {
	info, err := s.find(r.GetDomain())
	if err != nil {
		return nil, err
	}
	all := []*davitv1.BlockDeviceStatus{
		{
			Target: "vda", Type: davitv1.DiskType_DISK_TYPE_FILE, Source: "/srv/a.img",
			CapacityBytes: 10 << 30, AllocationBytes: 3 << 29, PhysicalBytes: 10 << 30,
		},
		{Target: "vdb", Type: davitv1.DiskType_DISK_TYPE_BLOCK, Source: "/dev/mapper/b", Readonly: true},
	}
	if info.GetId() != 0 && !r.GetInactive() {
		all[0].Alias, all[1].Alias = "virtio-disk0", "virtio-disk1"
		all[0].Counters = &davitv1.BlockCounters{ReadRequests: 5, ReadBytes: 4096, WriteRequests: 7, WrittenBytes: 8192}
		all[1].Counters = &davitv1.BlockCounters{ReadRequests: 1, ReadBytes: 512}
	}
	return &davitv1.ListBlockDevicesResponse{BlockDevices: all}, nil
}

// ListDomainStats measures web.
func (s *deviceStub) ListDomainStats(ctx context.Context, _ *davitv1.ListDomainStatsRequest) (*davitv1.ListDomainStatsResponse, error) {
	of := &davitv1.DomainRef{Ref: &davitv1.DomainRef_Name{Name: "web"}}
	interfaces, err := s.ListInterfaces(ctx, &davitv1.ListInterfacesRequest{Domain: of})
	if err != nil {
		return nil, err
	}
	disks, err := s.ListBlockDevices(ctx, &davitv1.ListBlockDevicesRequest{Domain: of})
	return &davitv1.ListDomainStatsResponse{Measurements: []*davitv1.DomainMeasurement{{
		Domain: s.infos()[0],
		Stats:  &davitv1.DomainStats{Interfaces: interfaces.GetInterfaces()[:3], BlockDevices: disks.GetBlockDevices()},
	}}}, err
}
