package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// maxInput is how much input one message may carry.
const maxInput = 32 << 10

// ErrConsoleTaken ends a console that another caller took with force.
var ErrConsoleTaken = errors.New("console was taken by another client")

// Size is the size of a terminal in characters.
type Size struct{ Rows, Columns uint16 }

func (s Size) proto() *davitv1.TerminalSize {
	if s.Rows == 0 || s.Columns == 0 {
		return nil
	}
	return &davitv1.TerminalSize{Rows: uint32(s.Rows), Columns: uint32(s.Columns)}
}

// ConsoleOptions says which console to open and from where to read it.
type ConsoleOptions struct {
	// Device is the alias of the console, "console0"; the first when empty.
	Device string
	// Force takes the console from whoever writes to it.
	Force bool
	// ReadOnly only reads; any number of readers share a console.
	ReadOnly bool
	// Scrollback begins with the oldest output that is kept, not with the next.
	Scrollback bool
	// Offset, if not nil, begins at this offset of the output: [Console.Offset] of an earlier connection.
	Offset *uint64
	// Follow stays connected while the guest reboots.
	Follow bool
}

// Console is a connection to a terminal of a domain. What is read from it is what the domain wrote, byte for byte: it
// belongs on a terminal of its own, or has to be escaped. Reading and writing may go on at once, each by one goroutine;
// Resize and Close may be called at any time.
//
// A daemon that restarts is waited for, as calls are (see [WithRetry]): reading goes on where it was. Writing then waits
// for the reader to have connected anew.
type Console struct {
	ctx    context.Context //nolint:containedctx // the life of the connection, as of a stream
	cancel context.CancelFunc
	client *Client
	open   *davitv1.ConsoleOpen
	device string
	unread []byte // the reader's

	send    sync.Mutex // one sends at a time; held while the other side does not take it
	mu      sync.Mutex // guards what follows, never held for long
	changed sync.Cond
	stream  consoleStream
	tries   int // counts streams
	offset  uint64
	lost    uint64
	size    Size
	end     error // why there is no more to read
}

type consoleStream = grpc.BidiStreamingClient[davitv1.OpenConsoleRequest, davitv1.OpenConsoleResponse]

// Console connects to a console of an active domain. When ctx ends, so does the connection.
func (c *Client) Console(ctx context.Context, ref *davitv1.DomainRef, o ConsoleOptions) (*Console, error) {
	open := &davitv1.ConsoleOpen{
		Domain: ref, Device: o.Device, Force: o.Force, ReadOnly: o.ReadOnly, Follow: o.Follow,
	}
	switch {
	case o.Offset != nil:
		open.Start = &davitv1.ConsoleOpen_Offset{Offset: *o.Offset}
	case o.Scrollback:
		open.Start = &davitv1.ConsoleOpen_Scrollback{Scrollback: true}
	}
	k := &Console{client: c, open: open}
	k.changed.L = &k.mu
	k.ctx, k.cancel = context.WithCancel(ctx)
	if err := k.connect(); err != nil {
		k.cancel()
		return nil, err
	}
	return k, nil
}

// connect opens a stream and puts it in the place of the one before.
func (k *Console) connect() error {
	stream, err := k.client.console.OpenConsole(k.ctx)
	if err != nil {
		return err
	}
	// If the send fails, receiving tells why.
	_ = stream.Send(&davitv1.OpenConsoleRequest{Action: &davitv1.OpenConsoleRequest_Open{Open: k.open}})
	resp, err := stream.Recv()
	if err != nil {
		return opening(err)
	}
	opened := resp.GetOpened()
	if opened == nil {
		return fmt.Errorf("open console: the daemon began with %T", resp.GetEvent())
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if size := k.size.proto(); size != nil {
		_ = stream.Send(&davitv1.OpenConsoleRequest{Action: &davitv1.OpenConsoleRequest_Resize{Resize: size}})
	}
	if k.tries > 0 && opened.GetOffset() > k.offset {
		k.lost += opened.GetOffset() - k.offset
	}
	k.device, k.offset, k.stream = opened.GetDevice(), opened.GetOffset(), stream
	k.tries++
	k.changed.Broadcast()
	return nil
}

// reconnect waits for a daemon that went away, or for the monitor that takes the place of one that was killed, and reads on where the
// stream broke, or gives back why it broke.
func (k *Console) reconnect(broken error) error {
	orphaned := errors.Is(broken, errOrphaned)
	if !unavailable(broken) && !orphaned {
		return broken
	}
	k.mu.Lock()
	k.open.Start = &davitv1.ConsoleOpen_Offset{Offset: k.offset}
	k.mu.Unlock()
	for wait := (pause{window: k.client.retry}); wait.next(k.ctx); {
		err := k.connect()
		// Until the daemon has noticed that the connection before is gone, the console is ours and yet busy.
		switch {
		case err == nil:
			return nil
		case unavailable(err), errors.Is(err, errBusy), errors.Is(err, errOrphaned):
		case orphaned:
			return broken // and nothing took its place
		default:
			return err
		}
	}
	return broken
}

// errOrphaned is how a console ends whose domain's monitor was killed.
var errOrphaned = &domain.Error{Code: codes.Unavailable, Reason: davitv1.ErrorReason_ERROR_REASON_MONITOR_LOST}

var errBusy = &domain.Error{Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY}

// Device is the alias of the console.
func (k *Console) Device() string { return k.device }

// Offset is the place in the console's output of the next byte that the daemon will send; [ConsoleOptions] takes it.
func (k *Console) Offset() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.offset
}

// Lost is how many bytes of output were dropped because they were read too slowly: the domain never waits.
func (k *Console) Lost() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lost
}

// Read waits for output. It ends with [io.EOF] when the domain stopped and [ErrConsoleTaken] when another caller took
// the console.
func (k *Console) Read(p []byte) (int, error) {
	for len(k.unread) == 0 && len(p) > 0 {
		if err := k.receive(); err != nil {
			return 0, err
		}
	}
	n := copy(p, k.unread)
	k.unread = k.unread[n:]
	return n, nil
}

func (k *Console) receive() error {
	k.mu.Lock()
	stream, end := k.stream, k.end
	k.mu.Unlock()
	if end != nil {
		return end
	}
	resp, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return k.finish(io.ErrUnexpectedEOF)
	}
	if err != nil {
		return k.finish(k.reconnect(err))
	}
	switch event := resp.GetEvent().(type) {
	case *davitv1.OpenConsoleResponse_Output:
		k.arrive(event.Output)
	case *davitv1.OpenConsoleResponse_Closed:
		if event.Closed.GetReason() == davitv1.ConsoleCloseReason_CONSOLE_CLOSE_REASON_TAKEN {
			return k.finish(ErrConsoleTaken)
		}
		return k.finish(io.EOF)
	}
	return nil
}

// finish ends reading and writing, unless err is nil.
func (k *Console) finish(err error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.end = err
	k.changed.Broadcast()
	return err
}

func (k *Console) arrive(out *davitv1.ConsoleOutput) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if out.GetOffset() > k.offset {
		k.lost += out.GetOffset() - k.offset
	}
	k.offset = out.GetOffset() + uint64(len(out.GetData()))
	k.unread = out.GetData()
}

// Write types on the console.
func (k *Console) Write(p []byte) (int, error) {
	return writeChunks(p, func(chunk []byte) error {
		return k.request(&davitv1.OpenConsoleRequest{Action: &davitv1.OpenConsoleRequest_Input{Input: chunk}})
	})
}

// Resize sets the size of the terminal, also when the console is connected anew.
func (k *Console) Resize(size Size) error {
	if size.proto() == nil {
		return nil
	}
	k.mu.Lock()
	k.size = size
	k.mu.Unlock()
	return k.request(&davitv1.OpenConsoleRequest{Action: &davitv1.OpenConsoleRequest_Resize{Resize: size.proto()}})
}

// request sends on the stream that there is, or on the next when that one is broken and the reader has noticed.
func (k *Console) request(req *davitv1.OpenConsoleRequest) error {
	k.send.Lock()
	defer k.send.Unlock()
	for try := 0; ; {
		stream, err := k.nextStream(&try)
		if err != nil {
			return err
		}
		if err := sending(stream.Send(req)); !errors.Is(err, io.ErrClosedPipe) {
			return err
		}
	}
}

// nextStream waits for a stream that is not the one of the last try.
func (k *Console) nextStream(try *int) (consoleStream, error) {
	stop := context.AfterFunc(k.ctx, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.changed.Broadcast()
	})
	defer stop()
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.tries == *try && k.end == nil && k.ctx.Err() == nil {
		k.changed.Wait()
	}
	if k.end != nil || k.ctx.Err() != nil {
		return nil, io.ErrClosedPipe
	}
	*try = k.tries
	return k.stream, nil
}

// Close lets go of the console. The domain does not notice.
func (k *Console) Close() error {
	k.cancel()
	return nil
}

// Copy connects the console to in and out until the domain stops (nil), in ends (nil), or something fails. It closes the
// console, and writes nothing to out any more once it has returned. A read of in that is under way then goes on until it
// gets something, which is lost.
func (k *Console) Copy(in io.Reader, out io.Writer) error {
	ended, shown := make(chan error, 2), make(chan struct{})
	go func() {
		_, err := io.Copy(struct{ io.Writer }{k}, in)
		if errors.Is(err, io.ErrClosedPipe) {
			return // the other direction knows why
		}
		ended <- err
	}()
	go func() {
		defer close(shown)
		_, err := io.Copy(out, struct{ io.Reader }{k})
		ended <- err
	}()
	err := <-ended
	_ = k.Close()
	<-shown
	return err
}

// writeChunks sends p in pieces that fit into a message.
func writeChunks(p []byte, send func([]byte) error) (int, error) {
	written := 0
	for written < len(p) {
		chunk := p[written:min(len(p), written+maxInput)]
		if err := send(chunk); err != nil {
			return written, err
		}
		written += len(chunk)
	}
	return written, nil
}

// sending is the error of a send on a stream: one that is over, for a reason that receiving tells, is a closed pipe.
func sending(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrClosedPipe
	}
	return err
}

// opening is the error of a stream that ended before it was opened.
func opening(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// streamError is a stream's error as package domain has it.
func streamError(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return domain.FromStatus(err)
}
