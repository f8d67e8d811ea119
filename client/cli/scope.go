package cli

import (
	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// scope is what a command is about: the running domain, the definition of its next start, or, when neither is given, the
// running domain if there is one.
type scope struct{ live, config, current bool }

// flags declares --config, --live and --current; verb is what they do to it: "affect".
func (s *scope) flags(f *pflag.FlagSet, verb string) {
	f.BoolVar(&s.config, "config", false, verb+" next boot")
	f.BoolVar(&s.live, "live", false, verb+" running domain")
	f.BoolVar(&s.current, "current", false, verb+" current domain")
}

// scopesExclude names the scopes that do not go together.
func scopesExclude() [][2]string { return [][2]string{{"current", "live"}, {"current", "config"}} }

func (s scope) affect() davitv1.Affect {
	switch {
	case s.live && s.config:
		return davitv1.Affect_AFFECT_LIVE_AND_CONFIG
	case s.live:
		return davitv1.Affect_AFFECT_LIVE
	case s.config:
		return davitv1.Affect_AFFECT_CONFIG
	}
	return davitv1.Affect_AFFECT_CURRENT
}
