package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// adminMetrics shows the daemon's metrics in the text that Prometheus and its node_exporter read from files.
func (a *app) adminMetrics() command {
	return command{
		name: "metrics", help: "show what the daemon measured since it was started, as OpenMetrics text", bare: true,
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			return a.steer(ctx, func(c *client.Admin) error {
				resp, err := c.GetMetrics(ctx, &davitv1.GetMetricsRequest{})
				if err != nil {
					return failed(err, "Failed to ask the daemon")
				}
				if a.notation != text {
					return a.show(messages(resp.GetHistograms()))
				}
				a.print("%s", openMetrics(resp.GetHistograms()))
				return nil
			})
		},
	}
}

// openMetrics writes histograms, those of one name together, in the order in which they come.
func openMetrics(histograms []*davitv1.Histogram) string {
	var b strings.Builder
	last := ""
	for _, h := range histograms {
		if h.GetName() != last {
			last = h.GetName()
			fmt.Fprintf(&b, "# TYPE %s histogram\n", last)
			if unit := last[strings.LastIndexByte(last, '_')+1:]; unit == "seconds" {
				fmt.Fprintf(&b, "# UNIT %s %s\n", last, unit)
			}
			fmt.Fprintf(&b, "# HELP %s %s\n", last, metricEscaper.Replace(h.GetHelp()))
		}
		var sum uint64
		for i, n := range h.GetCounts() {
			sum += n
			bound := "+Inf"
			if i < len(h.GetBounds()) {
				bound = strconv.FormatFloat(h.GetBounds()[i], 'g', -1, 64)
			}
			fmt.Fprintf(&b, "%s_bucket%s %d\n", last, labelText(h.GetLabels(), "le", bound), sum)
		}
		fmt.Fprintf(&b, "%s_count%s %d\n", last, labelText(h.GetLabels()), sum)
		fmt.Fprintf(&b, "%s_sum%s %s\n", last, labelText(h.GetLabels()), strconv.FormatFloat(h.GetSum(), 'g', -1, 64))
	}
	return b.String() + "# EOF\n"
}

// metricEscaper makes a text one that OpenMetrics takes.
var metricEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// labelText is labels, and pairs of a name and a value behind them, in braces; nothing if there are none.
func labelText(labels map[string]string, more ...string) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		words = append(words, name+`="`+metricEscaper.Replace(labels[name])+`"`)
	}
	for i := 0; i+1 < len(more); i += 2 {
		words = append(words, more[i]+`="`+more[i+1]+`"`)
	}
	if len(words) == 0 {
		return ""
	}
	return "{" + strings.Join(words, ",") + "}"
}
