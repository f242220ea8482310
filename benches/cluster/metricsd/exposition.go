package main

import (
	"bufio"
	"io"
	"strconv"
	"time"

	"trimtab.dev/benches/cluster/world"
)

// What Prometheus scrapes: the same loads as the custom and external metrics APIs give, as an application shows them itself.
// Requests are a counter, so that a query has to take a rate.
func exposition(w io.Writer) {
	now := time.Now()
	epoch := epochOf(now)
	b := bufio.NewWriterSize(w, 64<<10)
	defer b.Flush()
	b.WriteString("# TYPE http_requests_total counter\n")
	for _, a := range apps {
		if a.Kind != world.Pods {
			continue
		}
		a.mu.Lock()
		if a.counters == nil {
			a.counters = make([]float64, len(a.Pods))
		} else {
			for p := range a.counters {
				a.counters[p] += a.factor(p, epoch) * world.PodsTarget * now.Sub(a.counted).Seconds()
			}
		}
		a.counted = now
		for p, name := range a.Pods {
			b.WriteString(`http_requests_total{namespace="` + a.Namespace + `",pod="` + name + `"} `)
			b.WriteString(strconv.FormatFloat(a.counters[p], 'f', 3, 64))
			b.WriteByte('\n')
		}
		a.mu.Unlock()
	}
	b.WriteString("# TYPE " + world.ExternalMetric + " gauge\n")
	for _, a := range apps {
		if a.Kind != world.External {
			continue
		}
		v := a.factor(0, epoch) * world.ExternalTarget * float64(len(a.Pods))
		b.WriteString(world.ExternalMetric + `{namespace="` + a.Namespace + `",app="` + a.Name + `",queue="` + a.Name + `-work"} `)
		b.WriteString(strconv.FormatFloat(v, 'f', 3, 64))
		b.WriteByte('\n')
	}
}
