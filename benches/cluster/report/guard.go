package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"

	"trimtab.dev/benches/cluster/result"
)

// grown is how far a count may be over the kept one.
const grown = 1.5

// countsOf a run that do not depend on how fast the machine is.
func countsOf(r *result.Result) map[string]float64 {
	pods := 0.0
	for _, c := range r.Steady.Metrics {
		pods += c.Bytes
	}
	counts := map[string]float64{
		"requests per evaluation":          r.Requests(),
		"status writes per evaluation":     r.StatusWrites(),
		"bytes received per evaluation":    1024 * r.KBReceived(),
		"bytes sent per evaluation":        1024 * r.KBSent(),
		"bytes of metrics, per evaluation": pods / r.Steady.Evaluations,
	}
	for k, v := range counts {
		counts[k] = math.Round(v*1000) / 1000
	}
	return counts
}

// guard compares a run's counts with those that are kept, and with -record keeps them.
func guard(args []string) error {
	record := len(args) > 0 && args[0] == "-record"
	if record {
		args = args[1:]
	}
	if len(args) != 2 {
		return fmt.Errorf("guard [-record] KEPT FILE")
	}
	r, err := result.Load(args[1])
	if err != nil {
		return err
	}
	if r.Steady.Evaluations == 0 || r.Steady.Failed > 0 || r.AtEnd.ScalingActive != r.Size.Apps {
		return fmt.Errorf("this run says nothing: %.0f evaluations, %.0f of them failed, %d of %d autoscalers active", r.Steady.Evaluations, r.Steady.Failed, r.AtEnd.ScalingActive, r.Size.Apps)
	}
	counts := countsOf(&r)
	if record {
		b, err := json.MarshalIndent(counts, "", "  ")
		if err != nil {
			return err
		}
		return os.WriteFile(args[0], append(b, '\n'), 0o644)
	}
	b, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var kept map[string]float64
	if err := json.Unmarshal(b, &kept); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return compare(kept, counts)
}

func compare(kept, counts map[string]float64) error {
	var names []string
	for n := range counts {
		names = append(names, n)
	}
	sort.Strings(names)
	bad := 0
	for _, n := range names {
		was, ok := kept[n]
		word := ""
		switch {
		case !ok:
			word, bad = "  is not kept", bad+1
		case counts[n] > grown*was:
			word, bad = "  has grown by more than half", bad+1
		case counts[n]*grown < was:
			word = "  is much smaller: keep it"
		}
		fmt.Printf("%-36s %10.3f  kept %10.3f%s\n", n, counts[n], was, word)
	}
	if bad > 0 {
		return fmt.Errorf("%d counts are not as kept", bad)
	}
	return nil
}
