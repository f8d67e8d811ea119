package testenv

import (
	"os"
	"strconv"
	"time"
)

// Scale stretches a time that a test allows by DAVIT_TEST_SCALE, which the runner of the QEMU guest sets: processes are made
// fifty times slower there.
func Scale(d time.Duration) time.Duration {
	factor, err := strconv.ParseFloat(os.Getenv("DAVIT_TEST_SCALE"), 64)
	if err != nil || factor < 1 {
		return d
	}
	return time.Duration(float64(d) * factor)
}
