package main

import (
	"context"
	"fmt"
	"log"
	"math"
	"sort"
	"strings"
	"sync"
	"time"

	hpav2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"trimtab.dev/benches/cluster/result"
	"trimtab.dev/benches/cluster/world"
)

// shown watches when the statuses of the HPAs tell that all loads have doubled: the count, and every metric's value.
type shown struct {
	mu     sync.Mutex
	apps   map[string]*world.App
	jitter float64
	counts map[string]time.Time
	values map[string]time.Time
}

func (c *cluster) watchShown(ctx context.Context) *shown {
	hpas := c.client.AutoscalingV2().HorizontalPodAutoscalers("")
	list, err := hpas.List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		log.Fatal(err)
	}
	w, err := hpas.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		log.Fatal(err)
	}
	s := &shown{apps: map[string]*world.App{}, jitter: c.Jitter, counts: map[string]time.Time{}, values: map[string]time.Time{}}
	for _, a := range world.Apps(c.size) {
		s.apps[a.Namespace+"/"+a.Name] = a
	}
	go func() {
		for e := range w.ResultChan() {
			if h, ok := e.Object.(*hpav2.HorizontalPodAutoscaler); ok {
				s.note(h, time.Now(), c.size)
			}
		}
		if ctx.Err() == nil {
			log.Fatal("the watch on HPAs ended early: what it would have shown is lost")
		}
	}()
	return s
}

func (s *shown) note(h *hpav2.HorizontalPodAutoscaler, now time.Time, size world.Size) {
	k := h.Namespace + "/" + h.Name
	a := s.apps[k]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.counts[k]; !ok {
		if low, high := world.Expected(size, a, 2); int(h.Status.DesiredReplicas) >= low && int(h.Status.DesiredReplicas) <= high {
			s.counts[k] = now
		}
	}
	if _, ok := s.values[k]; !ok && s.right(h, a) {
		s.values[k] = now
	}
}

// right: each value is within a tenth of its target of what the load may be, which varies by the jitter.
func (s *shown) right(h *hpav2.HorizontalPodAutoscaler, a *world.App) bool {
	slack := 0.1 + 2*a.Base*1.5*s.jitter
	for _, m := range h.Status.CurrentMetrics {
		if ratio := ratio(m); math.Abs(ratio-2*a.Base) > slack {
			return false
		}
	}
	return len(h.Status.CurrentMetrics) == len(h.Spec.Metrics)
}

// ratio of a shown value to its target in the bench's world.
func ratio(m hpav2.MetricStatus) float64 {
	utilization := func(v hpav2.MetricValueStatus, target float64) float64 {
		if v.AverageUtilization == nil {
			return 0
		}
		return float64(*v.AverageUtilization) / target
	}
	average := func(v hpav2.MetricValueStatus, target float64) float64 {
		if v.AverageValue == nil {
			return 0
		}
		return v.AverageValue.AsApproximateFloat64() / target
	}
	switch {
	case m.Resource != nil && m.Resource.Name == "memory":
		return utilization(m.Resource.Current, world.MemTarget)
	case m.Resource != nil:
		return utilization(m.Resource.Current, world.CPUTarget)
	case m.ContainerResource != nil:
		return utilization(m.ContainerResource.Current, world.CPUTarget)
	case m.Pods != nil:
		return average(m.Pods.Current, world.PodsTarget)
	case m.External != nil:
		return average(m.External.Current, world.ExternalTarget)
	}
	return 0
}

// moveAll doubles all loads at once.
func (c *cluster) moveAll(ctx context.Context, p *controller, n *counts) (*result.Reaction, *result.Shown) {
	s := c.watchShown(ctx)
	at := time.Now().Truncate(15 * time.Second).Add(15 * time.Second) // the next sample
	r := c.react(p, n, c.size.Apps, 1, 3*time.Minute)
	p.wait(3*time.Minute, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.values) == c.size.Apps && len(s.counts) == c.size.Apps
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &result.Shown{Counts: times(s.counts, at, c.size.Apps), Values: times(s.values, at, c.size.Apps)}
	log.Print(strings.TrimSpace("shown: counts " + describe(out.Counts) + "; values " + describe(out.Values)))
	return r, out
}

func describe(t result.Times) string {
	return fmt.Sprintf("%d of %d, p50 %.1f s, p99 %.1f s, max %.1f s", t.Came, t.Of, t.P50S, t.P99S, t.MaxS)
}

func times(m map[string]time.Time, at time.Time, of int) result.Times {
	var all []float64
	for _, t := range m {
		all = append(all, t.Sub(at).Seconds())
	}
	sort.Float64s(all)
	return result.Times{Of: of, Came: len(all), P50S: quantile(all, .5), P99S: quantile(all, .99), MaxS: quantile(all, 1)}
}
