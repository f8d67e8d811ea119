package wire_test

import (
	"bufio"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	"github.com/davitd/davit/proto/plain"
)

var update = flag.Bool("update", false, "record the frames of this release anew")

// recorded are conversations of protocol 1, frame by frame. Monitors outlive the davitd that started them, so a davitd
// of tomorrow must understand these bytes, and a monitor of today what that davitd sends.
func recorded() []plain.Message {
	exit := func(code uint32) *monitorv1.Exit {
		return &monitorv1.Exit{How: &monitorv1.Exit_Code{Code: code}, TimeUnixNs: 1795515947698624000}
	}
	request := func(r *monitorv1.MonitorRequest) plain.Message { return r }
	const uuid, generation = "5f9c6d2e-9d6c-4a6b-8f1e-0c1d2e3f4a5b", "0b2d8f3c-7f0e-4a52-9a9c-1f0d5c3b2a10"
	return []plain.Message{
		&monitorv1.Hello{Protocol: 1, Version: "v0.1.0", Pid: 100},
		&monitorv1.Hello{Protocol: 1, Version: "v0.1.0", Uuid: uuid, Generation: generation, Pid: 200},
		request(&monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Start{Start: &monitorv1.Start{Plan: &monitorv1.Plan{
			Uuid: uuid, Name: "web", Namespaces: &monitorv1.Namespaces{User: true, Net: true},
			UidMap: []*monitorv1.IdMapping{{Outside: 1000000, Count: 65536}},
			Operations: []*monitorv1.Operation{
				{Step: &monitorv1.Operation_RootOverlay{RootOverlay: &monitorv1.RootOverlay{Lower: []string{"/"}}}},
				{Step: &monitorv1.Operation_Mask{Mask: &monitorv1.Mask{Path: "/proc/kcore"}}},
			},
			Init:     &monitorv1.Process{Argv: []string{"/sbin/init"}, Env: []string{"container=lxc-libvirt"}, Console: 1},
			Consoles: []*monitorv1.Console{{Alias: "console0", ScrollbackBytes: 65536}},
			Policy: &monitorv1.Policy{
				OnPoweroff: monitorv1.Action_ACTION_DESTROY, OnReboot: monitorv1.Action_ACTION_RESTART,
			},
		}}}}),
		&monitorv1.MonitorResponse{Response: &monitorv1.MonitorResponse_Started{Started: &monitorv1.Started{
			Pid: 300, DurationNs: 1500000,
		}}},
		request(&monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_GetState{GetState: &monitorv1.GetState{}}}),
		&monitorv1.MonitorResponse{Response: &monitorv1.MonitorResponse_State{State: &monitorv1.State{
			Phase: monitorv1.Phase_PHASE_WAITING, Exit: exit(3), Restarts: 2, Sequence: 6, Acknowledged: 4,
		}}},
		request(&monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Signal{Signal: &monitorv1.Signal{Signal: 15}}}),
		&monitorv1.MonitorResponse{Response: &monitorv1.MonitorResponse_Done{Done: &monitorv1.Done{}}},
		request(&monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Initctl{Initctl: &monitorv1.Initctl{Runlevel: 6}}}),
		&monitorv1.MonitorResponse{Error: &monitorv1.Error{
			Operation: "write to initctl", Object: "/run/initctl", Errno: 11, Message: "m", Step: 1,
			Kind: monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND,
		}},
		request(&monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Disarm{Disarm: &monitorv1.Disarm{}}}),
		request(&monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Quit{Quit: &monitorv1.Quit{Kill: true}}}),
		request(&monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Watch{Watch: &monitorv1.Watch{After: 2}}}),
		&monitorv1.MonitorEvent{Sequence: 1, TimeUnixNs: 1, Kind: &monitorv1.MonitorEvent_Started{
			Started: &monitorv1.Started{Pid: 300, DurationNs: 1500000},
		}},
		&monitorv1.MonitorEvent{Sequence: 2, TimeUnixNs: 2, Kind: &monitorv1.MonitorEvent_Exited{
			Exited: &monitorv1.InitExited{
				Exit: exit(0), Cause: monitorv1.Cause_CAUSE_REBOOT, Action: monitorv1.Action_ACTION_RESTART, BackoffNs: 1e8,
			},
		}},
		&monitorv1.MonitorEvent{Sequence: 3, TimeUnixNs: 3, Kind: &monitorv1.MonitorEvent_Restarted{
			Restarted: &monitorv1.Restarted{Pid: 301, Count: 1, BackoffNs: 1e8, Cause: monitorv1.Cause_CAUSE_REBOOT},
		}},
		&monitorv1.MonitorEvent{Sequence: 4, TimeUnixNs: 4, Kind: &monitorv1.MonitorEvent_RestartFailed{
			RestartFailed: &monitorv1.RestartFailed{Error: &monitorv1.Error{Operation: "mount proc", Errno: 1}},
		}},
		&monitorv1.Ack{Sequence: 4},
		request(&monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_OpenConsole{OpenConsole: &monitorv1.OpenConsole{
			Alias: "console0", Force: true, ReadOnly: true, Start: monitorv1.ConsoleStart_CONSOLE_START_OFFSET, Offset: 9,
			Follow: true,
		}}}),
		request(&monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Exec{Exec: &monitorv1.Exec{
			Id: "x", Process: &monitorv1.Process{Argv: []string{"ls"}, User: "+5", Cwd: "/tmp"}, Tty: true, Rows: 24,
			Columns: 80, Detach: true, Stdin: true,
		}}}),
		&monitorv1.StreamOutput{Output: &monitorv1.StreamOutput_Opened{Opened: &monitorv1.StreamOpened{
			Pid: 400, Offset: 9, Name: "x",
		}}},
		&monitorv1.StreamInput{Input: &monitorv1.StreamInput_Data{Data: []byte("in")}},
		&monitorv1.StreamInput{Input: &monitorv1.StreamInput_Size{Size: &monitorv1.WindowSize{Rows: 33, Columns: 101}}},
		&monitorv1.StreamInput{Input: &monitorv1.StreamInput_Signal{Signal: 2}},
		&monitorv1.StreamInput{Input: &monitorv1.StreamInput_End{End: true}},
		&monitorv1.StreamOutput{Output: &monitorv1.StreamOutput_Data{Data: &monitorv1.StreamData{Offset: 9, Data: []byte("out")}}},
		&monitorv1.StreamOutput{Output: &monitorv1.StreamOutput_Stderr{Stderr: []byte("err")}},
		&monitorv1.StreamOutput{Output: &monitorv1.StreamOutput_Exit{Exit: &monitorv1.Exit{How: &monitorv1.Exit_Signal{Signal: 9}}}},
		&monitorv1.StreamOutput{Output: &monitorv1.StreamOutput_Closed{Closed: &monitorv1.StreamClosed{Taken: true}}},
		&monitorv1.StreamOutput{Output: &monitorv1.StreamOutput_Error{Error: &monitorv1.Error{
			Operation: "run command", Kind: monitorv1.ErrorKind_ERROR_KIND_NOT_EXECUTABLE,
		}}},
		&monitorv1.KeeperRequest{Request: &monitorv1.KeeperRequest_Withdraw{Withdraw: &monitorv1.Withdraw{Uuid: uuid}}},
		&monitorv1.KeeperRequest{Request: &monitorv1.KeeperRequest_Forget{Forget: &monitorv1.Forget{Uuid: uuid}}},
		&monitorv1.KeeperRequest{Request: &monitorv1.KeeperRequest_WaitOrphan{WaitOrphan: &monitorv1.WaitOrphan{
			Uuid: uuid, Pid: 300,
		}}},
		&monitorv1.KeeperResponse{Response: &monitorv1.KeeperResponse_Exit{Exit: &monitorv1.Exit{
			How: &monitorv1.Exit_Unknown{Unknown: true},
		}}},
		&monitorv1.KeeperRequest{Request: &monitorv1.KeeperRequest_ListMonitors{ListMonitors: &monitorv1.ListMonitors{}}},
		&monitorv1.KeeperResponse{Response: &monitorv1.KeeperResponse_Monitors{Monitors: &monitorv1.MonitorList{
			Monitors: []*monitorv1.MonitorEntry{{Uuid: uuid, Generation: generation, Pid: 200}},
		}}},
		&monitorv1.KeeperRequest{Request: &monitorv1.KeeperRequest_Quit{Quit: &monitorv1.Quit{}}},
		&monitorv1.KeeperRequest{Request: &monitorv1.KeeperRequest_Spawn{Spawn: &monitorv1.Spawn{
			Uuid: uuid, Generation: generation,
		}}},
		&monitorv1.KeeperResponse{Response: &monitorv1.KeeperResponse_Spawned{Spawned: &monitorv1.Spawned{Pid: 200}}},
		&monitorv1.KeeperRequest{Request: &monitorv1.KeeperRequest_Deposit{Deposit: &monitorv1.Deposit{
			Uuid: uuid, Generation: generation, InitPid: 300,
		}}},
		request(&monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_SetPolicy{SetPolicy: &monitorv1.SetPolicy{
			Policy: &monitorv1.Policy{OnPoweroff: monitorv1.Action_ACTION_RESTART, OnCrash: monitorv1.Action_ACTION_DESTROY},
		}}}),
		request(&monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Start{Start: &monitorv1.Start{
			Plan: &monitorv1.Plan{
				Uuid: uuid, MemoryLimitBytes: 8 << 20,
				Operations: []*monitorv1.Operation{{Step: &monitorv1.Operation_ReadOnly{ReadOnly: &monitorv1.ReadOnly{
					Path: "/proc/sys", Except: []string{"/proc/sys/net/ipv4"},
				}}}},
			},
			Log: &monitorv1.LogPolicy{MaxBytes: 10 << 20, MaxFiles: 3},
		}}}),
		request(&monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Start{Start: &monitorv1.Start{
			Plan: &monitorv1.Plan{
				Uuid: uuid, Held: []string{"root", "disk"},
				Operations: []*monitorv1.Operation{
					{Step: &monitorv1.Operation_RootImage{RootImage: &monitorv1.RootImage{Held: "root", Type: "ext4", ReadOnly: true, Mapped: true}}},
					{Step: &monitorv1.Operation_Bind{Bind: &monitorv1.Bind{Source: "/srv", Target: "/srv", Mapped: true}}},
					{Step: &monitorv1.Operation_Image{Image: &monitorv1.Image{
						Held: "disk", Type: "xfs", Target: "/disk", ReadOnly: true, Mapped: true,
						Flags: []monitorv1.MountFlag{monitorv1.MountFlag_MOUNT_FLAG_NODEV},
					}}},
				},
			},
		}}}),
		request(&monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Revise{Revise: &monitorv1.Revise{
			Plan: &monitorv1.Plan{Uuid: uuid, Held: []string{"disk"}}, RemoveNodes: []string{"net/tun"}, RemoveMounts: []string{"/mnt"},
			AddNodes:  []*monitorv1.DeviceNode{{Name: "vdb", Block: true, Major: 7, Minor: 1, Mode: 0o660}},
			AddMounts: []*monitorv1.Operation{{Step: &monitorv1.Operation_Tmpfs{Tmpfs: &monitorv1.Tmpfs{Target: "/mnt", Mode: 0o755}}}},
			Hold:      []string{"disk"},
		}}}),
		request(&monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_Adopt{Adopt: &monitorv1.Adopt{
			Start: &monitorv1.Start{Plan: &monitorv1.Plan{Uuid: uuid}, Files: []string{"", "tty.log"}},
			Known: &monitorv1.Deposit{InitPid: 300, Restarts: 1, Acknowledged: 2},
		}}}),
		&monitorv1.KeeperRequest{Request: &monitorv1.KeeperRequest_Hold{Hold: &monitorv1.Hold{Uuid: uuid}}},
		&monitorv1.KeeperRequest{Request: &monitorv1.KeeperRequest_Deposit{Deposit: &monitorv1.Deposit{
			Uuid: uuid, Generation: generation, InitPid: 300, Exit: exit(3), Restarts: 1, Intent: monitorv1.Intent_INTENT_POWEROFF,
			Acknowledged: 2, Events: []*monitorv1.MonitorEvent{{Sequence: 3, TimeUnixNs: 3, Kind: &monitorv1.MonitorEvent_Restarted{
				Restarted: &monitorv1.Restarted{Pid: 301, Count: 1, Cause: monitorv1.Cause_CAUSE_CRASH},
			}}},
		}}},
		&monitorv1.KeeperRequest{Request: &monitorv1.KeeperRequest_Withdraw{Withdraw: &monitorv1.Withdraw{Uuid: uuid, Held: true}}},
		&monitorv1.KeeperResponse{Response: &monitorv1.KeeperResponse_Deposit{Deposit: &monitorv1.Deposit{InitPid: 300, Restarts: 1}}},
		&monitorv1.KeeperRequest{Request: &monitorv1.KeeperRequest_WaitOrphan{WaitOrphan: &monitorv1.WaitOrphan{
			Uuid: uuid, Pid: 300, Adopted: true,
		}}},
	}
}

// The frames of protocol 1 mean today what they meant when they were recorded, and are sent as they were.
func TestProtocol1(t *testing.T) {
	const path = "testdata/protocol1.frames"
	if *update {
		record(t, path)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for i, want := range recorded() {
		if !lines.Scan() {
			t.Fatalf("only %d frames are recorded", i)
		}
		name, frame := parseFrame(t, lines.Text())
		if got := nameOf(want); got != name {
			t.Fatalf("frame %d is a %s, want a %s", i, name, got)
		}
		got, ok := reflect.TypeAssert[plain.Message](reflect.New(reflect.TypeOf(want).Elem()))
		if !ok {
			t.Fatalf("frame %d is no message", i)
		}
		receiveFrame(t, frame, got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("frame %d means (-want +got):\n%s", i, diff)
		}
		if sent := sendFrame(t, want); string(sent) != string(frame) {
			t.Errorf("frame %d is sent as %x\nwant %x", i, sent, frame)
		}
	}
}

func nameOf(m plain.Message) string { return reflect.TypeOf(m).Elem().Name() }

// parseFrame takes a recorded line apart: the message's name and the frame in hexadecimal.
func parseFrame(t *testing.T, line string) (name string, frame []byte) {
	t.Helper()
	name, digits, _ := strings.Cut(line, " ")
	frame, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return name, frame
}

func receiveFrame(t *testing.T, frame []byte, m plain.Message) {
	t.Helper()
	fd, conn := raw(t)
	if err := sendAll(fd, frame); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Receive(m); err != nil {
		t.Fatal(err)
	}
}

// sendFrame gives the bytes that a message is sent as.
func sendFrame(t *testing.T, m plain.Message) []byte {
	t.Helper()
	fd, conn := raw(t)
	if err := conn.Send(m); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	var frame []byte
	for buffer := make([]byte, 4096); ; {
		n, err := unix.Read(fd, buffer)
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if n <= 0 {
			return frame
		}
		frame = append(frame, buffer[:n]...)
	}
}

func record(t *testing.T, path string) {
	t.Helper()
	var text strings.Builder
	for _, m := range recorded() {
		text.WriteString(nameOf(m) + " " + hex.EncodeToString(sendFrame(t, m)) + "\n")
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
