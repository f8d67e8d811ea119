package host_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/host"
)

// What is well says what was seen and no more; a folder that is not there, and a clock that is slow, say what they disable.
func TestDiagnose(t *testing.T) {
	h, _, root := fixture(t, "two-sockets")
	clock := filepath.Join(root, "sys/devices/system/clocksource/clocksource0")
	if err := os.MkdirAll(clock, 0o755); err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]davitv1.Health{
		"kvm-clock": davitv1.Health_HEALTH_GOOD, "tsc": davitv1.Health_HEALTH_GOOD, "acpi_pm": davitv1.Health_HEALTH_LIMITED,
	} {
		if err := os.WriteFile(filepath.Join(clock, "current_clocksource"), []byte(source+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		findings := h.Diagnose(host.Places{Lib: root, Run: filepath.Join(root, "none"), Log: filepath.Join(root, "none")})
		health := map[string]davitv1.Health{}
		for _, f := range findings {
			health[f.GetSubject()] = f.GetHealth()
			if well := f.GetHealth() == davitv1.Health_HEALTH_GOOD; f.GetSeen() == "" || well != (f.GetDisables() == "") || well && f.GetRemedy() != "" {
				t.Errorf("finding is %v", f)
			}
			if f.GetSubject() == "space for state" && !strings.Contains(f.GetSeen(), "no such file") {
				t.Errorf("finding is %v", f)
			}
		}
		if health["clock source"] != want || health["space for state"] != davitv1.Health_HEALTH_BROKEN ||
			health["space for logs"] != davitv1.Health_HEALTH_LIMITED || len(health) != 5 {
			t.Errorf("with %s: %v", source, findings)
		}
	}
}
