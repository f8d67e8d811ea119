package logline_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/driver/monitor/logline"
)

// A line is JSON whatever is put into it, and stays one line.
func TestWrite(t *testing.T) {
	var out bytes.Buffer
	log := logline.New(&out)
	hostile := "a\"b\\c\nd\x00\x7f\xffé\u2028"
	log.Write(logline.Warn, hostile, logline.Int("pid", 42), logline.Duration("took", 1500*time.Millisecond),
		logline.Err(errors.New("no\tway")), logline.String("name", "x"))
	if n := bytes.Count(out.Bytes(), []byte("\n")); n != 1 {
		t.Errorf("line holds %d newlines, want 1", n)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("line %q: %v", out.Bytes(), err)
	}
	date, _ := got["time"].(string)
	if _, err := time.Parse(time.RFC3339Nano, date); err != nil {
		t.Error(err)
	}
	delete(got, "time")
	want := map[string]any{
		"level": "warn", "msg": "a\"b\\c\nd\x00\x7f\ufffdé\u2028", "pid": 42.0, "took": 1.5, "error": "no\tway", "name": "x",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
}

// A log that is not there takes lines all the same.
func TestNil(t *testing.T) {
	var log *logline.Log
	log.Write(logline.Info, "nobody reads this")
}
