package cli

import (
	"strconv"
	"strings"
	"time"
)

// moment reads a time as people write it: RFC 3339, a date with or without a time of day in the zone of this host,
// "today", "yesterday", "now", or how long ago: "10m", "1h30m", "2d".
func moment(text string, now time.Time) (time.Time, error) {
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	switch text {
	case "now":
		return now, nil
	case "today":
		return midnight, nil
	case "yesterday":
		return midnight.AddDate(0, 0, -1), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	if ago, ok := duration(text); ok {
		return now.Add(-ago), nil
	}
	return time.Time{}, failed(nil, "'%s' is no time: 2006-01-02T15:04:05Z, 2006-01-02, today, yesterday, or how long ago as in 10m, 2h, 3d", text)
}

// duration reads a length of time: seconds, or a number with a unit, as in 90s, 1h30m, 2d.
func duration(text string) (time.Duration, bool) {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second, true
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err == nil
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}

// timeText is a time as virsh writes that of an event.
func timeText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000+0000") }
