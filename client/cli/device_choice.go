package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// deviceChoice is the choice for an operand or option of a command about devices, nil when it is none of theirs.
func deviceChoice(command, name string) choice {
	switch command + " " + name {
	case "attach-disk source", "attach-filesystem source":
		return files
	case "attach-disk type":
		return among("disk")
	case "attach-disk mode":
		return among("readonly", "shareable")
	case "attach-disk sourcetype":
		return among("block", "file")
	case "attach-disk cache":
		return among("default", "none")
	case "attach-interface type", "detach-interface type":
		return among("bridge", "direct", "ethernet", "network")
	case "attach-interface source-mode":
		return among("bridge", "passthrough", "private", "vepa")
	case "attach-interface ipvlan":
		return among("l2")
	case "attach-filesystem type":
		return among("bind", "block", "file", "mount", "ram")
	case "attach-filesystem accessmode":
		return among("mapped", "passthrough")
	case "attach-filesystem overlay":
		return among("discard", "keep")
	case "domif-setlink state":
		return among("down", "up")
	case "domifaddr source":
		return among("agent")
	case "detach-device-alias alias":
		return devicesBy(aliases)
	case "detach-disk target", "domblkinfo device", "domblkstat device":
		return devicesBy(targets)
	case "detach-filesystem target":
		return devicesBy(mountpoints)
	case "detach-interface mac":
		return devicesBy(macs)
	case "domif-setlink interface", "domif-getlink interface", "domifstat interface", "domiftune interface":
		return devicesBy(func(d *davitv1.Device) []string { return append(hostEnds(d), macs(d)...) })
	case "domifaddr interface":
		return devicesBy(hostEnds)
	}
	return nil
}

// devicesBy offers what names the devices of the domain that the line is about.
func devicesBy(names func(*davitv1.Device) []string) choice {
	return func(ctx context.Context, a *app, typed string) ([]string, cobra.ShellCompDirective) {
		_, info, err := a.inspect(ctx, a.subject, scope{})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var offers []string
		for _, d := range domain.Devices(info.GetDefinition()) {
			for _, word := range names(d) {
				if word != "" && strings.HasPrefix(word, typed) && a.showable(word) {
					offers = append(offers, word+"\t"+cell(domain.DescribeDevice(d)))
				}
			}
		}
		return offers, cobra.ShellCompDirectiveNoFileComp
	}
}

func aliases(d *davitv1.Device) []string { return []string{domain.DeviceAlias(d)} }

func targets(d *davitv1.Device) []string { return []string{d.GetDisk().GetTargetDev()} }

func mountpoints(d *davitv1.Device) []string { return []string{d.GetFilesystem().GetTargetDir()} }

func macs(d *davitv1.Device) []string { return []string{d.GetInterface().GetMac()} }

func hostEnds(d *davitv1.Device) []string { return []string{d.GetInterface().GetTargetDev()} }

// subjectOf is the domain that the words of a line name, empty if none does yet.
func subjectOf(c *cobra.Command, given []string) string {
	f := c.Flags().Lookup("domain")
	switch {
	case f == nil:
		return ""
	case f.Changed:
		return f.Value.String()
	case len(given) > 0:
		return given[0]
	}
	return ""
}
