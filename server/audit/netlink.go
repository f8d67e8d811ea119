package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxMessage is a little less than the longest text that the kernel takes (MAX_AUDIT_MESSAGE_LENGTH).
	maxMessage = 8192
	// answerLimit is how long the kernel may take to answer.
	answerLimit = 5 * time.Second
)

// netlink is a socket to the kernel's audit.
type netlink struct {
	fd       int
	sequence uint32
}

func openNetlink() (*netlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		return nil, err
	}
	limit := unix.NsecToTimeval(answerLimit.Nanoseconds())
	err = errors.Join(
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit),
	)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return &netlink{fd: fd}, nil
}

func (n *netlink) close() error { return unix.Close(n.fd) }

// send sends one record and waits for the kernel to take it.
func (n *netlink) send(kind uint16, text string) error {
	n.sequence++
	if err := unix.Sendto(n.fd, message(kind, n.sequence, text), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send to the kernel's audit: %w", err)
	}
	answer := make([]byte, maxMessage+unix.SizeofNlMsghdr)
	for {
		size, from, err := unix.Recvfrom(n.fd, answer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("hear from the kernel's audit: %w", err)
		}
		if kernel, ok := from.(*unix.SockaddrNetlink); !ok || kernel.Pid != 0 {
			continue // another process
		}
		if done, err := answered(answer[:size], n.sequence); done {
			return err
		}
	}
}

// message is a netlink message with a text, which ends with NUL.
func message(kind uint16, sequence uint32, text string) []byte {
	text = text[:min(len(text), maxMessage)] + "\x00"
	m := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(text)+unix.NLMSG_ALIGNTO)
	binary.NativeEndian.PutUint32(m[0:], uint32(unix.SizeofNlMsghdr+len(text)))
	binary.NativeEndian.PutUint16(m[4:], kind)
	binary.NativeEndian.PutUint16(m[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	binary.NativeEndian.PutUint32(m[8:], sequence)
	m = append(m, text...)
	for len(m)%unix.NLMSG_ALIGNTO != 0 {
		m = append(m, 0)
	}
	return m
}

// answered tells whether data holds the answer to a message, and the error that it is.
func answered(data []byte, sequence uint32) (done bool, err error) {
	if len(data) < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(data[4:]) != unix.NLMSG_ERROR ||
		binary.NativeEndian.Uint32(data[8:]) != sequence {
		return false, nil
	}
	if code := int32(binary.NativeEndian.Uint32(data[unix.SizeofNlMsghdr:])); code != 0 {
		return true, fmt.Errorf("the kernel's audit refuses: %w", unix.Errno(-code))
	}
	return true, nil
}
