package main

import (
	"math"
	"sort"
	"sync"
	"time"
)

const (
	// Reads of an app within this are one: an HPA on cpu and memory reads a list twice.
	together = time.Second
	late     = period + period/30 // 15.5 s from one read to the next is late
)

var (
	statsMu sync.Mutex
	stats   = map[string]*count{}
	gapsMu  sync.Mutex
	gaps    []float64 // seconds between reads of one app
)

type count struct {
	Requests int64 `json:"requests"`
	Bytes    int64 `json:"bytes"`
}

func tally(kind string, bytes int64) {
	statsMu.Lock()
	defer statsMu.Unlock()
	c := stats[kind]
	if c == nil {
		c = &count{}
		stats[kind] = c
	}
	c.Requests++
	c.Bytes += bytes
}

// read notes that somebody asked for the app's metrics. a.mu held.
func (a *app) read(now time.Time) {
	if d := now.Sub(a.lastRead); d > together {
		if !a.lastRead.IsZero() {
			gapsMu.Lock()
			gaps = append(gaps, d.Seconds())
			gapsMu.Unlock()
		}
		a.readCount++
		a.lastRead = now
	}
}

// summary of the requests and reads since the last reset. A gap counts when it ends, and one that has not ended yet counts as long as
// it has been.
func summary(now time.Time) map[string]any {
	reads, never := 0, 0
	var open float64
	for _, a := range apps {
		a.mu.Lock()
		reads += a.readCount
		if a.readCount == 0 {
			never++
		}
		if !a.lastRead.IsZero() {
			open = max(open, now.Sub(a.lastRead).Seconds())
		}
		a.mu.Unlock()
	}
	gapsMu.Lock()
	all := append([]float64(nil), gaps...)
	gapsMu.Unlock()
	sort.Float64s(all)
	lateGaps, skipped := 0, 0
	for _, g := range all {
		if g > late.Seconds() {
			lateGaps++
		}
		// A gap of one and a half periods or more has left out a read; one of less was only late.
		skipped += max(0, int(math.Round(g/period.Seconds()))-1)
	}
	statsMu.Lock()
	defer statsMu.Unlock()
	kinds := map[string]count{}
	for k, c := range stats {
		kinds[k] = *c
	}
	return map[string]any{"by_kind": kinds, "app_reads": reads, "apps_never_read": never,
		"gap_p50_s": quantile(all, .5), "gap_p99_s": quantile(all, .99), "gap_max_s": max(quantile(all, 1), open),
		"late_gaps": lateGaps, "skipped_reads": skipped}
}

func reset() {
	statsMu.Lock()
	stats = map[string]*count{}
	statsMu.Unlock()
	gapsMu.Lock()
	gaps = nil
	gapsMu.Unlock()
	for _, a := range apps {
		a.mu.Lock()
		a.readCount = 0
		a.mu.Unlock()
	}
}

func quantile(s []float64, q float64) float64 {
	if len(s) == 0 {
		return 0
	}
	return s[min(len(s)-1, int(q*float64(len(s))))]
}
