package main

import (
	"bufio"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"
)

// obedient is what the process is called once it obeys.
const obedient = "obedient"

// endings are the statuses that obey exits with for a signal.
var endings = map[os.Signal]int{unix.SIGUSR1: 21, unix.SIGUSR2: 22, unix.SIGTERM: 23}

// obey writes its arguments, answers each line of standard input with another, and exits when a signal tells it to. Who sends
// one from outside can see by the name of the process that it will be heard.
func obey(args []string) error {
	ends := make(chan os.Signal, 1)
	for s := range endings {
		signal.Notify(ends, s)
	}
	say(strings.Join(args, " "))
	// prctl names a thread, which is the first one, that others see, only by chance.
	if err := os.WriteFile("/proc/self/comm", []byte(obedient), 0); err != nil {
		return err
	}
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			say("heard " + lines.Text())
		}
	}()
	os.Exit(endings[<-ends])
	return nil
}
