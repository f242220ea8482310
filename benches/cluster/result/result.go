// Package result is what one run has measured, as it is kept, and what follows from it.
package result

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"trimtab.dev/benches/cluster/world"
)

// Result of one run.
type Result struct {
	Name     string     `json:"name"`
	Build    string     `json:"build"` // the commit and the profile, or Kubernetes' version
	Size     world.Size `json:"size"`
	Jitter   float64    `json:"jitter"`
	Command  []string   `json:"command"` // as given: {run} and the like stand for folders
	Machine  Machine    `json:"machine"`
	Idle     Window     `json:"idle"` // the same cluster before the controller starts
	Start    Start      `json:"start"`
	Steady   Window     `json:"steady"`
	Reaction *Reaction  `json:"reaction,omitempty"`
	Shown    *Shown     `json:"shown,omitempty"`
	PeakMB   float64    `json:"peak_rss_mb"`
	AtEnd    AtEnd      `json:"hpas_at_end"`
	Exited   string     `json:"exited"`
}

// Machine that it ran on.
type Machine struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	MemoryGB int    `json:"memory_gb"`
	Kernel   string `json:"kernel"`
	Busy     bool   `json:"busy"` // idle-priority spinners filled the cores
	When     string `json:"when"`
}

// Start until the first full pass: every app's metrics read once.
type Start struct {
	FirstPassS float64 `json:"first_pass_s"` // 0: it never came
	CPUS       float64 `json:"cpu_s"`
	PeakMB     float64 `json:"peak_rss_mb"`
}

// Window is what happened over a stretch of time.
type Window struct {
	Seconds       float64            `json:"seconds"`
	CPUS          map[string]float64 `json:"cpu_s"` // controller, apiserver, etcd, metricsd, prometheus; "rest of the machine"
	MemoryMB      float64            `json:"rss_mb,omitempty"`
	FirstMB       float64            `json:"rss_first_fifth_mb,omitempty"` // medians over the first and the last fifth of the window
	LastMB        float64            `json:"rss_last_fifth_mb,omitempty"`
	BytesSent     int64              `json:"tcp_bytes_sent,omitempty"`
	BytesReceived int64              `json:"tcp_bytes_received,omitempty"`
	Evaluations   float64            `json:"evaluations,omitempty"` // by the controller's own counter
	Failed        float64            `json:"evaluations_failed,omitempty"`
	Reads         Reads              `json:"reads"`
	Interval      *Interval          `json:"interval,omitempty"`
	Requests      map[string]float64 `json:"apiserver_requests,omitempty"` // without those that it proxies
	Metrics       map[string]Count   `json:"metrics_requests,omitempty"`   // as metricsd saw them
	Queries       float64            `json:"prometheus_queries,omitempty"`
}

// Reads of each app's metrics, as metricsd saw them; within a second they are one.
type Reads struct {
	Count   float64 `json:"count"`
	Never   float64 `json:"apps_never_read"`
	P50S    float64 `json:"gap_p50_s"`
	P99S    float64 `json:"gap_p99_s"`
	MaxS    float64 `json:"gap_max_s"`
	Late    float64 `json:"late_gaps"`     // longer than 15.5 s
	Skipped float64 `json:"skipped_reads"` // that a gap has left out
}

// Interval from one evaluation's start to the next of the same autoscaler, where the controller tells.
type Interval struct {
	MaxS   float64 `json:"max_s"`
	Missed float64 `json:"missed"` // evaluations that began later than they were due, since the one before still ran
}

// Count of requests and their answers' bytes.
type Count struct {
	Requests float64 `json:"requests"`
	Bytes    float64 `json:"bytes"`
}

// Reaction to loads that doubled: from the instant that metricsd can first answer with them to the written count.
type Reaction struct {
	Flipped  int     `json:"flipped"`
	Reacted  int     `json:"reacted"`
	P50S     float64 `json:"p50_s"`
	P99S     float64 `json:"p99_s"`
	MaxS     float64 `json:"max_s"`
	Wrong    int     `json:"wrong_replicas"`    // more than 5% off the ratio
	Spurious int     `json:"spurious_scalings"` // apps whose load did not change
	CPUS     float64 `json:"controller_cpu_s"`
}

// Shown is when all loads have doubled at once: when the HPAs' statuses tell the new count, and the new values.
type Shown struct {
	Counts Times `json:"counts"`
	Values Times `json:"values"`
}

// Times of those that came.
type Times struct {
	Of   int     `json:"of"`
	Came int     `json:"came"`
	P50S float64 `json:"p50_s"`
	P99S float64 `json:"p99_s"`
	MaxS float64 `json:"max_s"`
}

// AtEnd counts what the HPAs' statuses say.
type AtEnd struct {
	Total         int `json:"total"`
	ScalingActive int `json:"scaling_active"`
	WithMetrics   int `json:"with_all_metrics"`
}

// Load reads a file that measure has written.
func Load(file string) (Result, error) {
	var r Result
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return r, err
}

// Trimtab or, if not, Kubernetes' controller.
func (r *Result) Trimtab() bool { return strings.HasPrefix(r.Name, "trimtab") }

func (r *Result) each(x float64) float64 {
	if r.Steady.Evaluations == 0 {
		return 0
	}
	return x / r.Steady.Evaluations
}

// PassS is the seconds that a pass over all HPAs really took; 15 are wanted.
func (r *Result) PassS() float64 { return float64(r.Size.Apps) * r.each(r.Steady.Seconds) }

// CPUMillis is the controller's CPU for an evaluation.
func (r *Result) CPUMillis() float64 { return 1000 * r.each(r.Steady.CPUS["controller"]) }

// Cores that the controller takes.
func (r *Result) Cores() float64 { return r.Steady.CPUS["controller"] / r.Steady.Seconds }

// OverIdleMillis is a process's CPU for an evaluation, less what it takes before the controller starts.
func (r *Result) OverIdleMillis(process string) float64 {
	idle := 0.0
	if r.Idle.Seconds > 0 {
		idle = r.Idle.CPUS[process] / r.Idle.Seconds * r.Steady.Seconds
	}
	return 1000 * r.each(max(0, r.Steady.CPUS[process]-idle))
}

// not the controller's: leases, watches, and what kube-apiserver asks of itself and of the metrics API's discovery
func ours(request string) bool {
	for _, other := range []string{"leases", "apiservices", "openapi/", "endpoints", "endpointslices"} {
		if strings.Contains(request, other) {
			return false
		}
	}
	return !strings.HasPrefix(request, "WATCH")
}

// Requests for an evaluation, to kube-apiserver, through it to the metrics APIs, and to Prometheus.
func (r *Result) Requests() float64 {
	n := r.Steady.Queries
	for k, v := range r.Steady.Requests {
		if ours(k) {
			n += v
		}
	}
	for k, c := range r.Steady.Metrics {
		if !strings.HasPrefix(k, "discovery") && !strings.HasPrefix(k, "other") {
			n += c.Requests
		}
	}
	return r.each(n)
}

// StatusWrites for an evaluation.
func (r *Result) StatusWrites() float64 {
	n := 0.0
	for k, v := range r.Steady.Requests {
		verb, _, _ := strings.Cut(k, " ")
		if strings.Contains(k, "horizontalpodautoscalers") && (verb == "PUT" || verb == "PATCH" || verb == "APPLY") {
			n += v
		}
	}
	return r.each(n)
}

// KBReceived for an evaluation, over TCP, TLS included.
func (r *Result) KBReceived() float64 { return r.each(float64(r.Steady.BytesReceived)) / 1024 }

// KBSent for an evaluation.
func (r *Result) KBSent() float64 { return r.each(float64(r.Steady.BytesSent)) / 1024 }

// LongestGapS between two evaluations of one autoscaler: by the controller's own account where it gives one, else (and at least) as
// metricsd saw its metrics read.
func (r *Result) LongestGapS() float64 {
	longest := r.Steady.Reads.MaxS
	if i := r.Steady.Interval; i != nil {
		longest = max(longest, i.MaxS)
	}
	return longest
}

// QueriesPerPass of Prometheus.
func (r *Result) QueriesPerPass() float64 { return r.Steady.Queries * 15 / r.Steady.Seconds }
