package escape_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// method is a method of the API and the right that it needs.
type method struct {
	descriptor protoreflect.MethodDescriptor
	access     davitv1.Access
}

func (m method) path() string {
	return fmt.Sprintf("/%s/%s", m.descriptor.Parent().FullName(), m.descriptor.Name())
}

// methods are all methods of the API but those of the socket for root alone.
func methods() []method {
	var all []method
	protoregistry.GlobalFiles.RangeFilesByPackage("davit.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			if service.Name() == "AdminService" {
				continue
			}
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				access, _ := proto.GetExtension(m.Options(), davitv1.E_Access).(davitv1.Access)
				all = append(all, method{m, access})
			}
		}
		return true
	})
	return all
}

// hasMethod tells whether some method's name has one of some words.
func hasMethod(words ...string) bool {
	for _, m := range methods() {
		for _, w := range words {
			if strings.Contains(string(m.descriptor.Name()), w) {
				return true
			}
		}
	}
	return false
}

// dial connects to a socket without the client's own checks.
func dial(t *testing.T, socket string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// call calls a method with a message and gives the first answer's error.
func call(ctx context.Context, conn *grpc.ClientConn, m method, request proto.Message) error {
	ctx, cancel := context.WithTimeout(ctx, testenv.Scale(30*time.Second))
	defer cancel()
	desc := &grpc.StreamDesc{ServerStreams: m.descriptor.IsStreamingServer(), ClientStreams: m.descriptor.IsStreamingClient()}
	stream, err := conn.NewStream(ctx, desc, m.path())
	if err != nil {
		return err
	}
	// What ends the stream is told by its answer.
	_ = stream.SendMsg(request)
	_ = stream.CloseSend()
	return stream.RecvMsg(dynamicpb.NewMessage(m.descriptor.Output()))
}

// rss is the resident memory of the daemon in KiB.
func (c *scene) rss() int { return anonymous(c.t, c.daemon.Process.Pid) }

// apiAttacks are documents and clients.
var apiAttacks = []attack{
	{
		id: "ESC-13", name: "log-symlink", tries: "have a log written through a link in its place",
		client: logSymlink, control: logSymlinkNaive,
	},
	{
		id: "ESC-14", name: "name-traversal", tries: "name domains so that a path made of the name leads elsewhere", client: nameTraversal,
		control: nameTraversalNaive,
	},
	{
		id: "ESC-15", name: "tar-slip", tries: "unpack archives that lead elsewhere", needs: []need{{"an import of archives", func(*suite, profile) string {
			if !hasMethod("Import", "Unpack", "Extract", "Pull", "Load") {
				return "no method takes an archive"
			}
			return ""
		}}},
		client:       func(c *scene) string { c.t.Fatal("there is an import, and no attack on it yet"); return "" },
		uncontrolled: "nothing to attack yet",
	},
	{
		id: "ESC-42", name: "cpuset-parse", tries: "have lists of processors expanded in memory", client: cpusetParse,
		control: cpusetParseNaive,
	},
	{
		id: "ESC-43", name: "inject-config", tries: "smuggle options by values with line ends, quotes and signs", client: injectConfig,
		control: injectConfigNaive,
	},
	{
		id: "ESC-44", name: "alt-route-authz", tries: "bring in a forbidden device by each route that changes a definition, and any device with certificates whose holders may not",
		client: altRoute, control: altRouteAdmin,
	},
	{
		id: "ESC-45", name: "ro-socket", tries: "call every method of every service through the socket for those who look", client: readOnlyCalls,
		control: readOnlyControl,
	},
	{
		id: "ESC-46", name: "parse-before-authz", tries: "have bombs parsed for a caller who may not define", client: parseBombs,
		control: parseBombsAllowed,
	},
	{
		id: "ESC-47", name: "peer-race", tries: "be taken for root by handing root a connection", client: peerRace,
		control: peerRaceNaive,
	},
	{
		id: "ESC-48", name: "secret-leak", tries: "find files of the daemon's that others may read", client: secretLeak,
		control: secretLeakNaive,
	},
	{
		id: "ESC-49", name: "lock-leak", tries: "leave locks held by calls that fail", client: lockLeak, control: lockLeakStopped,
	},
	{
		id: "ESC-50", name: "nil-panic", tries: "crash the daemon by messages with single fields, extreme values and rubbish", client: nilPanic,
		control: nilPanicNaive,
	},
	{
		id: "ESC-X3", name: "scm-rights-flood", tries: "fill the daemon's table of descriptors by sending them on its socket", client: rightsFlood,
		control: rightsFloodNaive,
	},
}

func logSymlink(c *scene) string {
	t := c.t
	before := tree(t, c.canary)
	name := c.launch(t, domainOptions{}, "identity")
	c.heard(t, name)
	var logs []string
	_ = filepath.WalkDir(c.root+"/log", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			logs = append(logs, path)
		}
		return nil
	})
	info, err := os.Stat(c.root + "/log")
	if err != nil || len(logs) == 0 {
		t.Fatalf("no logs: %v", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		c.escapes(t, "others write to the folder of logs: %v", info.Mode())
	}
	// Somebody who could write there after all puts links in the place of the logs, and of those to come.
	for _, path := range logs {
		replace(t, c.canary+"/file", path)
		for _, next := range []string{path + ".1", path + ".tmp", strings.TrimSuffix(path, filepath.Ext(path)) + ".next"} {
			_ = os.Symlink(c.canary+"/file", next)
		}
	}
	c.exec(t, name, client.ExecOptions{}, "identity")
	c.destroy(t, name)
	c.untouched(t, before, "a log")
	return "nothing is written through links; only root may put them there"
}

func logSymlinkNaive(c *scene) string {
	canary := c.ownCanary(c.t)
	before := tree(c.t, canary)
	replace(c.t, canary+"/file", c.rootfs+"-log")
	if err := os.WriteFile(c.rootfs+"-log", []byte("log"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.touched(c.t, canary, before, "a log opened by name")
	return "a log opened by name is written to a canary"
}

// badNames are no names.
func badNames() []string {
	names := []string{"", ".", "..", "../x", "a/b", "/etc/x", "a\x00b", "a\nb", "a\tb", " a", "a ", "-rf", "\x1b[2J", "\u202ea", strings.Repeat("x", 4096), "a/../../x", "..\\x", "%2e%2e%2fx", "~root", "$(x)", "`x`", "a;b", "\xff\xfe"}
	for r := rune(1); r < 32; r++ {
		names = append(names, "a"+string(r)+"b")
	}
	return names
}

func nameTraversal(c *scene) string {
	t := c.t
	before := tree(t, c.folder)
	refused, taken := 0, 0
	for _, name := range badNames() {
		_, err := c.client.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: client.Model(&davitv1.Domain{
			Type: davitv1.DomainType_DOMAIN_TYPE_LXC, Name: name, MemoryKib: 65536, Os: &davitv1.Os{Type: "exe", Init: "/x"},
		})})
		if err != nil {
			refused++
			continue
		}
		taken++
		for path := range tree(t, c.folder) {
			if before[path] == "" && strings.Contains(path, "/"+name) && name != "." && !strings.HasPrefix(path, c.root+"/") {
				c.escapes(t, "%q made %s", name, path)
			}
		}
		if _, err = c.client.UndefineDomain(t.Context(), &davitv1.UndefineDomainRequest{Domain: client.ByName(name)}); err != nil {
			t.Errorf("undefine %q: %v", name, err)
		}
	}
	for path := range tree(t, c.folder) {
		if before[path] == "" && !strings.HasPrefix(path, c.root+"/") {
			c.escapes(t, "%s was made", path)
		}
	}
	if refused == 0 {
		t.Fatal("no name at all was refused")
	}
	t.Logf("%d refused, %d taken", refused, taken)
	return "refused, or of no effect on any path"
}

func nameTraversalNaive(c *scene) string {
	dir := c.rootfs + "-store"
	mustWrite(c.t, dir+"/x.xml", "", 0o600)
	if err := os.WriteFile(filepath.Join(dir, "../escaped-"+filepath.Base(dir)), nil, 0o600); err != nil {
		c.t.Fatal(err)
	}
	return "a store that joins folder and name writes beside the folder"
}

func cpusetParse(c *scene) string {
	t := c.t
	before := c.rss()
	define := func(list string) error {
		document := "<domain type='lxc'><name>x</name><memory>65536</memory><vcpu cpuset='" + list + "'>1</vcpu><os><type>exe</type><init>/x</init></os></domain>"
		_, err := c.client.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: client.XML(document)})
		return err
	}
	for _, list := range []string{
		"0-9999999999", "0-4294967295", "0-4294967294", "4294967295", "0-18446744073709551615", "-1", "5-1", "0-",
		strings.Repeat("0,", 1_000_000) + "0", strings.Repeat("1-2,", 1_000_000) + "9",
	} {
		if define(list) == nil {
			c.escapes(t, "the list %.20s… was taken", list)
		}
	}
	// A list that says the same again and again may be taken, for what it says.
	if define(strings.Repeat("0,", 400_000)+"0") == nil {
		answer, err := c.client.GetDomainXML(t.Context(), &davitv1.GetDomainXMLRequest{Domain: client.ByName("x")})
		if err != nil || proto.Size(answer) > 4096 {
			c.escapes(t, "a list of one processor is kept as %d bytes: %v", proto.Size(answer), err)
		}
		if _, err = c.client.UndefineDomain(t.Context(), &davitv1.UndefineDomainRequest{Domain: client.ByName("x")}); err != nil {
			t.Error(err)
		}
	}
	if grown := c.rss() - before; grown > 64<<10 {
		c.escapes(t, "the daemon grew by %d KiB", grown)
	}
	return "refused; the daemon does not grow"
}

func cpusetParseNaive(c *scene) string {
	n := 0
	for cpu := uint64(0); cpu <= 9999999999 && n < 10_000_000; cpu++ {
		n++
	}
	if n < 10_000_000 {
		c.t.Fatal("the list is short")
	}
	return "a reader that expands the list has ten million entries and goes on"
}

func injectConfig(c *scene) string {
	t := c.t
	c.profile = application
	values := map[string]string{"QUOTE": `a"b'c`, "EQUALS": "a=b;c=d", "PLUS": "x+kernel.core_pattern=|/bin/x", "LINE": "a&#10;INJECTED=1", "DOLLAR": "$(touch /x) `id`"}
	var b strings.Builder
	for name, value := range values {
		value = strings.ReplaceAll(strings.ReplaceAll(value, "'", "&apos;"), `"`, "&quot;")
		fmt.Fprintf(&b, "<initenv name='%s'>%s</initenv>", name, value)
	}
	name := c.launch(t, domainOptions{os: b.String()}, "environment")
	got := c.heard(t, name).values()
	for name, value := range values {
		if want := strings.ReplaceAll(value, "&#10;", "\n"); got[name] != want {
			c.escapes(t, "%s is %q, want %q", name, got[name], want)
		}
	}
	if got["INJECTED"] != "" {
		c.escapes(t, "a line end in a value makes a variable")
	}
	for _, bad := range []string{"<initenv name='A=B'>x</initenv>", "<initenv name=''>x</initenv>", "<initenv name='A&#10;B'>x</initenv>"} {
		c.refused(t, domainOptions{os: bad}, bad)
	}
	return "values arrive as they are; names with signs are refused"
}

func injectConfigNaive(c *scene) string {
	path := c.rootfs + "-env"
	mustWrite(c.t, path, "LINE="+"a\nINJECTED=1"+"\n", 0o600)
	text, err := os.ReadFile(path)
	if err != nil || len(strings.Split(strings.TrimSpace(string(text)), "\n")) != 2 {
		c.t.Fatal("a line end does not make a line any more")
	}
	return "a file of lines has one variable more"
}

func altRoute(c *scene) string {
	t := c.t
	c.profile = application
	forbidden := map[string]string{
		"a mount on /proc": "<filesystem type='mount'><source dir='/tmp'/><target dir='/proc/sys'/></filesystem>",
		"a mount on ..":    "<filesystem type='mount'><source dir='/tmp'/><target dir='/a/../../b'/></filesystem>",
		"a relative mount": "<filesystem type='mount'><source dir='tmp'/><target dir='/a'/></filesystem>",
	}
	name := c.launch(t, domainOptions{}, "identity")
	c.heard(t, name)
	for what, device := range forbidden {
		document := client.XML(c.document(domainOptions{name: "forbidden", devices: device, argv: []string{"pause"}}))
		for route, try := range map[string]func() error{
			"DefineDomain": func() error {
				_, err := c.client.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: document})
				return err
			},
			"CreateDomain": func() error {
				_, err := c.client.CreateDomain(t.Context(), &davitv1.CreateDomainRequest{Source: document})
				return err
			},
			"AttachDevice": func() error {
				_, err := c.client.AttachDevice(t.Context(), &davitv1.AttachDeviceRequest{Domain: client.ByName(name), Source: client.DeviceXML(device)})
				return err
			},
			"UpdateDevice": func() error {
				_, err := c.client.UpdateDevice(t.Context(), &davitv1.UpdateDeviceRequest{Domain: client.ByName(name), Source: client.DeviceXML(device)})
				return err
			},
		} {
			if err := try(); err == nil {
				c.escapes(t, "%s by %s", what, route)
			}
		}
	}
	c.roleRoutes(t)
	return "define, create, attach and update all refuse; so does each method with certificates of lower roles, of none and of another authority"
}

func readOnlyCalls(c *scene) string {
	t := c.t
	conn := dial(t, c.readOnly())
	refused, all := 0, methods()
	for _, m := range all {
		err := call(t.Context(), conn, m, dynamicpb.NewMessage(m.descriptor.Input()))
		denied := status.Code(err) == codes.PermissionDenied
		switch {
		case m.access == davitv1.Access_ACCESS_UNSPECIFIED:
			t.Errorf("%s says not who may call it", m.path())
		case m.access > davitv1.Access_ACCESS_READ && !denied:
			c.escapes(t, "%s answers a reader: %v", m.path(), err)
		case m.access == davitv1.Access_ACCESS_READ && denied:
			t.Errorf("%s refuses a reader: %v", m.path(), err)
		}
		if denied {
			refused++
		}
	}
	if refused < 10 {
		t.Fatalf("only %d of %d methods were refused", refused, len(all))
	}
	return "exactly those that need more than to look are refused"
}

func readOnlyControl(c *scene) string {
	conn := dial(c.t, c.socket())
	for _, m := range methods() {
		if err := call(c.t.Context(), conn, m, dynamicpb.NewMessage(m.descriptor.Input())); status.Code(err) == codes.PermissionDenied {
			c.t.Errorf("%s refuses root: %v", m.path(), err)
		}
	}
	return "the same calls of root's are refused for their content, if at all"
}

// bomb is a document that is dear to parse.
func bomb() *davitv1.DefinitionSource {
	return client.XML("<domain type='lxc'><name>bomb</name>" + strings.Repeat("<metadata><a x='1'/></metadata>", 30_000) + "</domain>")
}

func parseBombs(c *scene) string {
	t := c.t
	conn := davitv1.NewDomainServiceClient(dial(t, c.readOnly()))
	before := c.rss()
	for range 20 {
		if _, err := conn.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: bomb()}); status.Code(err) != codes.PermissionDenied {
			c.escapes(t, "a bomb of a reader's is answered by %.200v", err)
		}
	}
	if grown := c.rss() - before; grown > 128<<10 {
		c.escapes(t, "the daemon grew by %d KiB", grown)
	}
	return "refused before it is read; the daemon does not grow"
}

func parseBombsAllowed(c *scene) string {
	_, err := c.client.DefineDomain(c.t.Context(), &davitv1.DefineDomainRequest{Source: bomb()})
	if err == nil || errors.Is(err, domain.ErrPermission) {
		c.t.Fatalf("a bomb of root's is answered by %v", err)
	}
	return "the same document of root's is read, and refused for its content"
}

// connectedAs is a connection to a socket that a child of another user made.
func connectedAs(t *testing.T, uid uint32, socket string) (*os.File, error) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The thread that connects is the user: what the kernel tells the daemon is who it was then.
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and it ends as a thread
		_, _, errno := syscall.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0))
		if errno != 0 {
			failed <- errno
			return
		}
		connectErr := unix.Connect(fd, &unix.SockaddrUnix{Name: socket})
		_, _, _ = syscall.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), 0, ^uintptr(0))
		failed <- connectErr
	}()
	err = <-failed
	return os.NewFile(uintptr(fd), socket), err
}

func peerRace(c *scene) string { return c.peer() }

func (c *scene) peer() string {
	t := c.t
	out, err := nobody("/bin/sh", "-c", "test -w "+c.socket())
	if err == nil {
		c.escapes(t, "nobody may write to %s: %s", c.socket(), out)
	}
	if _, err = connectedAs(t, 65533, c.socket()); err == nil {
		c.escapes(t, "nobody connects to %s", c.socket())
	}
	file, err := connectedAs(t, 65533, c.readOnly())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		t.Fatal(err)
	}
	// Root uses it now, and is still who connected.
	over, err := grpc.NewClient("passthrough:x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return conn, nil }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = over.Close() }()
	api := davitv1.NewDomainServiceClient(over)
	if _, err = api.ListDomains(t.Context(), &davitv1.ListDomainsRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err = api.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: bomb()}); status.Code(err) != codes.PermissionDenied {
		c.escapes(t, "a connection that nobody made defines: %v", err)
	}
	root, err := client.DialAdmin(c.socket())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	list, err := root.ListClients(t.Context(), &davitv1.ListClientsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(list.String(), "65533") {
		c.escapes(t, "the daemon takes a connection of nobody's for another's: %v", list)
	}
	return "the connection stays that of who made it"
}

func peerRaceNaive(c *scene) string {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(os.Getpid()) + "/status")
	if err != nil || !strings.Contains(string(status), "Uid:\t0\t0") {
		c.t.Fatalf("the holder is not root: %v", err)
	}
	return "a look at the process that holds the connection finds root"
}

// readable lists files below a folder that others than their owner may read or write.
func readable(tb testing.TB, dir string) []string {
	tb.Helper()
	var found []string
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if info, err := e.Info(); err == nil && info.Mode().Perm()&0o077 != 0 {
			found = append(found, fmt.Sprintf("%s %v", path, info.Mode()))
		}
		return nil
	})
	return found
}

func secretLeak(c *scene) string {
	t := c.t
	c.profile = application
	name := c.launch(t, domainOptions{}, "identity")
	c.heard(t, name)
	for _, dir := range []string{"lib", "run", "log"} {
		for _, file := range readable(t, filepath.Join(c.root, dir)) {
			c.escapes(t, "others may read %s", strings.TrimPrefix(file, c.folder))
		}
	}
	return "every file of its state, its runs and its logs is its owner's alone"
}

func secretLeakNaive(c *scene) string {
	mustWrite(c.t, c.rootfs+"-leak/file", "", 0o644)
	if len(readable(c.t, c.rootfs+"-leak")) == 0 {
		c.t.Fatal("the look does not see an open file")
	}
	return "the look sees a file that is open to all"
}

func lockLeak(c *scene) string {
	t := c.t
	c.profile = application
	name := c.launch(t, domainOptions{}, "identity")
	c.heard(t, name)
	conns := []*grpc.ClientConn{dial(t, c.socket()), dial(t, c.readOnly())}
	for range max(rounds()/25, 2) {
		for _, m := range methods() {
			request := dynamicpb.NewMessage(m.descriptor.Input())
			if field := m.descriptor.Input().Fields().ByName("domain"); field != nil && field.Message() != nil && field.Message().FullName() == "davit.v1.DomainRef" {
				request.Set(field, protoreflect.ValueOfMessage(client.ByName("no-such-domain").ProtoReflect()))
			}
			for _, conn := range conns {
				ctx, cancel := context.WithCancel(t.Context())
				go cancel() // some are cut off at some point
				_ = call(ctx, conn, m, request)
				cancel()
				_ = call(t.Context(), conn, m, request)
			}
		}
	}
	if err := c.legitimate(name, testenv.Scale(20*time.Second)); err != nil {
		c.escapes(t, "after failed calls a good one does not come through: %v", err)
	}
	return "after failed and cut-off calls of every method a good one is answered"
}

// legitimate makes calls that take every lock, within a time.
func (c *scene) legitimate(name string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if _, err := c.client.UpdateDomain(ctx, titleUpdate(name)); err != nil {
		return err
	}
	_, err := c.client.ListDomains(ctx, &davitv1.ListDomainsRequest{})
	return err
}

func lockLeakStopped(c *scene) string {
	name := c.launch(c.t, domainOptions{}, "identity")
	c.heard(c.t, name)
	if err := c.daemon.Process.Signal(unix.SIGSTOP); err != nil {
		c.t.Fatal(err)
	}
	err := c.legitimate(name, time.Second)
	if e := c.daemon.Process.Signal(unix.SIGCONT); e != nil {
		c.t.Fatal(e)
	}
	if err == nil {
		c.t.Fatal("a daemon that stands still answers")
	}
	return "of a daemon that stands still no call is answered in time"
}
