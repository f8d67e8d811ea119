package store

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

const (
	instanceName   = "instance"
	instanceDigits = 8
)

// readInstance reads the instance id, or makes it. A damaged one is refused and not replaced: everything that runs
// bears the old one.
func readInstance(lib *folder) (string, error) {
	b, err := lib.root.ReadFile(instanceName)
	if errors.Is(err, fs.ErrNotExist) {
		raw := make([]byte, instanceDigits/2)
		rand.Read(raw)
		id := hex.EncodeToString(raw)
		return id, lib.replace(instanceName, []byte(id+"\n"), true)
	}
	if err != nil {
		return "", err
	}
	id := strings.TrimSuffix(string(b), "\n")
	if _, err := hex.DecodeString(id); err != nil || len(id) != instanceDigits || id != strings.ToLower(id) {
		return "", fmt.Errorf("read %q: %.40q is not %d hex digits", lib.name+"/"+instanceName, id, instanceDigits)
	}
	return id, nil
}
