package escape_test

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// moreAttacks are those that the history of others' holes suggests beside them.
var moreAttacks = []attack{
	{
		id: "ESC-X1", name: "nested-domain", tries: "run davitd inside a domain and have it act on the host",
		guest: nestedDaemon, uncontrolled: "a davitd that acts on the host is the suite's own",
	},
	{
		id: "ESC-X2", name: "hook-flood", tries: "flood the output of a hook", needs: []need{{"hooks", func(*suite, profile) string {
			found := false
			fields := (&davitv1.Domain{}).ProtoReflect().Descriptor().Fields()
			for i := range fields.Len() {
				found = found || strings.Contains(string(fields.Get(i).Name()), "hook")
			}
			if !found {
				return "definitions have none"
			}
			return ""
		}}},
		client:       func(c *scene) string { c.t.Fatal("there are hooks, and no attack on them yet"); return "" },
		uncontrolled: "nothing to attack yet",
	},
	{
		id: "ESC-X4", name: "notify-held", tries: "hold calls for ever by a notifying filter of its own, and be entered and destroyed",
		guest: notifyHeld, control: notifyHeldNaked,
	},
	{
		id: "ESC-X5", name: "rename-during-start", tries: "rename a domain while it starts, again and again", client: renameRace,
		uncontrolled: "a daemon without an order of calls would have to be built",
	},
	{
		id: "ESC-X7", name: "image-configuration", tries: "be configured by files of the image", guest: imageConfiguration,
		control: imageConfigurationNaive,
	},
}

// nestedDaemon runs davitd in a domain that was given its program, as it would act on a host.
func nestedDaemon(c *scene) string {
	t := c.t
	for path := range c.host.programs {
		if base := path[strings.LastIndex(path, "/")+1:]; strings.HasPrefix(base, "davit") {
			program, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			mustWrite(t, c.rootfs+"/bin/"+base, string(program), 0o755)
		}
	}
	name := c.launch(t, domainOptions{}, "identity")
	c.heard(t, name)
	// It may start or be refused; it ends with the domain.
	r := c.exec(t, name, client.ExecOptions{}, "run-for-a-while", "/bin/davitd", "--root", "/opt")
	if r.done("start") == 0 {
		t.Fatalf("davitd was not started: %v", r)
	}
	return "it is started; the host shows no trace of it"
}

func notifyHeld(c *scene) string {
	t := c.t
	name := c.launch(t, domainOptions{}, "identity")
	c.heard(t, name)
	r := c.exec(t, name, client.ExecOptions{}, "hold-calls")
	if r.tried("install a notifying filter") == 0 {
		t.Fatalf("no filter was tried: %v", r)
	}
	c.exec(t, name, client.ExecOptions{}, "identity")
	c.destroy(t, name)
	return "it is entered and destroyed as ever"
}

func notifyHeldNaked(c *scene) string {
	if r := c.naked(c.t, "hold-calls"); r.done("install a notifying filter") == 0 {
		c.t.Fatalf("the attack does not work any more: %v", r)
	}
	return "an unconfined child holds a call of its own for ever"
}

func renameRace(c *scene) string {
	t := c.t
	c.profile = application
	c.own(t, domainOptions{})
	names := []string{"rename-a", "rename-b"}
	_, err := c.client.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: client.XML(c.document(domainOptions{name: names[0], argv: []string{"pause"}}))})
	if err != nil {
		t.Fatal(err)
	}
	started, renamed := 0, 0
	for range rounds() {
		var both sync.WaitGroup
		both.Go(func() {
			for _, name := range names {
				if _, err := c.client.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: client.ByName(name)}); err == nil {
					started++
				}
			}
		})
		for i := range names {
			if _, err := c.client.RenameDomain(t.Context(), &davitv1.RenameDomainRequest{Domain: client.ByName(names[i]), NewName: names[1-i]}); err == nil {
				renamed++
			}
		}
		both.Wait()
		for _, name := range names {
			_, _ = c.client.DestroyDomain(t.Context(), &davitv1.DestroyDomainRequest{Domain: client.ByName(name)})
		}
	}
	there := 0
	for _, name := range names {
		if _, err := c.client.UndefineDomain(t.Context(), &davitv1.UndefineDomainRequest{Domain: client.ByName(name)}); err == nil {
			there++
		}
	}
	if there != 1 {
		c.escapes(t, "there are %d domains of one", there)
	}
	if started == 0 || renamed == 0 {
		t.Fatalf("%d starts, %d renames: they do not meet", started, renamed)
	}
	return "it is one domain with one name all the while"
}

// configurations are files by which some runtime or other lets an image configure it.
var configurations = map[string]string{
	"etc/davit/davitd.toml": "driver = \"fake\"\n", "davitd.toml": "driver = \"fake\"\n", "config.json": `{"process":{"capabilities":{"bounding":["CAP_SYS_RAWIO"]}}}`,
	"domain.xml": "<domain type='lxc'><features><capabilities policy='allow'/></features></domain>", "machine.nspawn": "[Exec]\nCapability=all\nPrivateUsers=no\n",
	"etc/systemd/nspawn/x.nspawn": "[Exec]\nCapability=all\nPrivateUsers=no\n", "metadata.yaml": "templates: {}\n", "backup.yaml": "config: {security.privileged: true}\n",
}

func imageConfiguration(c *scene) string {
	for path, text := range configurations {
		mustWrite(c.t, c.rootfs+"/"+path, text, 0o644)
	}
	got := c.run(c.t, domainOptions{}, "identity").values()
	want := c.facts[c.profile]
	for _, fact := range []string{"CapBnd", "CapEff", "NoNewPrivs", "Seccomp", "descriptors"} {
		if got[fact] != want[fact] {
			c.escapes(c.t, "%s is %s, without the files %s", fact, got[fact], want[fact])
		}
	}
	return fmt.Sprintf("%d files change nothing", len(configurations))
}

func imageConfigurationNaive(c *scene) string {
	// What a definition of the same content does.
	o := domainOptions{elements: "<features><capabilities policy='deny'/></features>"}
	got := c.run(c.t, o, "identity").values()
	if got["CapBnd"] == c.facts[c.profile]["CapBnd"] {
		c.t.Fatal("no configuration changes anything")
	}
	return "the same in a definition changes the domain"
}
