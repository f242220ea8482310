package main

import (
	"context"
	"log"
	"math/rand/v2"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"trimtab.dev/benches/cluster/result"
	"trimtab.dev/benches/cluster/world"
)

// wavesApart so that four waves meet four phases of a period of 15 s.
const wavesApart = 18750 * time.Millisecond

type change struct {
	at       time.Time
	replicas int32
}

// counts watches when each deployment's spec.replicas first changed.
type counts struct {
	mu      sync.Mutex
	before  map[string]int32
	changed map[string]change
}

func (c *cluster) watchCounts(ctx context.Context) *counts {
	deployments := c.client.AppsV1().Deployments("")
	list, err := deployments.List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		log.Fatal(err)
	}
	w, err := deployments.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		log.Fatal(err)
	}
	n := &counts{before: map[string]int32{}, changed: map[string]change{}}
	for _, d := range list.Items {
		n.before[d.Namespace+"/"+d.Name] = *d.Spec.Replicas
	}
	go func() {
		for e := range w.ResultChan() {
			now := time.Now()
			d, ok := e.Object.(*appsv1.Deployment)
			if !ok {
				continue
			}
			k := d.Namespace + "/" + d.Name
			n.mu.Lock()
			if _, seen := n.changed[k]; !seen && *d.Spec.Replicas != n.before[k] {
				n.changed[k] = change{now, *d.Spec.Replicas}
			}
			n.mu.Unlock()
		}
		if ctx.Err() == nil {
			log.Fatal("the watch on deployments ended early: reactions after now would be lost")
		}
	}()
	return n
}

// double the load of apps; answers when metricsd can first show it.
func (c *cluster) double(wave []*world.App) time.Time {
	q := url.Values{"value": {"2"}}
	for _, a := range wave {
		q.Add("app", a.Namespace+"/"+a.Name)
	}
	if len(wave) == c.size.Apps {
		q.Del("app")
	}
	b, err := get(c.Control + "/load?" + q.Encode())
	if err != nil {
		log.Fatal(err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	return time.Unix(0, ns)
}

// react doubles the loads of `flips` deployments in waves, and waits until all have another count.
func (c *cluster) react(p *controller, n *counts, flips, waves int, longest time.Duration) *result.Reaction {
	apps := world.Apps(c.size)
	order := rand.New(rand.NewPCG(7, uint64(len(apps)))).Perm(len(apps))[:min(flips, len(apps))]
	since := map[string]time.Time{}
	before := cpu(tree(p.cmd.Process.Pid)...)
	size := (len(order) + waves - 1) / waves
	for i := 0; i < len(order) && p.alive(); i += size {
		var wave []*world.App
		for _, k := range order[i:min(i+size, len(order))] {
			wave = append(wave, apps[k])
		}
		at := c.double(wave)
		for _, a := range wave {
			since[a.Namespace+"/"+a.Name] = at
		}
		if i+size < len(order) {
			p.wait(wavesApart, nil)
		}
	}
	p.wait(longest, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		for k := range since {
			if _, ok := n.changed[k]; !ok {
				return false
			}
		}
		return true
	})
	r := &result.Reaction{Flipped: len(since), CPUS: cpu(tree(p.cmd.Process.Pid)...) - before}
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []float64
	for _, k := range order {
		name := apps[k].Namespace + "/" + apps[k].Name
		to, did := n.changed[name]
		at, flipped := since[name]
		if !did || !flipped {
			continue
		}
		d := to.at.Sub(at).Seconds()
		if d < 0 {
			r.Spurious++
			continue
		}
		all = append(all, d)
		if low, high := world.Expected(c.size, apps[k], 2); int(to.replicas) < low || int(to.replicas) > high {
			r.Wrong++
		}
	}
	for k := range n.changed {
		if _, ok := since[k]; !ok {
			r.Spurious++
		}
	}
	sort.Float64s(all)
	r.Reacted, r.P50S, r.P99S, r.MaxS = len(all), quantile(all, .5), quantile(all, .99), quantile(all, 1)
	log.Printf("reaction: %d of %d, p50 %.2f s, p99 %.2f s, max %.2f s, %d spurious, %d wrong", r.Reacted, r.Flipped, r.P50S, r.P99S, r.MaxS, r.Spurious, r.Wrong)
	return r
}
