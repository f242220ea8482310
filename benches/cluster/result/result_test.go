package result

import "testing"

func TestWhatIsNotTheControllersIsNotCounted(t *testing.T) {
	r := Result{
		Idle: Window{Seconds: 10, CPUS: map[string]float64{"apiserver": 1}},
		Steady: Window{Seconds: 20, Evaluations: 100, CPUS: map[string]float64{"apiserver": 3, "controller": 1},
			Requests: map[string]float64{
				"PATCH autoscaling horizontalpodautoscalers status 200": 7, "GET apps deployments scale 200": 3,
				"WATCH  pods  200": 50, "PUT coordination.k8s.io leases  200": 50, "GET   openapi/v3 200": 50},
			Metrics: map[string]Count{"pods cluster json": {Requests: 10}, "discovery json": {Requests: 50}}},
	}
	for what, x := range map[string][2]float64{
		"requests":      {r.Requests(), 0.2},
		"status writes": {r.StatusWrites(), 0.07},
		"over idle":     {r.OverIdleMillis("apiserver"), 10},
		"its own":       {r.CPUMillis(), 10},
	} {
		if d := x[0] - x[1]; d > 1e-9 || d < -1e-9 {
			t.Errorf("%s: %v, not %v", what, x[0], x[1])
		}
	}
}
