package wire

import (
	"fmt"
	"runtime/debug"
	"sync"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Greet says hello and waits for the other side's: what the side that connected does first. It fails if the other side
// speaks another protocol.
func (c *Conn) Greet(own *monitorv1.Hello) (*monitorv1.Hello, error) {
	if err := c.Hail(own); err != nil {
		return nil, err
	}
	return c.Hear()
}

// Hail is the first half of [Conn.Greet], by which nothing is waited for: what follows is answered after the hello.
func (c *Conn) Hail(own *monitorv1.Hello) error {
	if err := c.Send(spoken(own)); err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	return nil
}

// Hear is the second half.
func (c *Conn) Hear() (*monitorv1.Hello, error) {
	other := new(monitorv1.Hello)
	if _, err := c.Receive(other); err != nil {
		return nil, fmt.Errorf("greet: %w", err)
	}
	return other, checkProtocol(other)
}

// Answer waits for the other side's hello and says it too: what the side that listens does first. If the other side
// speaks another protocol it is told so before Answer fails.
func (c *Conn) Answer(own *monitorv1.Hello) (*monitorv1.Hello, error) {
	other := new(monitorv1.Hello)
	if _, err := c.Receive(other); err != nil {
		return nil, fmt.Errorf("greet: %w", err)
	}
	if err := c.Send(spoken(own)); err != nil {
		return nil, fmt.Errorf("greet: %w", err)
	}
	if err := checkProtocol(other); err != nil {
		_ = c.Send(ToProto(err)) // a courtesy: the caller is refused either way
		return nil, err
	}
	return other, nil
}

// spoken is a hello with the protocol in it. It is a copy, for a server greets many at once with the same one.
func spoken(h *monitorv1.Hello) *monitorv1.Hello {
	return &monitorv1.Hello{
		Protocol: Protocol, Revision: Revision, Version: h.GetVersion(), Uuid: h.GetUuid(), Generation: h.GetGeneration(), Pid: h.GetPid(),
	}
}

// checkProtocol refuses a side that speaks another protocol.
func checkProtocol(h *monitorv1.Hello) error {
	if h.GetProtocol() == Protocol {
		return nil
	}
	return &Error{
		Operation: "greet",
		Message:   fmt.Sprintf("version %q speaks protocol %d, not %d", h.GetVersion(), h.GetProtocol(), Protocol),
		Kind:      monitorv1.ErrorKind_ERROR_KIND_INVALID,
	}
}

// version is what [Version] has found.
var version struct {
	sync.Once
	text string
}

// Version is the version of the program, as it was built. It is told at each hello, and looked up once.
func Version() string {
	version.Do(func() {
		version.text = "(devel)"
		if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
			version.text = info.Main.Version
		}
	})
	return version.text
}
