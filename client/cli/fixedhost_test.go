package cli_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// hostStub is a host of two cells, one with a processor that is not online.
type hostStub struct {
	davitv1.UnimplementedHostServiceServer
	davitv1.UnimplementedEventServiceServer
	measured time.Duration
}

// fixedHost runs a daemon that only knows a host, and gives its socket.
func fixedHost(t *testing.T) string {
	t.Helper()
	server := grpc.NewServer()
	davitv1.RegisterHostServiceServer(server, &hostStub{})
	davitv1.RegisterEventServiceServer(server, &hostStub{})
	socket := filepath.Join(t.TempDir(), "davit.sock")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return socket
}

func (*hostStub) GetVersion(context.Context, *davitv1.GetVersionRequest) (*davitv1.GetVersionResponse, error) {
	return &davitv1.GetVersionResponse{Version: "0.1.0", Driver: "lxc", Kernel: "6.1.0"}, nil
}

func (*hostStub) GetHost(context.Context, *davitv1.GetHostRequest) (*davitv1.GetHostResponse, error) {
	return &davitv1.GetHostResponse{
		Hostname: "tower", Arch: "x86_64", Cpus: 3, MemoryBytes: 4 << 30, Cgroup: "v2", Controllers: []string{"cpu", "memory"},
		CpuModel: "Example 3000", CpuMhz: 2596, CpuSockets: 1, CpuCores: 2, CpuThreads: 1, Cells: 2,
		CpusPresent: 4, CpusOnline: "0-1,3",
	}, nil
}

func (*hostStub) GetCapabilities(context.Context, *davitv1.GetCapabilitiesRequest) (*davitv1.GetCapabilitiesResponse, error) {
	return &davitv1.GetCapabilitiesResponse{Xml: "<capabilities>\n  <host/>\n</capabilities>\n"}, nil
}

func (*hostStub) GetSysinfo(context.Context, *davitv1.GetSysinfoRequest) (*davitv1.GetSysinfoResponse, error) {
	return &davitv1.GetSysinfoResponse{Xml: "<sysinfo type='smbios'/>\n"}, nil
}

// GetHostStats tells that three quarters of the time since the last answer were idle.
func (s *hostStub) GetHostStats(context.Context, *davitv1.GetHostStatsRequest) (*davitv1.GetHostStatsResponse, error) {
	s.measured += 4 * time.Second
	pools := func(count uint64) []*davitv1.PagePool {
		return []*davitv1.PagePool{
			{PageKib: 4, Count: 500000, Free: 100000 + count}, {PageKib: 2048, Count: count, Free: count / 2},
		}
	}
	pages, millis, across := uint32(100), uint32(20), true
	spent := func(cpu uint32, all time.Duration) *davitv1.CpuTime {
		return &davitv1.CpuTime{
			Cpu: cpu, User: durationpb.New(all / 8), System: durationpb.New(all / 8), Idle: durationpb.New(all / 4 * 3),
			Iowait: durationpb.New(0),
		}
	}
	return &davitv1.GetHostStatsResponse{
		Total: spent(0, s.measured), Cpus: []*davitv1.CpuTime{spent(0, s.measured/2), spent(1, s.measured/4), spent(3, s.measured/4)},
		Memory: &davitv1.HostMemory{TotalKib: 4194304, FreeKib: 1048576, BuffersKib: 2048, CachedKib: 524288},
		Cells: []*davitv1.HostCell{
			{Id: 0, Memory: &davitv1.HostMemory{TotalKib: 2097152, FreeKib: 700000}, Pages: pools(8)},
			{Id: 1, Memory: &davitv1.HostMemory{TotalKib: 2097152, FreeKib: 348576}, Pages: pools(0)},
		},
		Merging: &davitv1.MemoryMerging{
			PagesToScan: &pages, SleepMillisecs: &millis, MergeAcrossNodes: &across, PagesShared: 7, PagesSharing: 21, FullScans: 3,
		},
	}, nil
}

// UpdateHost has no more than eight huge pages.
func (*hostStub) UpdateHost(_ context.Context, q *davitv1.UpdateHostRequest) (*davitv1.UpdateHostResponse, error) {
	allocated := uint64(0)
	for _, p := range q.GetPages() {
		if p.GetCount() > 8 {
			return nil, domain.ToStatus(&domain.Error{
				Code: codes.ResourceExhausted, Reason: davitv1.ErrorReason_ERROR_REASON_RESOURCES_EXHAUSTED,
				Op: "allocate pages", Message: "no memory is left for more pages",
			}).Err()
		}
		allocated += p.GetCount()
	}
	return &davitv1.UpdateHostResponse{Allocated: allocated}, nil
}

func (*hostStub) DiagnoseHost(context.Context, *davitv1.DiagnoseHostRequest) (*davitv1.DiagnoseHostResponse, error) {
	return &davitv1.DiagnoseHostResponse{Findings: []*davitv1.Finding{
		{Subject: "cgroups", Health: davitv1.Health_HEALTH_GOOD, Seen: "v2"},
		{
			Subject: "id ranges", Health: davitv1.Health_HEALTH_LIMITED, Seen: "12 of 15000 are free",
			Disables: "more than 12 domains with an id range of their own", Remedy: "raise idmap.count",
		},
		{
			Subject: "user namespaces", Health: davitv1.Health_HEALTH_BROKEN, Seen: "max_user_namespaces is 0\x1b[2J",
			Disables: "every domain", Remedy: "sysctl user.max_user_namespaces=15000", Fields: []string{"idmap"},
		},
	}}, nil
}
