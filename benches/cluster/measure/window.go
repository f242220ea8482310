package main

import (
	"log"
	"os"
	"sort"
	"strings"
	"time"

	"trimtab.dev/benches/cluster/result"
)

// mark is the counters at one instant. Scrapes lie outside of the readings of CPU.
type mark struct {
	at                  time.Time
	cpu                 map[string]float64
	api                 map[string]float64
	evaluations, failed float64
	queries             float64
	missed              float64
	sent, received      int64
}

func (m *mark) scrape(c *cluster, o *options, running bool) {
	read := func(url, metric string, by ...string) map[string]float64 {
		v, err := scrape(url, metric, by...)
		if err != nil {
			log.Print(err)
		}
		return v
	}
	m.api = read(c.API+"/metrics", "apiserver_request_total", "verb", "group", "resource", "subresource", "code")
	if c.Prometheus != "" {
		m.queries = sum(read(c.Prometheus+"/metrics", `prometheus_http_requests_total{code="200",handler="/api/v1/query"}`))
	}
	if !running || o.metricsURL == "" {
		return
	}
	for k, v := range read(o.metricsURL, o.evaluations, "error") {
		m.evaluations += v
		if k != "" && k != "none" {
			m.failed += v
		}
	}
	if o.missed != "" {
		m.missed = sum(read(o.metricsURL, o.missed))
	}
}

// samplePeriod is metricsd's.
const samplePeriod = 15 * time.Second

// untilBetweenSamples is the time to the next middle between two samples, which metricsd takes at the wall clock's multiples of 15 s: a
// window from there to another middle holds whole passes, with all the writes that follow from them.
func untilBetweenSamples(now time.Time) time.Duration {
	middle := now.Truncate(samplePeriod).Add(samplePeriod / 2)
	if middle.Before(now) {
		middle = middle.Add(samplePeriod)
	}
	return middle.Sub(now)
}

func (m *mark) read(c *cluster, p *controller) {
	m.cpu = map[string]float64{"machine": machineCPU(), "bench": cpu(os.Getpid())}
	if p != nil {
		p.pids = tree(p.cmd.Process.Pid)
		m.cpu["controller"] = cpu(p.pids...)
		m.sent, m.received = p.socks.sample(p.pids)
	}
	for k, pid := range c.Pids {
		m.cpu[k] = cpu(pid)
	}
	m.at = time.Now()
}

// window over some time, with or without a controller.
func (c *cluster) window(o *options, p *controller, d time.Duration) (w result.Window) {
	var a, z mark
	var rss []float64
	var longest *float64
	if p != nil {
		p.wait(untilBetweenSamples(time.Now()), nil)
	}
	a.scrape(c, o, p != nil)
	c.account(true)
	a.read(c, p)
	if p == nil {
		time.Sleep(d)
	} else {
		p.wait(d, func() bool {
			rss = append(rss, p.sample())
			if o.interval != "" && len(rss)%gaugeEvery == 0 {
				longest = o.longer(longest)
			}
			return false
		})
	}
	z.read(c, p)
	reads := c.account(false)
	z.scrape(c, o, p != nil && p.alive())

	w.Seconds = z.at.Sub(a.at).Seconds()
	w.CPUS = map[string]float64{}
	rest := z.cpu["machine"] - a.cpu["machine"]
	for k := range z.cpu {
		d := z.cpu[k] - a.cpu[k]
		switch {
		case k == "machine":
			continue
		case strings.HasPrefix(k, "spin"):
			w.CPUS["spinners"] += d
		default:
			w.CPUS[k] = d
		}
		rest -= d
	}
	w.CPUS["rest of the machine"] = rest
	w.Requests = map[string]float64{}
	for k, v := range z.api {
		if d := v - a.api[k]; d > 0 {
			w.Requests[k] = d
		}
	}
	w.Queries = z.queries - a.queries
	if p == nil {
		return
	}
	fifth := max(1, len(rss)/5)
	w.FirstMB, w.LastMB, w.MemoryMB = median(rss[:min(fifth, len(rss))]), median(rss[max(0, len(rss)-fifth):]), median(rss)
	w.BytesSent, w.BytesReceived = z.sent-a.sent, z.received-a.received
	w.Evaluations, w.Failed = z.evaluations-a.evaluations, z.failed-a.failed
	w.Metrics = reads.Kinds
	w.Reads = result.Reads{Count: reads.Reads, Never: reads.Never, P50S: reads.P50, P99S: reads.P99, MaxS: reads.Max, Late: reads.Late, Skipped: reads.Skipped}
	if longest != nil {
		w.Interval = &result.Interval{MaxS: *longest, Missed: z.missed - a.missed}
	}
	return
}

// gaugeEvery seconds the controller is asked for its last pass's longest interval: more often than it passes. What that costs the
// controller stays in its CPU.
const gaugeEvery = 10

// longer of what was seen before and what the controller says now; nil while it says nothing.
func (o *options) longer(before *float64) *float64 {
	v, err := scrape(o.metricsURL, o.interval)
	if err != nil || len(v) == 0 {
		return before
	}
	now := sum(v)
	if before != nil {
		now = max(now, *before)
	}
	return &now
}

func median(s []float64) float64 {
	s = append([]float64(nil), s...)
	sort.Float64s(s)
	return quantile(s, .5)
}

func quantile(s []float64, q float64) float64 {
	if len(s) == 0 {
		return 0
	}
	return s[min(len(s)-1, int(q*float64(len(s))))]
}
