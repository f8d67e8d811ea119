package cli

import (
	"errors"
	"slices"
	"testing"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Places in XML belong to options that the commands have, and all that a device is made of belongs to one.
func TestPlacesOfOptions(t *testing.T) {
	a := &app{}
	notOfDevice := []string{"domain", "print-xml", "persistent", "live", "config", "current"}
	for _, c := range []struct {
		command command
		places  optionPlaces
	}{{a.attachDisk(), diskPlaces}, {a.attachInterface(), interfacePlaces}, {a.attachFilesystem(), filesystemPlaces}} {
		var has []string
		for _, o := range c.command.operands {
			has = append(has, o.name)
		}
		f := pflag.NewFlagSet("", pflag.ContinueOnError)
		c.command.flags(f)
		f.VisitAll(func(f *pflag.Flag) { has = append(has, f.Name) })
		var placed []string
		for place, option := range c.places {
			if !slices.Contains(has, option) {
				t.Errorf("%s: %q is of option %q, which it has not", c.command.name, place, option)
			}
			placed = append(placed, option)
		}
		for _, option := range has {
			if !slices.Contains(placed, option) && !slices.Contains(notOfDevice, option) {
				t.Errorf("%s: no place is of option %q", c.command.name, option)
			}
		}
	}
}

// A place is told by the option that it was made of, wherever the device is; another stays.
func TestOptionOfPlace(t *testing.T) {
	for _, c := range []struct {
		p           optionPlaces
		place, want string
	}{
		{diskPlaces, "/disk/driver/@io", "option --io"},
		{diskPlaces, "/domain/devices/disk[2]/source/@file", "option --source"},
		{interfacePlaces, "/domain/devices/interface[3]/ip[1]/@prefix", "option --ip"},
		{interfacePlaces, "/interface/bandwidth/outbound/@peak", "option --outbound"},
		{interfacePlaces, "/interface/source/@mode", "option --source-mode"},
		{filesystemPlaces, "/filesystem/@type", "option --type"},
		{diskPlaces, "/disk/address/@unit", "/disk/address/@unit"},
		{diskPlaces, "/domain/memory", "/domain/memory"},
		{diskPlaces, "", ""},
	} {
		if got := c.p.option(c.place); got != c.want {
			t.Errorf("%q is told as %q, want %q", c.place, got, c.want)
		}
	}
	e := &domain.Error{
		Reason: davitv1.ErrorReason_ERROR_REASON_CONFIG_UNSUPPORTED, Message: "/domain/devices/disk[1]/source/@file: it is wrong",
		Detail: map[string]string{"path": "/domain/devices/disk[1]/source/@file"},
	}
	if told, ok := errors.AsType[*domain.Error](diskPlaces.named(e)); !ok || told.Message != "option --source: it is wrong" {
		t.Errorf("%+v", told)
	}
	if told := optionPlaces(nil).named(e); !errors.Is(told, e) {
		t.Errorf("of a file: %v", told)
	}
}
