package oracle

import (
	"math"

	"k8s.io/apimachinery/pkg/api/resource"
)

// hasAccident tells whether a scenario's decisions come from Go's integers having wrapped around. Nobody should copy
// that (../../spec/deviations.md), and the extreme worlds now and then get there by a path that they cannot foresee.
func hasAccident(s *Scenario) bool {
	for _, step := range s.Steps {
		if metricsWrap(step) {
			return true
		}
		for _, e := range step.Expect {
			if e.ScaledTo != nil && *e.ScaledTo < 0 || e.Status != nil && e.Status.DesiredReplicas < 0 {
				return true
			}
		}
	}
	return false
}

// metricsWrap tells whether the pods' usage or custom values, added up in milli, leave an int64.
func metricsWrap(step Step) bool {
	sums := map[string]float64{}
	add := func(name string, q resource.Quantity) { sums[name] += math.Abs(q.AsApproximateFloat64()) * 1000 }
	if step.PodMetrics != nil {
		for _, pod := range step.PodMetrics.Items {
			for _, container := range pod.Containers {
				for name, usage := range container.Usage {
					add(string(name), usage)
				}
			}
		}
	}
	if step.CustomMetrics != nil {
		for _, value := range *step.CustomMetrics {
			add("custom "+value.Metric.Name, value.Value)
		}
	}
	for _, sum := range sums {
		if sum >= math.MaxInt64 {
			return true
		}
	}
	return false
}
