package domain_test

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const effectHead = `
## What changes when

A definition can be replaced at any time; a running domain takes the new one when it starts the next time. ` + "`davit diff`" + `
and ` + "`davit define --dry-run`" + ` tell of each field that differs what the change comes down to: *live*, a running domain can be
changed so (by UpdateDomain: ` + "`setmem`, `memtune`, `schedinfo`, `set-lifecycle-action`, `desc`, `metadata` with `--live`" + `); *next boot*; *redefine*,
it would be another domain; *impossible here*, the host cannot do it as it is now; *none*, it is kept and nothing acts on it, as
[the XML's page](xml.md) says of fields. All fields that are not in the table change at the next boot,
and so does ` + "`current_memory_kib`" + ` where it is above the memory that the domain was started with. Of a list of devices *live* means that a
device can come and go as a whole, by AttachDevice and DetachDevice (` + "`attach-device`, `detach-device`" + `) and but for the root, and of what is below
it that UpdateDevice can change it (` + "`update-device`" + `).

| field | XML | change | |
|---|---|---|---|
`

// effectsPage is what changes when, for the page of lifecycles: the fields that do not merely wait for the next start.
func effectsPage() string {
	var b strings.Builder
	b.WriteString(effectHead)
	effects(&b, (&davitv1.Domain{}).ProtoReflect().Descriptor(), "")
	return b.String()
}

func effects(b *strings.Builder, md protoreflect.MessageDescriptor, above string) {
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		path := above + string(fd.Name())
		effect, why := domain.EffectOf(path)
		switch {
		case effect == davitv1.ChangeEffect_CHANGE_EFFECT_NONE:
		case effect == davitv1.ChangeEffect_CHANGE_EFFECT_NEXT_BOOT && why == "":
			if fd.Message() != nil {
				effects(b, fd.Message(), path+".")
			}
		default:
			word := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(effect.String(), "CHANGE_EFFECT_"), "_", " "))
			fmt.Fprintf(b, "| `%s` | `%s` | %s | %s |\n", path, domain.XMLPathOf(path), word, why)
			if strings.HasPrefix(path, "devices.") && strings.Count(path, ".") == 1 && fd.Message() != nil {
				effects(b, fd.Message(), path+".") // a device that comes whole can be changed in less
			}
		}
	}
}
