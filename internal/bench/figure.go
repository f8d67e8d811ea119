package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Units of figures.
const (
	milliseconds = "ms"
	mebibytes    = "MiB"
	perSecond    = "1/s"
)

// What the names of medians and of 99th percentiles end with.
const medianSuffix, tailSuffix = "/p50", "/p99"

// figure is one thing that was measured. Beside it may stand a floor or a peer, measured in the same run, and what was promised.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Title says what it is.
	Title string `json:"title"`
	// Samples is of how many it is the median or quantile; 1 of what was measured once.
	Samples int `json:"samples"`
	// Floor is the floor's value, Peer another program's, named PeerName.
	Floor    float64 `json:"floor,omitempty"`
	PeerName string  `json:"peer,omitempty"`
	Peer     float64 `json:"peer_value,omitempty"`
	// Ratio is the value by the floor's, or the peer's by the value: how many times as long as the floor it takes, or how many times
	// as fast as the peer it is.
	Ratio float64 `json:"ratio,omitempty"`
	// Target is what is promised, of the ratio if OfRatio; Least tells that it is a least value and not a most.
	Target  float64 `json:"target,omitempty"`
	Least   bool    `json:"least,omitempty"`
	OfRatio bool    `json:"of_ratio,omitempty"`
}

// times are durations of one kind.
type times []time.Duration

// at is a quantile, by nearest rank.
func (l times) at(q float64) float64 {
	if len(l) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(l))
	rank := int(q*float64(len(sorted))+0.999999) - 1
	return inMilliseconds(sorted[min(max(rank, 0), len(sorted)-1)])
}

func (l times) median() float64 { return l.at(0.5) }

func inMilliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// add takes a figure into the list, and says it at once.
func (b *bench) add(f figure) {
	b.figures = append(b.figures, f)
	b.say("  %s", f)
}

// addTimes adds the median of durations and, where there are enough of them to tell it, the 99th percentile.
func (b *bench) addTimes(f figure, l times) {
	if len(l) == 0 {
		return
	}
	f.Value, f.Unit, f.Samples = l.median(), milliseconds, len(l)
	name, title := f.Name, f.Title
	f.Name, f.Title = name+medianSuffix, title+", p50"
	b.add(f)
	b.add(figure{Name: name + tailSuffix, Title: title + ", p99", Value: l.at(0.99), Unit: milliseconds, Samples: len(l)})
}

// beside sets a floor's value, where there is one, and the ratio.
func (f figure) beside(value, floor float64) figure {
	if floor > 0 {
		f.Floor, f.Ratio = floor, value/floor
	}
	return f
}

// against sets a peer's value and the ratio.
func (f figure) against(value float64, name string, peer float64) figure {
	if value > 0 && peer > 0 {
		f.PeerName, f.Peer, f.Ratio = name, peer, peer/value
	}
	return f
}

// score is what is compared with the target.
func (f figure) score() float64 {
	if f.OfRatio {
		return f.Ratio
	}
	return f.Value
}

// verdict tells whether a target holds.
func (f figure) verdict() string {
	switch {
	case f.Target == 0 || f.OfRatio && f.Ratio == 0:
		return ""
	case f.Least == (f.score() >= f.Target) && f.score() != f.Target || f.score() == f.Target:
		return "holds"
	}
	return "misses"
}

// promise is the target in words.
func (f figure) promise() string {
	if f.Target == 0 {
		return ""
	}
	sign, unit := "≤", " "+f.Unit
	if f.Least {
		sign = "≥"
	}
	if f.OfRatio {
		unit = " ×"
	}
	return sign + " " + number(f.Target) + unit
}

// comparison is the floor or the peer in words.
func (f figure) comparison() string {
	switch {
	case f.PeerName != "":
		return fmt.Sprintf("%s %s %s: %s × as fast", f.PeerName, number(f.Peer), f.Unit, number(f.Ratio))
	case f.Floor > 0:
		return fmt.Sprintf("floor %s %s: %s × of it", number(f.Floor), f.Unit, number(f.Ratio))
	}
	return ""
}

func (f figure) String() string {
	words := []string{fmt.Sprintf("%-26s %9s %-4s", f.Name, number(f.Value), f.Unit)}
	for _, w := range []string{f.comparison(), strings.TrimSpace(f.promise() + " " + f.verdict())} {
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, "  ")
}

// number is a value with three digits that count.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// row is a figure as the table shows it, with its 99th percentile where there is one.
type row struct{ title, value, tail, promise, verdict, beside string }

// rows puts medians and their percentiles together.
func rows(figures []figure) []row {
	var list []row
	for i, f := range figures {
		if strings.HasSuffix(f.Name, tailSuffix) && i > 0 {
			r := &list[len(list)-1]
			r.tail = number(f.Value)
			if f.Target > 0 {
				r.promise, r.verdict = joined(r.promise, "p99 "+f.promise()), joined(r.verdict, f.verdict())
			}
			continue
		}
		list = append(list, row{
			title: strings.TrimSuffix(f.Title, ", p50"), value: strings.TrimSpace(number(f.Value) + " " + f.Unit),
			promise: f.promise(), verdict: f.verdict(), beside: f.comparison(),
		})
	}
	return list
}

func joined(a, b string) string { return strings.TrimPrefix(a+", "+b, ", ") }

// table shows all figures at the end.
func (b *bench) table() {
	const format = "%-62s %10s %8s  %-30s %-15s %s"
	b.say("\n"+format, "what", "measured", "p99", "promised", "", "beside it")
	for _, r := range rows(b.figures) {
		b.say(format, r.title, r.value, r.tail, r.promise, r.verdict, r.beside)
	}
	for _, r := range b.remarks {
		b.say("note: %s", r)
	}
}

// write writes the files.
func (b *bench) write() error {
	text, err := json.MarshalIndent(b.figures, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(b.json, append(text, '\n')); err != nil {
		return err
	}
	if !b.whole() && filepath.Dir(b.chart) != filepath.Dir(b.json) {
		b.say("The chart %s is not drawn: that is done after whole runs.", b.chart)
		return nil
	}
	if err := writeFile(b.chart, draw(b.figures)); err != nil {
		return err
	}
	return b.writePage()
}

func writeFile(path string, text []byte) error {
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}
