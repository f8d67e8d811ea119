package native

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// lastWordBytes bounds the log of a monitor that is looked through for its last words.
const lastWordBytes = 1 << 20

// withLastWords completes the error of a monitor that hung up, or is gone, with what it wrote last about a fault of its own: whoever it hangs
// up on is not told why, and its log goes with the domain's state when a start is undone.
func (i *instance) withLastWords(err error) error {
	if !isDying(err) && !errors.Is(err, unix.ECONNREFUSED) || i.folder == nil {
		return err
	}
	text, failed := readAt(i.folder, logName, lastWordBytes)
	if failed != nil {
		return err
	}
	for _, line := range slices.Backward(bytes.Split(bytes.TrimSpace(text), []byte("\n"))) {
		var said struct{ Msg, Error string }
		if json.Unmarshal(line, &said) == nil && said.Error != "" {
			return fmt.Errorf("%w; its monitor said: %s: %s", err, said.Msg, said.Error)
		}
	}
	return err
}
