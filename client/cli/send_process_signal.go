package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) sendProcessSignal() command {
	var name, pid, signal string
	return command{
		name: "send-process-signal", help: "send signals to processes",
		operands: []operand{
			domainOperand(&name),
			{name: "pid", help: "the process ID inside the domain: 1 is its init", one: &pid},
			{name: "signame", help: "the signal number or name", one: &signal},
		},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			c, info, err := a.lookup(ctx, name)
			if err != nil {
				return err
			}
			process, err := strconv.ParseUint(pid, 10, 32)
			if err != nil {
				return badNumber(pid, "pid")
			}
			number, ok := signalNumber(signal)
			if !ok {
				return failed(nil, "malformed signal name: %s", signal)
			}
			_, err = c.SignalProcess(ctx, &davitv1.SignalProcessRequest{
				Domain: client.ByUUID(info.GetUuid()), GuestPid: uint32(process), Signal: strconv.Itoa(number),
			})
			return unsure(err)
		},
	}
}

// firstRealTime is the number of the signal that virsh calls rt0.
const firstRealTime = 32

// signalNumber reads a signal as virsh does: a number, or a name in either case with or without SIG or SIG_; rt0 to rt32
// are those from 32 on. libvirt's numbers are Linux's.
func signalNumber(word string) (int, bool) {
	if n, err := strconv.Atoi(word); err == nil && n >= 0 {
		return n, true
	}
	word = strings.ToLower(word)
	if bare, ok := strings.CutPrefix(word, "sig_"); ok {
		word = bare
	} else {
		word = strings.TrimPrefix(word, "sig")
	}
	if word == "nop" {
		return 0, true
	}
	if rt, ok := strings.CutPrefix(word, "rt"); ok {
		if n, err := strconv.Atoi(rt); err == nil && n >= 0 && n <= 32 {
			return firstRealTime + n, true
		}
	}
	n, err := domain.ParseSignal(word)
	return n, err == nil
}
