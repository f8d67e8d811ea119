// Guest is the hostile program of the escape suite: static, with system calls of its own and nothing of the image.
//
//	guest ATTACK [ARGUMENT…] [-- ATTACK [ARGUMENT…]]…
//
// It makes each attack and tells as lines of JSON what it tried, how often that succeeded and with which errors it was refused.
// An attack that succeeds does no harm: it writes back what is there, and reads from devices at most.
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// attacks by name.
var attacks = map[string]func(r *report, args []string){
	"pause":           pause,
	"linger":          linger,
	"identity":        identity,
	"environment":     environment,
	"exit":            exit,
	"flip":            flip,
	"naked":           naked,
	"naked-read-only": nakedReadOnly,
	"naive-join":      naiveJoin,
	"naive-furnish":   naiveFurnish,
	"naive-mount":     naiveMount,
	"naive-mask":      naiveMask,
	"naive-cwd":       naiveCwd,
	"trap":            trap,
	"run":             runByPath,
	"exe-overwrite":   exeOverwrite,
	"join-spy":        joinSpy,
	"read":            read,
	"standard-input":  standardInput,
	"swap-terminals":  swapTerminals,
	"walk":            walk,
	"write-knobs":     writeKnobs,
	"leave-cgroup":    leaveCgroup,
	"release-agent":   releaseAgent,
	"open-devices":    openDevices,
	"use-handle":      useHandle,
	"mount-calls":     mountCalls,
	"mount-disks":     mountDisks,
	"kernel-calls":    kernelCalls,
	"io-uring":        ioUring,
	"use-keys":        useKeys,
	"open-sockets":    openSockets,
	"push-input":      pushInput,
	"connect":         connect,
	"kill-all":        killAll,
	"lift-masks":      liftMasks,
	"look-nested":     lookNested,
	"make-writable":   makeWritable,
	"foreign-calls":   foreignCalls,
	"int80":           int80Child,
	"flood":           flood,
	"as":              as,
	"exhaust":         exhaust,
	"bomb":            bomb,
	"set-clock":       setClock,
	"hold-calls":      holdCalls,
	"plant":           plant,
	"run-for-a-while": runForAWhile,
}

func main() {
	words := os.Args[1:]
	for len(words) > 0 {
		now := words
		words = nil
		if i := slices.Index(now, "--"); i >= 0 {
			now, words = now[:i], now[i+1:]
		}
		if len(now) == 0 {
			continue
		}
		r := newReport()
		if now[0] == "loop" && len(now) > 1 && attacks[now[1]] != nil {
			loop(r, attacks[now[1]], now[2:])
		} else if attack, ok := attacks[now[0]]; ok {
			attack(r, now[1:])
		} else {
			r.fact("error", fmt.Sprintf("no attack %q", now[0]))
		}
		r.tell(now[0])
	}
}

// pause waits for ever.
func pause(r *report, _ []string) {
	r.begun()
	for {
		// What is left behind by others is init's to reap.
		if _, err := unix.Wait4(-1, nil, 0, nil); errors.Is(err, unix.ECHILD) {
			_ = unix.Nanosleep(&unix.Timespec{Nsec: 20e6}, nil)
		}
	}
}

// linger lives for a moment, as a command does.
func linger(*report, []string) { <-time.After(100 * time.Millisecond) }

// exit ends the guest.
func exit(*report, []string) { os.Exit(0) }

// stopped tells whether the suite has had enough of an attack that goes on: it makes a file in the root.
func stopped() bool {
	_, err := os.Lstat("/stop")
	return err == nil
}

// loop makes an attack, quickly and again, until the suite stops it.
func loop(r *report, attack func(*report, []string), args []string) {
	r.begun()
	for !stopped() {
		attack(r, args)
	}
}

// flip has two files change places until it is stopped: ONE OTHER.
func flip(r *report, args []string) {
	r.begun()
	for n := 0; ; n++ {
		err := unix.Renameat2(unix.AT_FDCWD, args[0], unix.AT_FDCWD, args[1], unix.RENAME_EXCHANGE)
		r.try("flip", err)
		if n%64 == 0 && stopped() {
			return
		}
	}
}
