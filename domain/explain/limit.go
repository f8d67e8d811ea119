package explain

import (
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/domain"
)

// span is a run of numbers.
type span struct {
	min int64
	max uint64
}

// limits are the numbers that fields may be where [domain.Validate] takes fewer than their kind holds; a test holds them to it.
// 0 is a field that is not set.
var limits = map[string][]span{
	"BlkioDevice.weight":   {{0, 1000}},
	"BlkioTune.weight":     {{0, 1000}},
	"CpuTune.shares":       {{0, 0}, {2, 262144}},
	"CpuTune.period":       {{0, 0}, {1000, 1000000}},
	"CpuTune.quota":        {{math.MinInt64, 0}, {1000, 17592186044415}},
	"Domain.memory_kib":    {{1, domain.Unlimited - 1}},
	"Domain.pids_limit":    {{0, 4194304}},
	"IdRange.count":        {{1, math.MaxUint32}},
	"IdRange.target":       {{1, math.MaxUint32 - 1}},
	"Interface.mtu":        {{0, 0}, {68, 65535}},
	"IpAddress.prefix":     {{0, 128}},
	"Restart.delay_ms":     {{1, 3600000}},
	"Restart.interval_s":   {{1, 604800}},
	"Restart.limit":        {{1, 1000}},
	"Restart.max_delay_ms": {{1, 3600000}},
	"Route.prefix":         {{0, 128}},
	"Vcpu.count":           {{1, domain.MaxCPU}},
	"VlanTag.id":           {{1, 4094}},
}

// spans are the numbers that the field may be, none if it is no number.
func (f *field) spans() []span {
	if list, ok := limits[shortName(f.desc.FullName())]; ok {
		return list
	}
	if f.isSize() {
		return []span{{0, domain.Unlimited}}
	}
	switch f.desc.Kind() {
	case protoreflect.Uint32Kind:
		return []span{{0, math.MaxUint32}}
	case protoreflect.Uint64Kind:
		return []span{{0, math.MaxUint64}}
	case protoreflect.Int32Kind:
		return []span{{math.MinInt32, math.MaxInt32}}
	case protoreflect.Int64Kind:
		return []span{{math.MinInt64, math.MaxInt64}}
	default:
		return nil
	}
}

// rangeText says them in words.
func (f *field) rangeText() string {
	var parts []string
	for _, s := range f.spans() {
		switch {
		case s.min == 0 && s.max == 0 && !f.desc.HasPresence():
			continue // not set
		case s.min == math.MinInt64 && s.max < math.MaxInt64:
			parts = append(parts, fmt.Sprintf("at most %d", s.max))
		case s.min >= 0 && uint64(s.min) == s.max:
			parts = append(parts, fmt.Sprint(s.max))
		default:
			parts = append(parts, fmt.Sprintf("%d to %d", s.min, s.max))
		}
	}
	return strings.Join(parts, " or ")
}
