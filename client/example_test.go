//go:build linux

package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"testing"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testdaemon"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestMain runs a daemon for the examples, where DAVIT_DEFAULT_URI says.
func TestMain(m *testing.M) {
	d, stop, err := testdaemon.Run()
	if err != nil {
		log.Fatal(err)
	}
	if err := os.Setenv(client.DefaultURI, d.Socket); err != nil {
		log.Fatal(err)
	}
	code := m.Run()
	stop()
	os.Exit(code)
}

const webXML = `<domain type='lxc'>
  <name>web</name>
  <memory unit='MiB'>64</memory>
  <os><type>exe</type><init>/bin/sh</init><initarg>-c</initarg><initarg>echo serving; cat</initarg></os>
  <devices><console type='pty'/></devices>
</domain>`

func destroy(c *client.Client, ref *davitv1.DomainRef) {
	if _, err := c.DestroyDomain(context.Background(), &davitv1.DestroyDomainRequest{Domain: ref}); err != nil {
		log.Print(err)
	}
}

// Define a domain, start it, and stop it again.
func Example() {
	ctx := context.Background()
	c, err := client.Dial("")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()

	defined, err := c.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: client.XML(webXML)})
	if err != nil {
		log.Fatal(err)
	}
	web := client.ByUUID(defined.GetDomain().GetUuid())
	started, err := c.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: web})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(started.GetDomain().GetName(), "is", domain.StateWord(started.GetDomain().GetState()))

	_, err = c.StartDomain(ctx, &davitv1.StartDomainRequest{Domain: web})
	fmt.Println("again:", errors.Is(err, domain.ErrFailedPrecondition))

	if _, err := c.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: web}); err != nil {
		log.Fatal(err)
	}
	if _, err := c.UndefineDomain(ctx, &davitv1.UndefineDomainRequest{Domain: web}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// web is running
	// again: true
}

// List the domains, then watch from the position that the list reflects: nothing is missed between the two.
func ExampleClient_Watch() {
	ctx := context.Background()
	c, err := client.Dial("")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()

	list, err := c.ListDomains(ctx, &davitv1.ListDomainsRequest{})
	if err != nil {
		log.Fatal(err)
	}
	created, err := c.CreateDomain(ctx, &davitv1.CreateDomainRequest{Source: client.XML(webXML)})
	if err != nil {
		log.Fatal(err)
	}
	for n, err := range c.Watch(ctx, client.WatchOptions{After: list.GetPosition()}) {
		if err != nil {
			log.Fatal(err)
		}
		if n.Resync != nil {
			fmt.Println("events are lost: list again")
		}
		if life := n.Event.GetLifecycle(); life != nil {
			what, detail := domain.EventWords(life)
			fmt.Println(n.Event.GetName(), what, detail)
			if life.GetType() == davitv1.LifecycleEventType_LIFECYCLE_EVENT_TYPE_STOPPED {
				break
			}
			go func() { // once it is started
				_, _ = c.DestroyDomain(ctx, &davitv1.DestroyDomainRequest{Domain: client.ByUUID(created.GetDomain().GetUuid())})
			}()
		}
	}
	// Output:
	// web Started Booted
	// web Stopped Destroyed
}

// Run a command in a domain and get its output and exit code.
func ExampleClient_Exec() {
	ctx := context.Background()
	c, err := client.Dial("")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	created, err := c.CreateDomain(ctx, &davitv1.CreateDomainRequest{Source: client.XML(webXML)})
	if err != nil {
		log.Fatal(err)
	}
	web := client.ByUUID(created.GetDomain().GetUuid())
	defer destroy(c, web)

	session, err := c.Exec(ctx, web, client.ExecOptions{Argv: []string{"sh", "-c", "echo hello from $LIBVIRT_LXC_NAME; exit 3"}})
	if err != nil {
		log.Fatal(err)
	}
	exit, err := session.Copy(nil, os.Stdout, os.Stderr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("exit code", exit.GetCode())
	// Output:
	// hello from web
	// exit code 3
}

// Read what a domain wrote to its console since it was started.
func ExampleClient_Console() {
	ctx := context.Background()
	c, err := client.Dial("")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	created, err := c.CreateDomain(ctx, &davitv1.CreateDomainRequest{Source: client.XML(webXML)})
	if err != nil {
		log.Fatal(err)
	}
	web := client.ByUUID(created.GetDomain().GetUuid())
	defer destroy(c, web)

	console, err := c.Console(ctx, web, client.ConsoleOptions{Scrollback: true, ReadOnly: true})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = console.Close() }()
	line := make([]byte, len("serving"))
	if _, err := console.Read(line); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", console.Device(), line)
	// Output:
	// console0: serving
}

// Read the log of a domain, which is there when the domain is gone, too.
func ExampleClient_Log() {
	ctx := context.Background()
	c, err := client.Dial("")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	created, err := c.CreateDomain(ctx, &davitv1.CreateDomainRequest{Source: client.XML(webXML)})
	if err != nil {
		log.Fatal(err)
	}
	uuid := created.GetDomain().GetUuid()

	// To follow ends when the domain is gone and has said all; what it says is escaped before it reaches a terminal.
	for line, err := range c.Log(ctx, uuid, client.LogOptions{Follow: true, Origin: "console0"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %q\n", line.GetOrigin(), line.GetText())
		destroy(c, client.ByUUID(uuid)) // it was transient
	}
	// Output:
	// console0: "serving"
}

// Measure the domains that are active.
func ExampleClient_Measure() {
	ctx := context.Background()
	c, err := client.Dial("")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	created, err := c.CreateDomain(ctx, &davitv1.CreateDomainRequest{Source: client.XML(webXML)})
	if err != nil {
		log.Fatal(err)
	}
	defer destroy(c, client.ByUUID(created.GetDomain().GetUuid()))

	active := true
	for m, err := range c.Measure(ctx, &davitv1.DomainFilter{Active: &active}) {
		if err != nil {
			log.Fatal(err)
		}
		limit := m.GetStats().GetMemoryLimitBytes()
		fmt.Println(m.GetDomain().GetName(), "may use", limit>>20, "MiB of memory")
	}
	// Output:
	// web may use 64 MiB of memory
}

// Drain the daemon before it is upgraded, as root, and let calls in again.
func ExampleDialAdmin() {
	ctx := context.Background()
	admin, err := client.DialAdmin("")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if _, err = admin.Drain(ctx, &davitv1.DrainRequest{}); err != nil {
		log.Fatal(err)
	}

	c, err := client.Dial("")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, err = c.DefineDomain(ctx, &davitv1.DefineDomainRequest{Source: client.XML(webXML)})
	var refused *domain.Error
	if errors.As(err, &refused) && refused.Reason == davitv1.ErrorReason_ERROR_REASON_DAEMON_DRAINING {
		fmt.Println("it takes no changes")
	}

	if _, err = admin.Undrain(ctx, &davitv1.UndrainRequest{}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// it takes no changes
}

// Attach memory to a running domain as a mount, and detach it again by the alias that it got.
func ExampleByAlias() {
	ctx := context.Background()
	c, err := client.Dial("")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	created, err := c.CreateDomain(ctx, &davitv1.CreateDomainRequest{Source: client.XML(webXML)})
	if err != nil {
		log.Fatal(err)
	}
	web := client.ByUUID(created.GetDomain().GetUuid())
	defer destroy(c, web)

	attached, err := c.AttachDevice(ctx, &davitv1.AttachDeviceRequest{Domain: web, Source: client.DeviceXML(
		"<filesystem type='ram'><source usage='64' units='MiB'/><target dir='/scratch'/></filesystem>"), Affect: davitv1.Affect_AFFECT_LIVE})
	if err != nil {
		log.Fatal(err)
	}
	alias := attached.GetDevice().GetFilesystem().GetAlias()
	fmt.Println("attached as", alias)

	detached, err := c.DetachDevice(ctx, &davitv1.DetachDeviceRequest{Domain: web, Device: client.ByAlias(alias)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("detached from", detached.GetDevice().GetFilesystem().GetTargetDir())

	_, err = c.DetachDevice(ctx, &davitv1.DetachDeviceRequest{Domain: web, Device: client.ByAlias(alias)})
	fmt.Println("again:", errors.Is(err, domain.ErrNotFound))
	// Output:
	// attached as fs0
	// detached from /scratch
	// again: true
}
