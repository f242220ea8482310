package main

import (
	"bytes"
	"fmt"
	"strings"

	"trimtab.dev/benches/cluster/result"
)

// verdict on one target: what was measured, and whether it is enough.
type verdict struct {
	text string
	met  bool
}

// target of trimtab's issue 6. It judges a run, or a run beside kube-controller-manager's; nil where the run does not show it.
type target struct {
	text  string
	kind  string
	sizes string
	judge func(t, k *result.Result) *verdict
}

const (
	mixed  = "mixed"
	atOnce = "all loads at once"
)

// kind of run: its mix, or that all loads doubled at once.
func kind(t *result.Result) string {
	if t.Shown != nil {
		return atOnce
	}
	return t.Size.Mix
}

// most is a limit for each size.
func most(limits map[string]float64, format string, value func(*result.Result) float64) func(t, k *result.Result) *verdict {
	return func(t, _ *result.Result) *verdict {
		v := value(t)
		return &verdict{fmt.Sprintf(format, v), v <= limits[t.Size.Name]}
	}
}

// fraction of what kube-controller-manager takes.
func fraction(limits map[string]float64, value func(*result.Result) float64) func(t, k *result.Result) *verdict {
	return func(t, k *result.Result) *verdict {
		// A run with a name of its own was not made beside kube-controller-manager's.
		if k == nil || value(k) == 0 || t.Name != "trimtab" {
			return nil
		}
		return &verdict{share(value(t), value(k)), value(t)*limits[t.Size.Name] <= value(k)}
	}
}

func same(sizes string, x float64) map[string]float64 {
	m := map[string]float64{}
	for s := range strings.FieldsSeq(sizes) {
		m[s] = x
	}
	return m
}

var all = []target{
	{"never more than 15.5 s from one evaluation to the next, none skipped", mixed, "L XL", func(t, _ *result.Result) *verdict {
		return &verdict{fmt.Sprintf("%.2f s, %.0f skipped, in %.0f min", t.LongestGapS(), t.Steady.Reads.Skipped, t.Steady.Seconds/60),
			t.LongestGapS() <= 15.5 && t.Steady.Reads.Skipped == 0 && t.Steady.Reads.Never == 0}
	}},
	{"CPU per evaluation at most 1/10", mixed, "M L XL", fraction(same("M L XL", 10), (*result.Result).CPUMillis)},
	{"aim: 1/30", mixed, "M L XL", fraction(same("M L XL", 30), (*result.Result).CPUMillis)},
	{"kube-apiserver's CPU over idle at most 1/6 at M, 1/9 at L and XL", mixed, "M L XL", fraction(map[string]float64{"M": 6, "L": 9, "XL": 9}, func(r *result.Result) float64 { return r.OverIdleMillis("apiserver") })},
	{"the metrics server's at most 1/3", mixed, "M L XL", fraction(same("M L XL", 3), func(r *result.Result) float64 { return r.OverIdleMillis("metricsd") })},
	{"requests per evaluation at most 0.4 at M, 0.25 at L and XL", mixed, "M L XL", most(map[string]float64{"M": .4, "L": .25, "XL": .25}, "%.3f", (*result.Result).Requests)},
	{"with resource metrics alone at most 0.05 at L and XL", "resource", "L XL", most(same("L XL", .05), "%.3f", (*result.Result).Requests)},
	{"status writes per evaluation at most 0.17 at M, 0.05 at L and XL", mixed, "M L XL", most(map[string]float64{"M": .17, "L": .05, "XL": .05}, "%.3f", (*result.Result).StatusWrites)},
	{"RSS at most 100 MB at M, 250 at L, 300 at XL", mixed, "M L XL", most(map[string]float64{"M": 100, "L": 250, "XL": 300}, "%.0f MB", func(r *result.Result) float64 { return r.Steady.MemoryMB })},
	{"RSS flat over ten minutes or more: the last fifth at most 2% over the first", mixed, "M L XL", func(t, _ *result.Result) *verdict {
		if t.Steady.Seconds < 600 {
			return nil
		}
		return &verdict{fmt.Sprintf("%.0f, %.0f MB", t.Steady.FirstMB, t.Steady.LastMB), t.Steady.LastMB <= 1.02*t.Steady.FirstMB}
	}},
	{"first full pass within 15 s at L", mixed, "L", most(same("L", 15), "%.1f s", func(r *result.Result) float64 { return r.Start.FirstPassS })},
	{"peak RSS at start under 1.5 × steady", mixed, "M L XL", most(same("M L XL", 1.5), "%.2f ×", func(r *result.Result) float64 { return r.Start.PeakMB / r.Steady.MemoryMB })},
	{"reaction p50 under 1 s, p99 under 2 s at L, all right", mixed, "L", func(t, _ *result.Result) *verdict {
		r := t.Reaction
		if r == nil {
			return nil
		}
		return &verdict{reactionText(t) + ", " + rightText(t), r.P50S < 1 && r.P99S < 2 && r.Reacted == r.Flipped && r.Wrong == 0 && r.Spurious == 0}
	}},
	{"all loads at once: the values shown within a minute", atOnce, "M L XL", func(t, _ *result.Result) *verdict {
		s := t.Shown
		return &verdict{fmt.Sprintf("counts %.1f s, values %.1f s, %d of %d", s.Counts.MaxS, s.Values.MaxS, s.Values.Came, s.Values.Of),
			s.Counts.Came == s.Counts.Of && s.Values.Came == s.Values.Of && s.Values.MaxS <= 60 && s.Counts.P50S <= s.Values.P50S}
	}},
	{"half on Prometheus metrics: at most 20 queries a pass", "prometheus", "XL", most(same("XL", 20), "%.1f", (*result.Result).QueriesPerPass)},
	{"its CPU over idle at most 1/20 of one query for each autoscaler", "prometheus", "XL", nil}, // judged in `targets`, beside another run
}

func prometheusVerdict(t, q *result.Result) *verdict {
	if q == nil {
		return nil
	}
	over := func(r *result.Result) float64 {
		return r.Steady.CPUS["prometheus"]/r.Steady.Seconds - r.Idle.CPUS["prometheus"]/r.Idle.Seconds
	}
	return &verdict{fmt.Sprintf("%s (%.3f of %.3f cores)", share(over(t), over(q)), over(t), over(q)), over(t)*20 <= over(q)}
}

func find(results []result.Result, t *result.Result, name string) *result.Result {
	for i := range results {
		if results[i].Size == t.Size && results[i].Name == name {
			return &results[i]
		}
	}
	return nil
}

// targets prints each target that one of trimtab's runs shows, with its verdict. Only sizes that a target names are judged.
func targets(out *bytes.Buffer, results []result.Result) {
	header := false
	for _, g := range all {
		var cells []string
		for i := range results {
			t := &results[i]
			if !t.Trimtab() || kind(t) != g.kind || !contains(g.sizes, t.Size.Name) {
				continue
			}
			var v *verdict
			if g.judge != nil {
				v = g.judge(t, find(results, t, "kcm"))
			} else {
				v = prometheusVerdict(t, find(results, t, "queries"))
			}
			if v == nil {
				continue
			}
			word := "met"
			if !v.met {
				word = "**missed**"
			}
			name := t.Size.Name
			if t.Name != "trimtab" {
				name += " (" + t.Name + ")"
			}
			cells = append(cells, name+": "+v.text+", "+word)
		}
		if len(cells) == 0 {
			continue
		}
		if !header {
			fmt.Fprint(out, "| target | measured |\n|---|---|\n")
			header = true
		}
		fmt.Fprintf(out, "| %s | %s |\n", g.text, strings.Join(cells, "; "))
	}
}

func contains(words, word string) bool {
	for w := range strings.FieldsSeq(words) {
		if w == word {
			return true
		}
	}
	return false
}
