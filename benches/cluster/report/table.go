package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"trimtab.dev/benches/cluster/result"
)

var labels = map[string]string{"trimtab": "trimtab", "kcm": "kube-controller-manager, 50 workers, 2,000 QPS", "kcm-default": "kube-controller-manager, defaults", "queries": "one query for each autoscaler"}

func label(name string) string {
	if l, ok := labels[name]; ok {
		return l
	}
	return name
}

// table of all runs.
func table(out *bytes.Buffer, results []result.Result) {
	fmt.Fprintln(out, "| size | controller | a pass takes | CPU per evaluation | kube-apiserver's, over idle | metrics server's | requests per evaluation | status writes | received | RSS, most | reaction p50 / p99 / max | right | longest gap | skipped | first pass |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	for i := range results {
		r := &results[i]
		if r.Name == "queries" {
			continue
		}
		fmt.Fprintf(out, "| %s | %s | %.1f s | %.3f ms | %.2f ms | %.2f ms | %.3f | %.3f | %.1f KB | %.0f, %.0f MB | %s | %s | %.2f s | %.0f | %.0f s |\n",
			sizeText(r), label(r.Name), r.PassS(), r.CPUMillis(), r.OverIdleMillis("apiserver"), r.OverIdleMillis("metricsd"), r.Requests(), r.StatusWrites(),
			r.KBReceived(), r.Steady.MemoryMB, r.PeakMB, reactionText(r), rightText(r), r.LongestGapS(), r.Steady.Reads.Skipped, r.Start.FirstPassS)
	}
}

// summary is the table of the README: the sizes of the comparison, and what matters most.
func summary(out *bytes.Buffer, results []result.Result) {
	fmt.Fprintln(out, "| size | controller | a pass takes (15 s wanted) | CPU per evaluation | kube-apiserver's | requests per evaluation | status writes | RSS | reaction p50 / max |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|")
	for i := range results {
		r := &results[i]
		if !contains("M L XL", r.Size.Name) || r.Size.Mix != mixed || labels[r.Name] == "" {
			continue
		}
		reaction := "-"
		if r.Reaction != nil {
			reaction = fmt.Sprintf("%.1f / %.1f s", r.Reaction.P50S, r.Reaction.MaxS)
		}
		fmt.Fprintf(out, "| %s | %s | %.1f s | %.2f ms | %.2f ms | %.2f | %.2f | %.0f MB | %s |\n", sizeText(r), label(r.Name), r.PassS(), r.CPUMillis(),
			r.OverIdleMillis("apiserver"), r.Requests(), r.StatusWrites(), r.Steady.MemoryMB, reaction)
	}
}

// ratios of trimtab's to each other controller's, on the same size.
func ratios(out *bytes.Buffer, results []result.Result) {
	pairs := pairsOf(results)
	if len(pairs) == 0 {
		return
	}
	fmt.Fprintln(out, "| trimtab against kube-controller-manager | CPU per evaluation | kube-apiserver's | metrics server's | requests | status writes | received | RSS | reaction p50 |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|")
	for _, p := range pairs {
		t, k := p.trimtab, p.other
		setting := strings.TrimPrefix(label(k.Name), "kube-controller-manager, ")
		fmt.Fprintf(out, "| %s, %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", sizeText(t), setting, share(t.CPUMillis(), k.CPUMillis()),
			share(t.OverIdleMillis("apiserver"), k.OverIdleMillis("apiserver")), share(t.OverIdleMillis("metricsd"), k.OverIdleMillis("metricsd")),
			share(t.Requests(), k.Requests()), share(t.StatusWrites(), k.StatusWrites()), share(t.KBReceived(), k.KBReceived()),
			share(t.Steady.MemoryMB, k.Steady.MemoryMB), reactionShare(t, k))
	}
}

// machine and builds that the results come from.
func machine(out *bytes.Buffer, results []result.Result) {
	seen := map[string]bool{}
	once := func(format string, x ...any) {
		if line := fmt.Sprintf(format, x...); !seen[line] {
			fmt.Fprintln(out, line)
			seen[line] = true
		}
	}
	for _, r := range results {
		once("- Machine: %d cores (%s), %d GB, Linux %s, with etcd, kube-apiserver, the metrics server and the controller all on it", r.Machine.Cores, r.Machine.CPU, r.Machine.MemoryGB, r.Machine.Kernel)
	}
	for _, r := range results {
		if r.Trimtab() {
			once("- trimtab: %s", r.Build)
		} else if r.Build != "" {
			once("- kube-controller-manager: %s", strings.TrimPrefix(r.Build, "Kubernetes "))
		}
	}
}

// disturbed says on which runs other work on the machine lay heavily.
func disturbed(results []result.Result) {
	for _, r := range results {
		if other := r.Steady.CPUS["rest of the machine"] / r.Steady.Seconds; other > 0.5 {
			fmt.Fprintf(os.Stderr, "%s %s: other work took %.1f cores meanwhile; repeat it on a machine at rest\n", r.Size.Name, r.Name, other)
		}
	}
}

type pair struct{ trimtab, other *result.Result }

// pairsOf trimtab and each other controller on the same size and mix. A run of trimtab with a name of its own was not made beside theirs.
func pairsOf(all []result.Result) (out []pair) {
	for i := range all {
		for j := range all {
			if all[i].Name == "trimtab" && !all[j].Trimtab() && all[j].Name != "queries" && all[i].Size == all[j].Size {
				out = append(out, pair{&all[i], &all[j]})
			}
		}
	}
	return
}

func sizeText(r *result.Result) string {
	s := r.Size
	text := fmt.Sprintf("%s %s × %d pods", s.Name, number(float64(s.Apps)), s.Pods)
	if s.Mix != "mixed" {
		text += ", " + s.Mix
	}
	return text
}

func reactionText(r *result.Result) string {
	if r.Reaction == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f / %.2f / %.2f s", r.Reaction.P50S, r.Reaction.P99S, r.Reaction.MaxS)
}

func rightText(r *result.Result) string {
	if r.Reaction == nil {
		return "-"
	}
	text := fmt.Sprintf("%d of %d", r.Reaction.Reacted-r.Reaction.Wrong, r.Reaction.Flipped)
	if r.Reaction.Spurious > 0 {
		text += fmt.Sprintf(", %d more moved", r.Reaction.Spurious)
	}
	return text
}

func reactionShare(t, k *result.Result) string {
	if t.Reaction == nil || k.Reaction == nil {
		return "-"
	}
	return share(t.Reaction.P50S, k.Reaction.P50S)
}

// share of one in the other, as people say it: 1/12. Both are so small at times that one tick of the clock decides: then nothing is said.
func share(part, whole float64) string {
	switch {
	case whole <= 0:
		return "-"
	case part <= 0:
		return "0"
	case whole/part < 1.95:
		return fmt.Sprintf("%.2f", part/whole)
	default:
		return fmt.Sprintf("1/%.1f", whole/part)
	}
}
