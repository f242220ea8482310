// metricsd is an aggregated API server with the three metrics APIs for the bench's cluster, from memory: metrics.k8s.io
// v1beta1 (as metrics-server serves it: JSON and protobuf, gzip above 128 KiB), custom.metrics.k8s.io v1beta2 and v1beta1
// and external.metrics.k8s.io v1beta1. A control endpoint changes loads, counts requests and bytes by kind, and tells how
// long each app went unread; a third shows the same values to Prometheus.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"trimtab.dev/benches/cluster/world"
)

const (
	pbType   = "application/vnd.kubernetes.protobuf"
	jsonType = "application/json"
	period   = 15 * time.Second // how often usage is sampled anew, as metrics-server's default
	window   = 15*time.Second + 12*time.Millisecond
)

var (
	apps   []*app
	byNS   = map[string][]*app{}
	byName = map[string]*app{} // ns/name
	jitter atomic.Uint64
	start  = time.Now()
)

// GET /stats[?reset=1]  POST /load?value=2[&app=ns/name...]  POST /jitter?value=0.03  GET /metrics
func control(w http.ResponseWriter, req *http.Request) {
	v := req.URL.Query()
	value, _ := strconv.ParseFloat(v.Get("value"), 64)
	switch req.URL.Path {
	case "/stats":
		json.NewEncoder(w).Encode(summary(time.Now()))
		if v.Get("reset") != "" {
			reset()
		}
	case "/load":
		which := apps
		if names := v["app"]; len(names) > 0 {
			which = nil
			for _, n := range names {
				if a := byName[n]; a != nil {
					which = append(which, a)
				} else {
					http.Error(w, "no app "+n, 404)
					return
				}
			}
		}
		// As with a real metrics server, a new load shows with the next sample. The answer is when that is.
		next := epochOf(time.Now()) + 1
		for _, a := range which {
			a.load.Store(&load{a.load.Load().at(next - 1), value, next})
		}
		fmt.Fprintln(w, epochTime(next).UnixNano())
	case "/jitter":
		jitter.Store(math.Float64bits(value))
		fmt.Fprintln(w, time.Now().UnixNano())
	case "/metrics":
		exposition(w)
	default:
		http.NotFound(w, req)
	}
}

func main() {
	size := flag.String("size", "S", "size: T, S, M, L, XL, or APPSxPODS")
	mix := flag.String("mix", world.Mixed, "which metrics the HPAs go by: mixed, resource, prometheus")
	addr := flag.String("listen", "127.0.0.1:16450", "the aggregated API's address (TLS)")
	ctl := flag.String("control", "127.0.0.1:16451", "the control endpoint's address (plain HTTP)")
	cert := flag.String("cert", "", "serving certificate")
	key := flag.String("key", "", "its key")
	j := flag.Float64("jitter", 0.03, "how much each pod's usage varies from sample to sample")
	flag.Parse()
	s, err := world.Named(*size, *mix)
	check(err)
	jitter.Store(math.Float64bits(*j))
	for _, w := range world.Apps(s) {
		a := &app{App: w, labels: labels.Set(w.Labels())}
		a.load.Store(&load{1, 1, 0})
		apps = append(apps, a)
		byNS[w.Namespace] = append(byNS[w.Namespace], a)
		byName[w.Namespace+"/"+w.Name] = a
	}
	c, err := net.Listen("tcp", *ctl)
	check(err)
	go http.Serve(c, http.HandlerFunc(control))
	log.Fatal((&http.Server{Addr: *addr, Handler: http.HandlerFunc(serve)}).ListenAndServeTLS(*cert, *key))
}
