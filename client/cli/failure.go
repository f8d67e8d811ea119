package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/davitd/davit/convert"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// usageError is a command line that cannot be understood. Nothing was done.
type usageError string

func (e usageError) Error() string { return string(e) }

func usage(format string, args ...any) error { return usageError(fmt.Sprintf(format, args...)) }

// failure is an error in virsh's two lines: what was being done, and why it was not.
type failure struct {
	doing string
	cause error
}

func (e *failure) Error() string { return e.doing }
func (e *failure) Unwrap() error { return e.cause }

// failed says what was being done when err happened; the cause may be nil.
func failed(cause error, format string, args ...any) error {
	return &failure{fmt.Sprintf(format, args...), cause}
}

// report writes an error to standard error, each line as virsh has it.
func (a *app) report(err error) {
	a.find(err)
	all := lines(err, notationOf("", []byte(a.given)))
	excerpts := a.excerpts(err, len(all))
	for i, line := range all {
		a.paint(a.err, red, "error:")
		a.err.printf(" %s\n%s", line, excerpts[i])
	}
	if h, ok := errors.AsType[*hinted](err); ok {
		a.err.printf("hint: %s\n", h.hint)
	}
	if e, ok := errors.AsType[*domain.Error](err); ok && e.Reason == davitv1.ErrorReason_ERROR_REASON_DAEMON_DRAINING {
		a.err.printf("hint: it takes them again when it is started anew, or after 'admin undrain'\n")
	}
}

// warn writes a warning, which -q hides.
func (a *app) warn(format string, args ...any) {
	if !a.quiet {
		a.err.printf("warning: "+format+"\n", args...)
	}
}

func (a *app) warnAll(warnings []*davitv1.Warning) {
	for _, w := range warnings {
		place := w.GetXmlPath()
		if place != "" {
			place += ": "
		}
		a.warn("%s%s", place, w.GetMessage())
	}
}

// lines are the words for an error, about a document in a notation if it is about one.
func lines(err error, notation string) []string {
	if f, ok := errors.AsType[*failure](err); ok {
		if f.cause == nil {
			return []string{f.doing}
		}
		return append([]string{f.doing}, lines(f.cause, notation)...)
	}
	if c, ok := errors.AsType[*convert.Error](err); ok {
		return c.Lines()
	}
	var e *domain.Error
	if !errors.As(err, &e) {
		return []string{plain(err)}
	}
	category := category(e)
	if category == xmlError && notation != inXML {
		category = strings.ToUpper(notation) + " error: "
	}
	if len(e.Violations) == 0 {
		return []string{category + message(e)}
	}
	var all []string
	for _, v := range e.Violations {
		if notation != inXML && v.Field != "" {
			v.XMLPath = "" // the document has fields
		}
		all = append(all, category+v.String())
	}
	return all
}

// message is what a domain error says beside what was attempted, which virsh's first line says already.
func message(e *domain.Error) string {
	text := e.Message
	if e.Err != nil {
		text = strings.TrimPrefix(text+": "+plain(e.Err), ": ")
	}
	if text == "" {
		text = e.Error()
	}
	return text
}

// plain is the text of an error that is not davit's; those of the system are spelt as in C.
func plain(err error) string {
	if path, ok := err.(*fs.PathError); ok { //nolint:errorlint // whoever wraps one has something to say beside it
		err = path.Err
	}
	var errno syscall.Errno
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.As(err, &errno):
		return strings.Replace(err.Error(), errno.Error(), capital(errno.Error()), 1)
	case errors.Is(err, os.ErrNotExist):
		return capital(syscall.ENOENT.Error())
	}
	return err.Error()
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// hasReason tells whether an error is the daemon's, with a reason.
func hasReason(err error, reason davitv1.ErrorReason) bool {
	e, ok := errors.AsType[*domain.Error](err)
	return ok && e.Reason == reason
}

// xmlError is libvirt's prefix for faults of documents.
const xmlError = "XML error: "

// category is libvirt's prefix for a kind of error.
func category(e *domain.Error) string {
	switch e.Reason {
	case davitv1.ErrorReason_ERROR_REASON_DOMAIN_NOT_FOUND:
		return "Domain not found: "
	case davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE:
		return "Requested operation is not valid: "
	case davitv1.ErrorReason_ERROR_REASON_NAME_IN_USE, davitv1.ErrorReason_ERROR_REASON_UUID_IN_USE,
		davitv1.ErrorReason_ERROR_REASON_START_FAILED, davitv1.ErrorReason_ERROR_REASON_DEFINITION_CHANGED,
		davitv1.ErrorReason_ERROR_REASON_MONITOR_LOST, davitv1.ErrorReason_ERROR_REASON_DEVICE_EXISTS,
		davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED, davitv1.ErrorReason_ERROR_REASON_PROCESS_STUCK:
		return "operation failed: "
	case davitv1.ErrorReason_ERROR_REASON_DOCUMENT_MALFORMED, davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID:
		return xmlError
	case davitv1.ErrorReason_ERROR_REASON_CONFIG_UNSUPPORTED, davitv1.ErrorReason_ERROR_REASON_HOST_UNSUPPORTED:
		return "unsupported configuration: "
	case davitv1.ErrorReason_ERROR_REASON_DRIVER_UNSUPPORTED:
		return "this function is not supported by the connection driver: "
	case davitv1.ErrorReason_ERROR_REASON_JOB_IN_PROGRESS:
		return "Timed out during operation: "
	case davitv1.ErrorReason_ERROR_REASON_ACCESS_DENIED:
		return "access denied: "
	case davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID:
		return "invalid argument: "
	case davitv1.ErrorReason_ERROR_REASON_DEVICE_NOT_FOUND:
		return "device not found: "
	case davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY, davitv1.ErrorReason_ERROR_REASON_DEVICE_BUSY:
		return "resource busy: "
	case davitv1.ErrorReason_ERROR_REASON_INTERNAL:
		return "internal error: "
	default: // the message says it all
		return ""
	}
}
