package cli

import (
	"context"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) domiflist() command {
	var name string
	var inactive bool
	return command{
		name: "domiflist", help: "list all domain virtual interfaces",
		operands: []operand{domainOperand(&name)},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&inactive, "inactive", false, "get inactive rather than running configuration")
		},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			all, err := a.interfaces(ctx, name, inactive)
			if err != nil {
				return err
			}
			if a.notation != text {
				return a.show(rowsOf(all))
			}
			t := newTable("Interface", "Type", "Source", "Model", "MAC")
			for _, i := range all {
				if i.GetAlias() == "" && i.GetType() == davitv1.InterfaceType_INTERFACE_TYPE_UNSPECIFIED {
					continue // the guest made it
				}
				t.add(orDash(endOf(i)), orDash(typeWord(i.GetType())), orDash(i.GetSource()), "-", orDash(i.GetMac()))
			}
			a.printTable(t)
			return nil
		},
	}
}

// interfaces are those of a domain.
func (a *app) interfaces(ctx context.Context, name string, inactive bool) ([]*davitv1.InterfaceStatus, error) {
	c, info, err := a.lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	resp, err := c.ListInterfaces(ctx, &davitv1.ListInterfacesRequest{Domain: client.ByUUID(info.GetUuid()), Inactive: inactive})
	return resp.GetInterfaces(), err
}

// endOf is the name of an interface on the host or, where it has no end there, inside.
func endOf(i *davitv1.InterfaceStatus) string {
	if i.GetHostDev() != "" {
		return i.GetHostDev()
	}
	return i.GetGuestDev()
}

// typeWord is what an interface is attached to, in the word of the XML; empty for what has none.
func typeWord(t davitv1.InterfaceType) string {
	if t == davitv1.InterfaceType_INTERFACE_TYPE_UNSPECIFIED {
		return ""
	}
	word, _ := enumWord(t.Descriptor(), t.Number()).(string)
	return word
}

// rowsOf are messages as the list that show takes, each with what it has.
func rowsOf[T proto.Message](all []T) []any {
	rows := make([]any, 0, len(all))
	for _, one := range all {
		rows = append(rows, sparse{one})
	}
	return rows
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
