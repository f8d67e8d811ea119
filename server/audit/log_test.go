package audit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/audit"
)

func openLog(tb testing.TB, o audit.LogOptions) *audit.Log {
	tb.Helper()
	if o.MaxFileBytes == 0 {
		o.MaxFileBytes = 1 << 20
	}
	if o.MaxFiles == 0 {
		o.MaxFiles = 4
	}
	l, err := audit.OpenLog(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := l.Close(); err != nil {
			tb.Error(err)
		}
	})
	return l
}

func started(domain string) *davitv1.AuditRecord {
	return &davitv1.AuditRecord{
		Time: timestamppb.Now(), Phase: davitv1.AuditPhase_AUDIT_PHASE_CALL, Socket: "daemon",
		Caller: &davitv1.AuditCaller{Process: &davitv1.AuditProcess{Uid: 1000}},
		Method: davitv1.DomainService_StartDomain_FullMethodName, Domain: domain, Code: "OK",
	}
}

// reading is a client of the service over a log.
func reading(tb testing.TB, l *audit.Log) davitv1.AuditServiceClient {
	tb.Helper()
	server := grpc.NewServer(grpc.StreamInterceptor(func(s any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		return domain.ToStatus(next(s, ss)).Err()
	}))
	listener := bufconn.Listen(256 << 10)
	audit.Register(server, l)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	conn, err := grpc.NewClient("passthrough:///audit", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		serving.Wait()
	})
	return davitv1.NewAuditServiceClient(conn)
}

// read gives all records that a request asks for.
func read(tb testing.TB, c davitv1.AuditServiceClient, q *davitv1.ReadAuditRequest) []*davitv1.AuditRecord {
	tb.Helper()
	stream, err := c.ReadAudit(tb.Context(), q)
	if err != nil {
		tb.Fatal(err)
	}
	var list []*davitv1.AuditRecord
	for {
		r, err := stream.Recv()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				tb.Fatal(err)
			}
			return list
		}
		list = append(list, r.GetRecords()...)
	}
}

func numbers(list []*davitv1.AuditRecord) string {
	var words []string
	for _, r := range list {
		words = append(words, fmt.Sprint(r.GetSequence()))
	}
	return strings.Join(words, " ")
}

// Records are numbered on over restarts, and the filters choose among them.
func TestLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := openLog(t, audit.LogOptions{Dir: dir})
	l.Append(started("web"))
	denied := started("web")
	denied.Code, denied.Caller.Process.Uid = "PERMISSION_DENIED", 1001
	l.Append(denied)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLog(t, audit.LogOptions{Dir: dir})
	l.Append(started("shop"))
	far := started("shop")
	far.Caller, far.Uuid = &davitv1.AuditCaller{Certificate: &davitv1.AuditCertificate{Subject: "CN=ann"}}, "11111111-1111-4111-8111-111111111111"
	l.Append(far)
	c := reading(t, l)
	now := time.Now()
	for _, test := range []struct {
		q    *davitv1.ReadAuditRequest
		want string
	}{
		{&davitv1.ReadAuditRequest{}, "1 2 3 4"},
		{&davitv1.ReadAuditRequest{Domain: "shop"}, "3 4"},
		{&davitv1.ReadAuditRequest{Domain: far.GetUuid()}, "4"},
		{&davitv1.ReadAuditRequest{User: "1001"}, "2"},
		{&davitv1.ReadAuditRequest{User: "CN=ann"}, "4"},
		{&davitv1.ReadAuditRequest{User: "0"}, ""},
		{&davitv1.ReadAuditRequest{Denied: true}, "2"},
		{&davitv1.ReadAuditRequest{Tail: new(uint32(2))}, "3 4"},
		{&davitv1.ReadAuditRequest{Tail: new(uint32(0))}, ""},
		{&davitv1.ReadAuditRequest{Tail: new(uint32(1)), Domain: "web"}, "2"},
		{&davitv1.ReadAuditRequest{Since: timestamppb.New(now.Add(time.Hour))}, ""},
		{&davitv1.ReadAuditRequest{Since: timestamppb.New(now.Add(-time.Hour)), Until: timestamppb.New(now.Add(time.Hour))}, "1 2 3 4"},
		{&davitv1.ReadAuditRequest{Until: timestamppb.New(now.Add(-time.Hour))}, ""},
		{&davitv1.ReadAuditRequest{After: 2}, "3 4"},
		{&davitv1.ReadAuditRequest{After: 1, Domain: "web"}, "2"},
		{&davitv1.ReadAuditRequest{After: 1, Tail: new(uint32(1))}, "4"},
		{&davitv1.ReadAuditRequest{After: 4}, ""},
		{&davitv1.ReadAuditRequest{After: 5}, "1 2 3 4"}, // of a log before this one
	} {
		if got := numbers(read(t, c, test.q)); got != test.want {
			t.Errorf("%v: records %q, want %q", test.q, got, test.want)
		}
	}
	for _, q := range []*davitv1.ReadAuditRequest{
		{Tail: new(uint32(10_001))}, {Since: &timestamppb.Timestamp{Nanos: -1}}, {Until: &timestamppb.Timestamp{Seconds: 1 << 62}},
	} {
		stream, err := c.ReadAudit(t.Context(), q)
		if err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", q, err)
		}
	}
	modes(t, dir)
}

// modes checks that nobody else can read the files.
func modes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// The files stay within their bounds, the newest records stay, also when the bound is lowered; a reader that follows misses
// none that it had time for.
func TestRotation(t *testing.T) {
	const bytes, files, records = 4096, 3, 300
	dir := t.TempDir()
	l := openLog(t, audit.LogOptions{Dir: dir, MaxFileBytes: bytes, MaxFiles: files})
	stream, err := reading(t, l).ReadAudit(t.Context(), &davitv1.ReadAuditRequest{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	if first, failed := stream.Recv(); failed != nil || len(first.GetRecords()) != 0 || first.GetNewest() != 0 {
		t.Fatalf("an empty log is told as %v, %v", first, failed)
	}
	for i := range uint64(records) {
		l.Append(started("web"))
		r, failed := stream.Recv()
		if failed != nil || len(r.GetRecords()) != 1 || r.GetRecords()[0].GetSequence() != i+1 {
			t.Fatalf("record %d was told as %v, %v", i+1, r, failed)
		}
	}
	if entries := recordFiles(t, dir); len(entries) != files {
		t.Errorf("files: %v", entries)
	}
	for _, name := range recordFiles(t, dir) {
		if info, failed := os.Stat(filepath.Join(dir, name)); failed != nil || info.Size() > bytes {
			t.Errorf("%s: %v, %v", name, info, failed)
		}
	}
	list := read(t, reading(t, l), &davitv1.ReadAuditRequest{})
	for i, r := range list {
		if want := uint64(records - len(list) + i + 1); r.GetSequence() != want {
			t.Fatalf("record %d is number %d, want %d", i, r.GetSequence(), want)
		}
	}
	if len(list) < 20 {
		t.Errorf("only %d records are left", len(list))
	}
	modes(t, dir)
	if err = l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLog(t, audit.LogOptions{Dir: dir, MaxFileBytes: bytes, MaxFiles: 1})
	if got := l.Append(started("web")); got != records+1 {
		t.Errorf("the next record is number %d", got)
	}
	if entries := recordFiles(t, dir); len(entries) != 1 {
		t.Errorf("files: %v", entries)
	}
}

// recordFiles are the names of the files of records in a folder; the only other file is the one that keeps the last number.
func recordFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != "sequence" {
			names = append(names, entry.Name())
		}
	}
	return names
}

func refused(domain string) *davitv1.AuditRecord {
	r := started(domain)
	r.Code = "PERMISSION_DENIED"
	return r
}

// However many calls are refused, the records of those that were let in stay, also over a restart. What is left is read in
// order, and the refusals have a bound, too.
func TestRefusalsPushNothingOut(t *testing.T) {
	const bytes, files, changes, refusals = 4096, 8, 20, 2000
	dir := t.TempDir()
	o := audit.LogOptions{Dir: dir, MaxFileBytes: bytes, MaxFiles: files}
	l := openLog(t, o)
	for i := range refusals {
		if i%(refusals/changes) == 0 {
			l.Append(started("web"))
		}
		l.Append(refused("web"))
		if i == refusals/2 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = openLog(t, o)
		}
	}
	let, last := 0, uint64(0)
	for _, r := range read(t, reading(t, l), &davitv1.ReadAuditRequest{}) {
		if r.GetSequence() <= last {
			t.Fatalf("record %d comes after %d", r.GetSequence(), last)
		}
		last = r.GetSequence()
		if r.GetCode() == "OK" {
			let++
		}
	}
	if let != changes || last != changes+refusals {
		t.Errorf("%d records of calls that were let in, the last record is number %d", let, last)
	}
	names, err := filepath.Glob(filepath.Join(dir, "refused.log*"))
	if err != nil || len(names) != files/4 {
		t.Errorf("files of refusals: %v, %v", names, err)
	}
	for _, name := range names {
		if info, failed := os.Stat(name); failed != nil || info.Size() > bytes {
			t.Errorf("%s: %v, %v", name, info, failed)
		}
	}
	modes(t, dir)
}

// A reader that follows is told of records of both kinds in their order, however fast they come.
func TestFollowInOrder(t *testing.T) {
	const records = 1000
	l := openLog(t, audit.LogOptions{Dir: t.TempDir()})
	stream, err := reading(t, l).ReadAudit(t.Context(), &davitv1.ReadAuditRequest{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	defer writing.Wait()
	for _, record := range []func(string) *davitv1.AuditRecord{started, refused} {
		writing.Go(func() {
			for range records / 2 {
				l.Append(record("web"))
			}
		})
	}
	for last := uint64(0); last < records; {
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, record := range r.GetRecords() {
			if record.GetSequence() != last+1 {
				t.Fatalf("record %d comes after %d", record.GetSequence(), last)
			}
			last++
		}
	}
}

// Who follows is told at once how far the reading is, also where no record was asked for: nothing is missed by going on from there.
func TestFollowTellsItsPlace(t *testing.T) {
	l := openLog(t, audit.LogOptions{Dir: t.TempDir()})
	for range 3 {
		l.Append(started("web"))
	}
	for _, q := range []*davitv1.ReadAuditRequest{
		{Follow: true, Tail: new(uint32(0))}, {Follow: true, Domain: "shop"}, {Follow: true, Tail: new(uint32(2)), Denied: true},
	} {
		stream, err := reading(t, l).ReadAudit(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if first, failed := stream.Recv(); failed != nil || len(first.GetRecords()) != 0 || first.GetNewest() != 3 {
			t.Errorf("%v is told %v, %v", q, first, failed)
		}
	}
}

// A log that ends anywhere in a record, as a crash leaves it, is opened; the whole records are there, and those that follow.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	l := openLog(t, audit.LogOptions{Dir: dir})
	for range 3 {
		l.Append(started("web"))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := range len(whole) + 1 {
		// Nothing tells of the numbers of what is cut off but the records themselves.
		if err := os.Remove(filepath.Join(dir, "sequence")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		kept := strings.Count(string(whole[:size]), "\n")
		if size > 0 && size < len(whole) && whole[size] == '\n' {
			kept++ // only the line's end is missing
		}
		torn(t, dir, size, kept)
	}
}

func torn(t *testing.T, dir string, size, kept int) {
	t.Helper()
	l, err := audit.OpenLog(audit.LogOptions{Dir: dir, MaxFileBytes: 1 << 20, MaxFiles: 4})
	if err != nil {
		t.Fatalf("cut at %d: %v", size, err)
	}
	if got := l.Append(started("after")); got != uint64(kept)+1 {
		t.Errorf("cut at %d: the next record is number %d, want %d", size, got, kept+1)
	}
	if err = l.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, fmt.Sprintf(`{"sequence":"%d"`, kept+1)) || !strings.Contains(last, `"after"`) {
		t.Errorf("cut at %d: the last line is %q", size, last)
	}
}

// Whatever else is in the files is passed over.
func TestStrayLines(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, audit.LogOptions{Dir: dir})
	l.Append(started("web"))
	file, err := os.OpenFile(filepath.Join(dir, "audit.log"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"", "\x00\xff", "{}", "[]", `{"sequence":"x"}`, strings.Repeat("x", 1<<20), `{"sequence":"7","unknown":[{}]}`} {
		if _, err := file.WriteString(line + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	l.Append(started("web"))
	if got := numbers(read(t, reading(t, l), &davitv1.ReadAuditRequest{})); got != "1 7 2" {
		t.Errorf("records %q", got)
	}
}

// A disk that is full at any byte stops nothing: what is lost is counted, logged once and shows as a hole, and once there is
// room all is as before.
func TestFullDisk(t *testing.T) {
	for room := range 200 {
		core, logs := observer.New(zap.ErrorLevel)
		left := 1 << 20
		o := audit.LogOptions{Dir: t.TempDir(), Logger: zap.New(core)}.WithWrite(func(file *os.File, p []byte) (int, error) {
			n := min(left, len(p))
			left -= n
			n, err := file.Write(p[:n])
			if err == nil && n < len(p) {
				err = syscall.ENOSPC
			}
			return n, err
		})
		l := openLog(t, o)
		l.Append(started("web"))
		left = room
		for range 3 {
			l.Append(started("web"))
		}
		lost := l.Lost()
		left = 1 << 20
		if got := l.Append(started("web")); got != 5 || l.Lost() != lost || lost < 2 {
			t.Fatalf("room for %d: number %d, lost %d, then %d", room, got, lost, l.Lost())
		}
		list := read(t, reading(t, l), &davitv1.ReadAuditRequest{})
		if len(list) < 2 || list[0].GetSequence() != 1 || list[len(list)-1].GetSequence() != 5 {
			t.Fatalf("room for %d: records %s", room, numbers(list))
		}
		if logs.Len() != 1 {
			t.Fatalf("room for %d: logged %v", room, logs.All())
		}
	}
}

// A folder that is taken away, or a link in the place of a file, stops nothing, and nothing is written through the link.
func TestHostileFolder(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, "audit.log")); err != nil {
		t.Fatal(err)
	}
	if l, err := audit.OpenLog(audit.LogOptions{Dir: dir, MaxFileBytes: 1 << 20, MaxFiles: 2}); err == nil {
		t.Error("a link was opened")
		_ = l.Close()
	}
	if text, err := os.ReadFile(victim); err != nil || len(text) > 0 {
		t.Errorf("victim holds %q, %v", text, err)
	}
	if err := os.Remove(filepath.Join(dir, "audit.log")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "audit.log"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := audit.OpenLog(audit.LogOptions{Dir: dir, MaxFileBytes: 1 << 20, MaxFiles: 2}); err == nil {
		t.Error("a fifo was opened")
		_ = l.Close()
	}
	gone := filepath.Join(t.TempDir(), "audit")
	l := openLog(t, audit.LogOptions{Dir: gone, MaxFileBytes: 512, MaxFiles: 2})
	if err := os.RemoveAll(gone); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		l.Append(started("web"))
	}
	if l.Lost() == 0 {
		t.Error("no record is lost without a folder")
	}
}

// A reader that follows is told of what comes, and ends with its call.
func TestFollow(t *testing.T) {
	l := openLog(t, audit.LogOptions{Dir: t.TempDir()})
	l.Append(started("web"))
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := reading(t, l).ReadAudit(ctx, &davitv1.ReadAuditRequest{Follow: true, Tail: new(uint32(1)), Domain: "web"})
	if err != nil {
		t.Fatal(err)
	}
	for want := uint64(1); want < 6; want += 2 {
		r, failed := stream.Recv()
		if failed != nil || len(r.GetRecords()) != 1 || r.GetRecords()[0].GetSequence() != want {
			t.Fatalf("want record %d: %v, %v", want, r, failed)
		}
		l.Append(started("shop"))
		l.Append(started("web"))
	}
	cancel()
	for err == nil {
		_, err = stream.Recv()
	}
	if !errors.Is(err, context.Canceled) && status.Code(err) != codes.Canceled {
		t.Errorf("stream ended with %v", err)
	}
}
