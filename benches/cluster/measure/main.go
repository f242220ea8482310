// measure runs one HPA controller against the bench's cluster and writes what it cost and how fast it reacted as JSON.
//
//	measure -run FOLDER -name trimtab -out x.json -- ./trimtab run --kubeconfig {kubeconfig}
//
// {kubeconfig}, {run} and the cluster's other places are replaced in the command.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"time"

	hpav2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"trimtab.dev/benches/cluster/result"
	"trimtab.dev/benches/cluster/world"
)

// cluster as `run` has started it: cluster.json.
type cluster struct {
	Size, Mix, API, Kubeconfig, Control, Prometheus string
	Jitter                                          float64
	Busy                                            int
	Pids                                            map[string]int
	Places                                          map[string]string

	folder string
	size   world.Size
	client *kubernetes.Clientset
}

type options struct {
	metricsURL, evaluations, interval, missed string
}

func (c *cluster) connect(folder string) error {
	b, err := os.ReadFile(filepath.Join(folder, "cluster.json"))
	if err == nil {
		err = json.Unmarshal(b, c)
	}
	if err != nil {
		return err
	}
	c.folder = folder
	if c.size, err = world.Named(c.Size, c.Mix); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return err
	}
	cert, err := tls.LoadX509KeyPair(config.CertFile, config.KeyFile)
	if err != nil {
		return err
	}
	// Only loopback is asked, and by certificates that the bench made a moment ago.
	httpc = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}}}}
	config.ContentType, config.QPS, config.Burst = "application/vnd.kubernetes.protobuf", 1000, 1000
	c.client, err = kubernetes.NewForConfig(config)
	return err
}

// unread is how many apps' metrics come from Prometheus instead of metricsd.
func (c *cluster) unread() (n int) {
	if c.Prometheus == "" {
		return 0
	}
	for _, a := range world.Apps(c.size) {
		if a.Kind == world.Pods || a.Kind == world.External {
			n++
		}
	}
	return
}

func main() {
	folder := flag.String("run", os.Getenv("RUN"), "the cluster's state folder")
	name := flag.String("name", "controller", "what is measured")
	build := flag.String("build", "", "which build of it")
	out := flag.String("out", "", "result file")
	var o options
	flag.StringVar(&o.metricsURL, "metrics-url", "", "the controller's own metrics")
	flag.StringVar(&o.evaluations, "evaluations", "horizontal_pod_autoscaler_controller_reconciliation_duration_seconds_count", "its counter of evaluated HPAs (label error, other than none, is an error)")
	flag.StringVar(&o.interval, "interval", "", "its gauge of the longest time, in its last pass, from one evaluation's start to the next of the same autoscaler")
	flag.StringVar(&o.missed, "missed", "", "its counter of evaluations that began later than due, since the one before still ran")
	idle := flag.Duration("idle", 30*time.Second, "how long the cluster is measured before the controller starts")
	calm := flag.Duration("calm", 15*time.Second, "wait before that")
	startMax := flag.Duration("start-max", 10*time.Minute, "longest wait for the first full pass")
	settle := flag.Duration("settle", 30*time.Second, "wait after the first full pass")
	minutes := flag.Float64("minutes", 1, "steady window")
	flips := flag.Int("flips", 100, "deployments whose load doubles")
	waves := flag.Int("waves", 4, "in how many waves")
	reactMax := flag.Duration("react-max", 3*time.Minute, "longest wait for reactions after the last wave")
	all := flag.Bool("all", false, "all loads double at once, and the statuses are watched, in the place of waves")
	flag.Parse()
	if flag.NArg() == 0 {
		log.Fatal("no command")
	}
	var c cluster
	if err := c.connect(*folder); err != nil {
		log.Fatal(err)
	}
	res := result.Result{Name: *name, Build: *build, Size: c.size, Jitter: c.Jitter, Command: append([]string{filepath.Base(flag.Arg(0))}, flag.Args()[1:]...), Machine: machine(c.Busy == 1)}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	counts := c.watchCounts(ctx)
	if *idle > 0 {
		time.Sleep(*calm)
		res.Idle = c.window(&o, nil, *idle)
	}

	c.account(true)
	began := time.Now()
	p := startController(&c, flag.Args())
	log.Printf("%s: started, waiting for the first full pass over %d HPAs", *name, c.size.Apps)
	p.wait(*startMax, func() bool {
		if int(c.account(false).Never) <= c.unread() {
			res.Start.FirstPassS = time.Since(began).Seconds()
			return true
		}
		return false
	})
	res.Start.CPUS, res.Start.PeakMB = cpu(p.pids...), p.peak
	log.Printf("first pass after %.1f s, %.1f CPU s, peak %.0f MB", res.Start.FirstPassS, res.Start.CPUS, p.peak)
	p.wait(*settle, nil)
	res.Steady = c.window(&o, p, time.Duration(*minutes*float64(time.Minute)))
	s := &res.Steady
	log.Printf("steady: %.0f s, %.2f CPU s, %.0f evaluations (%.0f failed), RSS %.0f MB", s.Seconds, s.CPUS["controller"], s.Evaluations, s.Failed, s.MemoryMB)
	switch {
	case *all:
		res.Reaction, res.Shown = c.moveAll(ctx, p, counts)
	case *flips > 0:
		res.Reaction = c.react(p, counts, *flips, *waves, *reactMax)
	}
	p.sample()
	res.PeakMB = p.peak
	cancel()
	p.stop()
	res.Exited = p.end
	res.AtEnd = c.atEnd()
	if err := write(*out, &res); err != nil {
		log.Fatal(err)
	}
	if p.end != "by measure" {
		log.Fatalf("%s ended %s; its output is in %s", *name, p.end, filepath.Join(*folder, "log", "controller.log"))
	}
}

func (c *cluster) atEnd() (e result.AtEnd) {
	hpas, err := c.client.AutoscalingV2().HorizontalPodAutoscalers("").List(context.Background(), metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		log.Fatal(err)
	}
	e.Total = len(hpas.Items)
	for _, h := range hpas.Items {
		if len(h.Status.CurrentMetrics) == len(h.Spec.Metrics) {
			e.WithMetrics++
		}
		for _, c := range h.Status.Conditions {
			if c.Type == hpav2.ScalingActive && c.Status == "True" {
				e.ScalingActive++
			}
		}
	}
	return
}

// write with three decimals, which is more than repeats agree on.
func write(file string, r *result.Result) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	var fresh result.Result
	b, _ = json.Marshal(rounded(v))
	if err := json.Unmarshal(b, &fresh); err != nil {
		return err
	}
	if b, err = json.MarshalIndent(&fresh, "", " "); err != nil {
		return err
	}
	if file == "" {
		_, err = fmt.Println(string(b))
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

func rounded(v any) any {
	switch v := v.(type) {
	case float64:
		return math.Round(v*1000) / 1000
	case []any:
		for i := range v {
			v[i] = rounded(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = rounded(v[k])
		}
	}
	return v
}
