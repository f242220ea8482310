package main

import (
	"testing"
	"time"

	"trimtab.dev/benches/cluster/world"
)

func TestGapsAreLateOrHaveLeftOutAReadAndReachOverAReset(t *testing.T) {
	a := &app{App: &world.App{}}
	apps = []*app{a}
	began := time.Now()
	at := func(seconds float64) time.Time { return began.Add(time.Duration(seconds * float64(time.Second))) }
	for _, s := range []float64{0, 0.4, 15, 30.7} {
		a.read(at(s))
	}
	check := func(now float64, want map[string]any) {
		t.Helper()
		got := summary(at(now))
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s: %v, not %v", k, got[k], v)
			}
		}
	}
	check(31, map[string]any{"app_reads": 3, "late_gaps": 1, "skipped_reads": 0, "apps_never_read": 0})
	reset()
	check(40, map[string]any{"app_reads": 0, "apps_never_read": 1, "gap_max_s": 40 - 30.7})
	a.read(at(60.7))
	check(61, map[string]any{"app_reads": 1, "late_gaps": 1, "skipped_reads": 1, "apps_never_read": 0, "gap_max_s": 30.0})
}
