package rpc_test

import (
	"fmt"
	"strings"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// describe is an event in words.
func describe(ev *davitv1.Event) string {
	switch k := ev.GetKind().(type) {
	case *davitv1.Event_Lifecycle:
		kind, detail := domain.EventWords(k.Lifecycle)
		text := fmt.Sprintf("%s: %s %s", ev.GetName(), kind, detail)
		if k.Lifecycle.GetExit() != nil {
			text += " (" + ending(k.Lifecycle.GetExit()) + ")"
		}
		return text
	case *davitv1.Event_Reboot:
		return fmt.Sprintf("%s: reboot %d", ev.GetName(), k.Reboot.GetCount())
	case *davitv1.Event_MetadataChange:
		return fmt.Sprintf("%s: metadata-change %v %s", ev.GetName(), k.MetadataChange.GetType(), k.MetadataChange.GetUri())
	case *davitv1.Event_Device:
		return fmt.Sprintf("%s: %s %s %s", ev.GetName(), strings.ToLower(strings.TrimPrefix(k.Device.GetType().String(), "DEVICE_EVENT_TYPE_")),
			k.Device.GetAlias(), k.Device.GetCause())
	case *davitv1.Event_Oom:
		return fmt.Sprintf("%s: oom %d", ev.GetName(), k.Oom.GetCount())
	}
	return fmt.Sprintf("%s: %T", ev.GetName(), ev.GetKind())
}

// ending is how an init ended, in words.
func ending(x *davitv1.Exit) string {
	text := "unknown"
	switch how := x.GetHow().(type) {
	case *davitv1.Exit_Code:
		text = fmt.Sprintf("code %d", how.Code)
	case *davitv1.Exit_Signal:
		text = fmt.Sprintf("signal %d", how.Signal)
	}
	if x.GetOomKilled() {
		text += ", out of memory"
	}
	return text
}
