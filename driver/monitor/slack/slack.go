// Package slack lets the Go runtime watch over a process less often.
//
// A thread of the runtime looks every 20 microseconds, while anything runs, whether another hangs in a system call or should
// make room for others. Where processors are few it takes one away from who works, each time. The kernel may delay what sleeps by
// the slack of its thread (prctl(2), PR_SET_TIMERSLACK), which is 50 microseconds. [Widen] gives that one thread [Watcher], so that it
// looks, at worst, as often as the kernel's own clock ticks; every other thread keeps what it has. What the delay costs: whoever waits in a
// system call that the runtime did not expect to wait holds the place of others for so much longer.
//
// A thread has the slack of the one that made it, and keeps it over an exec. What becomes of a guest must therefore be given
// [Default], which package launch does.
package slack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// Default is what the kernel gives the first process, and so all others.
	Default = 50 * time.Microsecond
	// Watcher is what the thread gets that watches.
	Watcher = 2 * time.Millisecond
)

// Widen gives the thread that watches its slack. It needs CAP_SYS_NICE and a kernel that lets another thread's slack be set; without,
// it has no effect and is no error. Called by the main goroutine before it has begun anything else, so that threads that come later are
// made by one with the default. That many of them are made at once: one that the watcher itself has to make would have its slack.
func Widen(threads int) error {
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(Default), 0, 0, 0); err != nil {
		return fmt.Errorf("set timer slack: %w", err)
	}
	muster(threads)
	watcher, err := findWatcher()
	if err != nil {
		return fmt.Errorf("find thread that watches: %w", err)
	}
	err = os.WriteFile("/proc/"+watcher+"/timerslack_ns", []byte(strconv.FormatInt(int64(Watcher), 10)), 0)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("set timer slack of thread %s: %w", watcher, err)
	}
	return nil
}

// muster has the runtime make threads, which it keeps.
func muster(threads int) {
	var there, done sync.WaitGroup
	gone := make(chan struct{})
	there.Add(threads)
	for range threads {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			there.Done()
			<-gone
		})
	}
	there.Wait()
	close(gone)
	done.Wait()
}

// findWatcher finds the thread that watches: the runtime makes it first of all, and the kernel lists threads in the order in which they
// were made.
func findWatcher() (string, error) {
	folder, err := os.Open("/proc/self/task")
	if err != nil {
		return "", err
	}
	names, err := folder.Readdirnames(2)
	if err = errors.Join(err, folder.Close()); err != nil {
		return "", err
	}
	if len(names) < 2 || names[0] != strconv.Itoa(os.Getpid()) {
		return "", fmt.Errorf("the first threads are %q", names)
	}
	return names[1], nil
}
