package domain_test

import (
	"fmt"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A document is admitted, changed through the model, and written again.
func Example() {
	doc := `<domain type='lxc'>
  <name>web</name>
  <memory unit='MiB'>64</memory>
  <os><type>exe</type><init>/bin/sh</init></os>
</domain>`
	def, warnings, err := domain.Read(
		&davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: doc}},
		domain.ReadOptions{Host: domain.HostDefaults{
			Arch:    "x86_64",
			NewUUID: func() string { return "6f1d2c3b-4a59-4687-9876-5a4b3c2d1e0f" },
		}},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	def.Os.Initarg = []string{"-c", "exec sleep 1000"}
	xml, err := domain.FormatXML(def, domain.FormatOptions{Inactive: true})
	fmt.Print(xml)
	fmt.Println(len(warnings), err)
	// Output:
	// <domain type='lxc'>
	//   <name>web</name>
	//   <uuid>6f1d2c3b-4a59-4687-9876-5a4b3c2d1e0f</uuid>
	//   <memory unit='KiB'>65536</memory>
	//   <currentMemory unit='KiB'>65536</currentMemory>
	//   <vcpu placement='static'>1</vcpu>
	//   <os>
	//     <type arch='x86_64'>exe</type>
	//     <init>/bin/sh</init>
	//     <initarg>-c</initarg>
	//     <initarg>exec sleep 1000</initarg>
	//   </os>
	//   <clock offset='utc'/>
	//   <on_poweroff>destroy</on_poweroff>
	//   <on_reboot>restart</on_reboot>
	//   <on_crash>destroy</on_crash>
	//   <devices>
	//     <emulator>/usr/libexec/libvirt_lxc</emulator>
	//     <console type='pty'>
	//       <target type='lxc' port='0'/>
	//     </console>
	//   </devices>
	// </domain>
	// 0 <nil>
}

// Faults are told all at once, each with its place.
func ExampleParseXML() {
	_, _, err := domain.ParseXML([]byte(`<domain type='kvm'>
  <memory unit='lots'>1</memory>
</domain>`), domain.ParseOptions{})
	fmt.Println(err)
	// Output:
	// read domain XML
	//   1:9: /domain/@type: "kvm" is not lxc
	//   2:11: /domain/memory/@unit: unit "lots" is not one of bytes, KB, KiB, MB, MiB, GB, GiB, TB, TiB, PB, PiB, EB, EiB
}

// The lifecycle says what an action leads to and which events tell it.
func ExampleNext() {
	next, err := domain.Next(domain.Starting, domain.Started)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(next.To)
	for _, e := range next.Events {
		fmt.Println(domain.EventWords(e))
	}
	_, err = domain.Next(next.To, domain.Start)
	fmt.Println(err)
	// Output:
	// running (booted)
	// Started Booted
	// start domain: domain is already running
}
