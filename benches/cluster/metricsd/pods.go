package main

import (
	"encoding/binary"
	"encoding/json"
	"log"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"trimtab.dev/benches/cluster/world"
)

// An app's metrics are kept rendered, as JSON and as protobuf, until the next sample.
type app struct {
	*world.App
	labels labels.Set
	load   atomic.Pointer[load]

	mu        sync.Mutex
	heads     [2][][]byte // per pod: the constant start of its PodMetrics, JSON and protobuf
	chunks    [2][]byte   // all pods of the app as list items, JSON (comma-separated) and protobuf
	ends      [2][]int    // where each pod's item ends in the chunk
	stamp     [2]stamp    // what the chunks were rendered for
	lastRead  time.Time
	readCount int
	counters  []float64 // requests of each pod since the first scrape
	counted   time.Time
}

// load is a factor on an app's usage; a change shows with the sample of the epoch `from`.
type load struct {
	before, value float64
	from          int64
}

func (l *load) at(epoch int64) float64 {
	if epoch < l.from {
		return l.before
	}
	return l.value
}

type stamp struct {
	epoch  int64
	load   float64
	jitter float64
}

func epochOf(t time.Time) int64 { return t.UnixNano() / int64(period) }
func epochTime(e int64) time.Time {
	return time.Unix(0, e*int64(period)).UTC()
}

func (a *app) factor(pod int, epoch int64) float64 {
	return a.Base * a.load.Load().at(epoch) * world.Jitter(math.Float64frombits(jitter.Load()), a.N, pod, epoch)
}

// usage of a pod's containers in nanocores and KiB.
func (a *app) usage(pod int, epoch int64) (cpu, mem [2]int64) {
	f := a.factor(pod, epoch)
	c, m := f*world.CPUTarget/100, f*world.MemTarget/100
	cpu = [2]int64{int64(c * world.MainCPU * 1e6), int64(c * world.SideCPU * 1e6)}
	mem = [2]int64{int64(m * world.MainMem * 1024), int64(m * world.SideMem * 1024)}
	return
}

var containers = [2]string{"main", "sidecar"}

func uvarint(b []byte, x uint64) []byte { return binary.AppendUvarint(b, x) }
func ld(b []byte, tag byte, v []byte) []byte {
	return append(uvarint(append(b, tag), uint64(len(v))), v...)
}

// chunk returns the app's list items, rendering them anew when the period or the load changed. a.mu held.
func (a *app) chunk(f int) []byte {
	epoch := epochOf(time.Now())
	now := stamp{epoch, a.load.Load().at(epoch), math.Float64frombits(jitter.Load())}
	if a.chunks[f] != nil && a.stamp[f] == now {
		return a.chunks[f]
	}
	if a.heads[f] == nil {
		a.makeHeads(f)
	}
	at := epochTime(now.epoch)
	out := make([]byte, 0, len(a.chunks[f])+64)
	ends := a.ends[f][:0]
	when := at.Format(time.RFC3339)
	var item, cont, tmp []byte
	for p := range a.Pods {
		cpu, mem := a.usage(p, now.epoch)
		if f == 0 {
			if p > 0 {
				out = append(out, ',')
			}
			out = append(out, a.heads[0][p]...)
			out = append(out, `,"timestamp":"`...)
			out = append(out, when...)
			out = append(out, `","window":"`...)
			out = append(out, window.String()...)
			out = append(out, `","containers":[`...)
			for c := range containers {
				if c > 0 {
					out = append(out, ',')
				}
				out = append(append(out, `{"name":"`...), containers[c]...)
				out = strconv.AppendInt(append(out, `","usage":{"cpu":"`...), cpu[c], 10)
				out = strconv.AppendInt(append(out, `n","memory":"`...), mem[c], 10)
				out = append(out, `Ki"}}`...)
			}
			out = append(out, "]}"...)
		} else {
			item = append(item[:0], a.heads[1][p]...)
			tmp = uvarint(append(tmp[:0], 8), uint64(at.Unix()))
			item = ld(item, 0x12, append(tmp, 16, 0))
			item = ld(item, 0x1a, uvarint(append(tmp[:0], 8), uint64(window)))
			for c := range containers {
				cont = ld(cont[:0], 0x0a, []byte(containers[c]))
				cont = ld(cont, 0x12, entry("cpu", strconv.FormatInt(cpu[c], 10)+"n"))
				cont = ld(cont, 0x12, entry("memory", strconv.FormatInt(mem[c], 10)+"Ki"))
				item = ld(item, 0x22, cont)
			}
			out = ld(out, 0x12, item)
		}
		ends = append(ends, len(out))
	}
	a.chunks[f], a.ends[f], a.stamp[f] = out, ends, now
	return out
}

func entry(name, value string) []byte {
	return ld(ld(nil, 0x0a, []byte(name)), 0x12, ld(nil, 0x0a, []byte(value)))
}

func (a *app) makeHeads(f int) {
	a.heads[f] = make([][]byte, len(a.Pods))
	for p, name := range a.Pods {
		l := map[string]string{"pod-template-hash": a.Hash}
		for k, v := range a.labels {
			l[k] = v
		}
		m := metav1.ObjectMeta{Namespace: a.Namespace, Name: name, CreationTimestamp: metav1.NewTime(start.Truncate(time.Second)), Labels: l}
		if f == 0 {
			b, err := json.Marshal(m)
			check(err)
			a.heads[0][p] = append([]byte(`{"metadata":`), b...)
		} else {
			b, err := m.Marshal()
			check(err)
			a.heads[1][p] = ld(nil, 0x0a, b)
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
