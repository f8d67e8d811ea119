package domain

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Signals of Linux by number (signal(7)), the same on every architecture that davit runs on. They are listed here, and
// not taken from the system, because a client of another system names them, too.
var signals = [...]string{
	1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 5: "TRAP", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL", 10: "USR1", 11: "SEGV",
	12: "USR2", 13: "PIPE", 14: "ALRM", 15: "TERM", 16: "STKFLT", 17: "CHLD", 18: "CONT", 19: "STOP", 20: "TSTP", 21: "TTIN",
	22: "TTOU", 23: "URG", 24: "XCPU", 25: "XFSZ", 26: "VTALRM", 27: "PROF", 28: "WINCH", 29: "IO", 30: "PWR", 31: "SYS",
}

// Real-time signals as the C library counts them.
const (
	sigRTMin = 34
	sigRTMax = 64
)

// ParseSignal reads a signal: its name with or without SIG, in either case, a real-time signal as RTMIN+3 or RTMAX-1, or
// a number from 1 to 64.
func ParseSignal(s string) (int, error) {
	if n, err := strconv.Atoi(s); err == nil && isDigits(s) && n >= 1 && n <= sigRTMax {
		return n, nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	for n, word := range signals {
		if word != "" && word == name {
			return n, nil
		}
	}
	if n, ok := aliases[name]; ok {
		return n, nil
	}
	if n, ok := parseRealTime(name); ok {
		return n, nil
	}
	return 0, &Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID, Op: "read signal",
		Message: fmt.Sprintf("%s is no signal: a name as in signal(7) or a number from 1 to %d", quote(s), sigRTMax),
	}
}

var aliases = map[string]int{"IOT": 6, "CLD": 17, "POLL": 29}

func parseRealTime(name string) (int, bool) {
	from, sign := sigRTMin, "+"
	rest, ok := strings.CutPrefix(name, "RTMIN")
	if !ok {
		from, sign = sigRTMax, "-"
		if rest, ok = strings.CutPrefix(name, "RTMAX"); !ok {
			return 0, false
		}
	}
	if rest == "" {
		return from, true
	}
	n, err := strconv.Atoi(strings.TrimPrefix(rest, sign))
	if err != nil || !strings.HasPrefix(rest, sign) || !isDigits(rest[1:]) || n > sigRTMax-sigRTMin {
		return 0, false
	}
	if sign == "-" {
		n = -n
	}
	return from + n, true
}

// SignalName is a signal by name, "SIGTERM", "SIGRTMIN+3"; its number where it has none.
func SignalName(n int) string {
	switch {
	case n > 0 && n < len(signals):
		return "SIG" + signals[n]
	case n == sigRTMin:
		return "SIGRTMIN"
	case n > sigRTMin && n <= sigRTMax:
		return "SIGRTMIN+" + strconv.Itoa(n-sigRTMin)
	}
	return strconv.Itoa(n)
}
