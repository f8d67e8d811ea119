package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// settimeofday passes no time and a time zone of zero, as it is on every host that davit runs on.
func settimeofday(zone *[2]int32) error {
	return call(unix.SYS_SETTIMEOFDAY, 0, uintptr(unsafe.Pointer(zone)))
}

// adjustClock sets the tick of a clock to a value that no kernel takes.
func adjustClock() error {
	timex := unix.Timex{Modes: unix.ADJ_TICK, Tick: 1}
	return call(unix.SYS_CLOCK_ADJTIME, unix.CLOCK_REALTIME, uintptr(unsafe.Pointer(&timex)))
}
