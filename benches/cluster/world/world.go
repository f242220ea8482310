// Package world is the cluster that the bench simulates, as a pure function of its size: seed writes it into etcd and
// metricsd reports on it, so neither needs to ask the other.
package world

import (
	"fmt"
	"hash/fnv"
	"math"
)

// Size of a cluster: Apps deployments with one HPA each, Pods pods per deployment, PerNS deployments per namespace.
type Size struct {
	Name  string `json:"name"`
	Mix   string `json:"mix"`
	Apps  int    `json:"apps"`
	Pods  int    `json:"pods"`
	PerNS int    `json:"apps_per_namespace"`
}

var sizes = map[string]Size{
	"T":  {Apps: 20, Pods: 5},
	"S":  {Apps: 200, Pods: 10},
	"M":  {Apps: 1000, Pods: 20},
	"L":  {Apps: 5000, Pods: 20},
	"XL": {Apps: 10000, Pods: 10},
}

// Named size with a mix: T, S, M, L, XL, or APPSxPODS, such as 100x10.
func Named(name, mix string) (Size, error) {
	s, ok := sizes[name]
	if !ok {
		if _, err := fmt.Sscanf(name, "%dx%d", &s.Apps, &s.Pods); err != nil || s.Apps < 1 || s.Pods < 1 {
			return s, fmt.Errorf("no size %q: T, S, M, L, XL, or APPSxPODS", name)
		}
	}
	if _, ok := mixes[mix]; !ok {
		return s, fmt.Errorf("no mix %q: mixed, resource or prometheus", mix)
	}
	s.Name, s.Mix, s.PerNS = name, mix, 10
	return s, nil
}

// Kind says by which metrics an HPA scales.
type Kind int

const (
	CPU       Kind = iota // Resource cpu, Utilization
	CPUMemory             // Resource cpu and Resource memory, both Utilization
	Container             // ContainerResource cpu of container main, Utilization
	Pods                  // Pods metric, AverageValue
	External              // External metric, AverageValue
)

func (k Kind) String() string {
	return [...]string{"cpu", "cpu+memory", "container", "pods", "external"}[k]
}

// Mixes of kinds, of each ten HPAs.
const (
	Mixed      = "mixed"      // a fifth needs an adapter
	Resource   = "resource"   // resource metrics alone
	Prometheus = "prometheus" // half go by metrics that Prometheus has
)

var mixes = map[string][10]Kind{
	Mixed:      {CPU, CPUMemory, CPU, Container, CPU, Pods, CPU, External, CPU, CPUMemory},
	Resource:   {CPU, CPUMemory, CPU, Container, CPU, CPU, CPU, CPU, CPU, CPUMemory},
	Prometheus: {CPU, Pods, CPU, External, CPU, Pods, CPUMemory, External, Container, Pods},
}

const (
	MainCPU, SideCPU = 250, 50 // requested millicores
	MainMem, SideMem = 512, 64 // requested MiB
	CPUTarget        = 60      // percent
	MemTarget        = 70      // percent
	PodsTarget       = 100     // requests per second and pod
	ExternalTarget   = 30      // messages per pod
	Tolerance        = 0.1     // the controller's default; base and jitter stay within it
	PodsMetric       = "http_requests_per_second"
	ExternalMetric   = "queue_messages_ready"
)

// App is one deployment with its HPA and pods.
type App struct {
	N         int
	Namespace string
	Name      string
	Hash      string // pod-template-hash
	Kind      Kind
	Pods      []string
	Base      float64 // usage over target while the load is 1, within the tolerance
}

// Labels of the deployment, its HPA and (with pod-template-hash) its pods.
func (a *App) Labels() map[string]string {
	return map[string]string{"app": a.Name, "app.kubernetes.io/name": a.Name, "app.kubernetes.io/part-of": a.Namespace,
		"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/version": "2.14.3", "environment": "production"}
}

func h(parts ...any) uint64 {
	f := fnv.New64a()
	fmt.Fprint(f, parts...)
	x := f.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x
}

const alphabet = "bcdfghjklmnpqrstvwxz2456789"

func word(x uint64, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[x%uint64(len(alphabet))]
		x /= uint64(len(alphabet))
	}
	return string(b)
}

// Apps of a size, by number.
func Apps(s Size) []*App {
	out := make([]*App, s.Apps)
	for i := range out {
		a := &App{N: i, Namespace: fmt.Sprintf("team-%04d", i/s.PerNS), Name: fmt.Sprintf("app-%05d", i), Kind: mixes[s.Mix][i%10]}
		a.Hash = word(h("rs", i), 10)
		a.Base = 0.96 + 0.08*float64(h("base", i)%1000)/1000
		for p := range s.Pods {
			a.Pods = append(a.Pods, fmt.Sprintf("%s-%s-%s", a.Name, a.Hash, word(h("pod", i, p), 5)))
		}
		out[i] = a
	}
	return out
}

// Jitter is the factor on pod p's usage in a period (epoch): +-amount per pod, +-amount/2 per app.
func Jitter(amount float64, app, pod int, epoch int64) float64 {
	if amount == 0 {
		return 1
	}
	mixed := func(a, b uint64) float64 {
		x := a*0x9e3779b97f4a7c15 ^ b*0xc2b2ae3d27d4eb4f ^ uint64(epoch)*0x165667b19e3779f9
		x ^= x >> 33
		x *= 0xff51afd7ed558ccd
		x ^= x >> 29
		return float64(x>>11)/float64(1<<53)*2 - 1
	}
	return (1 + amount/2*mixed(uint64(app), 1<<20)) * (1 + amount*mixed(uint64(app), uint64(pod)))
}

// Expected replicas when the load is multiplied: the ratio algorithm on a cluster whose pods do not follow.
func Expected(s Size, a *App, load float64) (low, high int) {
	x := a.Base * load * float64(s.Pods)
	return int(math.Floor(x * 0.95)), int(math.Ceil(x * 1.05))
}
