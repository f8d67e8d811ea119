package launch

import (
	"os"
	"testing"
)

// A score that could not be read is not given back.
func TestScoreThatIsNotKnown(t *testing.T) {
	read := func() string {
		text, err := os.ReadFile("/proc/self/oom_score_adj")
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	before := read()
	s := scores{raised: 1, own: 999}
	s.lower()
	if after := read(); after != before || s.raised != 0 {
		t.Errorf("score %q, before %q", after, before)
	}
}
