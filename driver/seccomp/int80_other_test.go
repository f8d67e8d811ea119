//go:build !amd64

package seccomp_test

import "errors"

// int80 is of amd64.
func int80() error { return errors.ErrUnsupported }
