package cli

import (
	"strconv"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// rateOf reads a limit of traffic as virsh takes it, "average,peak,burst,floor", of which all but the first may be left out
// or empty.
func rateOf(words string) (*davitv1.BandwidthLimit, error) {
	rate := &davitv1.BandwidthLimit{}
	fields := []struct {
		name  string
		field *uint64
	}{{"average", &rate.Average}, {"peak", &rate.Peak}, {"burst", &rate.Burst}, {"floor", &rate.Floor}}
	all := strings.Split(words, ",")
	if len(all) > len(fields) {
		return nil, failed(nil, "Rate string '%s' has too many fields", cell(words))
	}
	for i, word := range all {
		if word == "" {
			continue
		}
		n, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return nil, failed(nil, "field '%s' is malformed", fields[i].name)
		}
		*fields[i].field = n
	}
	return rate, nil
}

// rateMarkup is a limit of a direction in XML, nil when there is none.
func rateMarkup(direction string, rate *davitv1.BandwidthLimit) *markup {
	if rate == nil {
		return nil
	}
	m := &markup{name: direction}
	for _, f := range rateFields(rate) {
		if f.value != 0 {
			m.with(f.name, strconv.FormatUint(f.value, 10))
		}
	}
	return m
}

// rateFields are the numbers of a limit in virsh's order.
func rateFields(rate *davitv1.BandwidthLimit) []statistic {
	return []statistic{
		{"average", rate.GetAverage()}, {"peak", rate.GetPeak()}, {"burst", rate.GetBurst()}, {"floor", rate.GetFloor()},
	}
}
