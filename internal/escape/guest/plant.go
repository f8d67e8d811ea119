package main

import (
	"errors"
	"os"
)

// plant leaves a setuid program behind for who comes to the root from outside, and opens the root to all.
func plant(r *report, _ []string) {
	program, err := os.ReadFile("/bin/guest")
	if err == nil {
		err = os.WriteFile("/bin/planted", program, 0o600)
	}
	r.try("plant", errors.Join(err, os.Chmod("/bin/planted", 0o755|os.ModeSetuid), os.Chmod("/bin", 0o755), os.Chmod("/", 0o755)))
}
