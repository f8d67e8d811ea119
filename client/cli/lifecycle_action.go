package cli

import (
	"context"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) setLifecycleAction() command {
	var name, kind, word string
	var s scope
	return command{
		name: "set-lifecycle-action", help: "change lifecycle actions",
		operands: []operand{
			domainOperand(&name),
			{name: "type", help: "lifecycle type to modify: poweroff, reboot or crash", one: &kind},
			{name: "action", help: "lifecycle action to set: destroy, restart, preserve or rename-restart", one: &word},
		},
		flags:     func(f *pflag.FlagSet) { s.flags(f, "affect") },
		exclusive: scopesExclude(),
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			action, known := lifecycleActions()[word]
			def := &davitv1.Domain{}
			switch kind {
			case "poweroff":
				def.OnPoweroff = action
			case "reboot":
				def.OnReboot = action
			case "crash":
				def.OnCrash = action
			default:
				return failed(nil, "Invalid lifecycle type '%s'.", kind)
			}
			if !known {
				return failed(nil, "Invalid lifecycle action '%s'.", word)
			}
			if err := a.change(ctx, name, s, def, "on_"+kind); err != nil {
				return failed(unsure(err), "Unable to change lifecycle action.")
			}
			return nil
		},
	}
}

func lifecycleActions() map[string]davitv1.LifecycleAction {
	return map[string]davitv1.LifecycleAction{
		"destroy":          davitv1.LifecycleAction_LIFECYCLE_ACTION_DESTROY,
		"restart":          davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART,
		"preserve":         davitv1.LifecycleAction_LIFECYCLE_ACTION_PRESERVE,
		"rename-restart":   davitv1.LifecycleAction_LIFECYCLE_ACTION_RENAME_RESTART,
		"coredump-destroy": davitv1.LifecycleAction_LIFECYCLE_ACTION_COREDUMP_DESTROY,
		"coredump-restart": davitv1.LifecycleAction_LIFECYCLE_ACTION_COREDUMP_RESTART,
	}
}
