package main

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	cmv1 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta1"
	cmv2 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	emv1 "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"

	"trimtab.dev/benches/cluster/world"
)

// selected apps: ns "" is all of them.
func selected(ns, selector string) ([]*app, error) {
	in := apps
	if ns != "" {
		in = byNS[ns]
		if name, ok := strings.CutPrefix(selector, "app="); ok && !strings.ContainsAny(name, ",=! ") {
			if a := byName[ns+"/"+name]; a != nil {
				return []*app{a}, nil
			}
			return nil, nil
		}
	}
	if selector == "" {
		return in, nil
	}
	s, err := labels.Parse(selector)
	if err != nil {
		return nil, err
	}
	var out []*app
	for _, a := range in {
		if s.Matches(a.labels) {
			out = append(out, a)
		}
	}
	return out, nil
}

func (r reply) podList(ns string) {
	got, err := selected(ns, r.r.URL.Query().Get("labelSelector"))
	if err != nil {
		r.fail(400, metav1.StatusReasonBadRequest, err.Error())
		return
	}
	f := 0
	if r.proto {
		f = 1
	}
	now := time.Now()
	pieces := make([][]byte, 1, 2*len(got)+2)
	size := 2
	for _, a := range got {
		a.mu.Lock()
		a.read(now)
		c := a.chunk(f)
		a.mu.Unlock()
		if f == 0 && len(pieces) > 1 {
			pieces = append(pieces, []byte{','})
		}
		pieces = append(pieces, c)
		size += len(c)
	}
	if f == 0 {
		pieces[0] = []byte(`{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":[`)
		pieces = append(pieces, []byte("]}"))
	} else {
		pieces[0] = append(unknown("metrics.k8s.io/v1beta1", "PodMetricsList", size), 0x0a, 0)
		pieces = append(pieces, unknownEnd)
	}
	r.send(pieces)
}

func (r reply) podGet(ns, name string) {
	for _, a := range byNS[ns] {
		if !strings.HasPrefix(name, a.Name+"-") {
			continue
		}
		for p := range a.Pods {
			if a.Pods[p] != name {
				continue
			}
			a.mu.Lock()
			a.read(time.Now())
			c := a.chunk(0)
			from := 0
			if p > 0 {
				from = a.ends[0][p-1] + 1
			}
			item := c[from:a.ends[0][p]]
			a.mu.Unlock()
			r.proto = false
			r.send([][]byte{[]byte(`{"kind":"PodMetrics","apiVersion":"metrics.k8s.io/v1beta1",`), item[1:]})
			return
		}
	}
	r.fail(404, metav1.StatusReasonNotFound, fmt.Sprintf("podmetrics.metrics.k8s.io %q not found", ns+"/"+name))
}

func (r reply) custom(version, ns, object, metric string) {
	if metric != world.PodsMetric {
		r.fail(404, metav1.StatusReasonNotFound, "no such metric "+metric)
		return
	}
	var got []*app
	var err error
	if object == "*" {
		got, err = selected(ns, r.r.URL.Query().Get("labelSelector"))
	} else if i := strings.LastIndex(object, "-"); i > 0 {
		if j := strings.LastIndex(object[:i], "-"); j > 0 {
			got, err = selected(ns, "app="+object[:j])
		}
	}
	if err != nil {
		r.fail(400, metav1.StatusReasonBadRequest, err.Error())
		return
	}
	epoch := epochOf(time.Now())
	at := metav1.NewTime(epochTime(epoch))
	v1, v2 := cmv1.MetricValueList{}, cmv2.MetricValueList{}
	v1.TypeMeta = metav1.TypeMeta{Kind: "MetricValueList", APIVersion: "custom.metrics.k8s.io/v1beta1"}
	v2.TypeMeta = metav1.TypeMeta{Kind: "MetricValueList", APIVersion: "custom.metrics.k8s.io/v1beta2"}
	for _, a := range got {
		a.mu.Lock()
		a.read(time.Now())
		a.mu.Unlock()
		for p, name := range a.Pods {
			if object != "*" && object != name {
				continue
			}
			value := *resource.NewMilliQuantity(int64(a.factor(p, epoch)*world.PodsTarget*1000), resource.DecimalSI)
			if version == "v1beta1" {
				x := cmv1.MetricValue{MetricName: metric, Timestamp: at, Value: value}
				x.DescribedObject.Kind, x.DescribedObject.Namespace, x.DescribedObject.Name, x.DescribedObject.APIVersion = "Pod", a.Namespace, name, "/v1"
				v1.Items = append(v1.Items, x)
			} else {
				x := cmv2.MetricValue{Metric: cmv2.MetricIdentifier{Name: metric}, Timestamp: at, Value: value}
				x.DescribedObject.Kind, x.DescribedObject.Namespace, x.DescribedObject.Name, x.DescribedObject.APIVersion = "Pod", a.Namespace, name, "/v1"
				v2.Items = append(v2.Items, x)
			}
		}
	}
	if version == "v1beta1" {
		r.object("custom.metrics.k8s.io/v1beta1", "MetricValueList", &v1)
	} else {
		r.object("custom.metrics.k8s.io/v1beta2", "MetricValueList", &v2)
	}
}

func (r reply) external(ns, metric string) {
	if metric != world.ExternalMetric {
		r.fail(404, metav1.StatusReasonNotFound, "no such metric "+metric)
		return
	}
	got, err := selected(ns, r.r.URL.Query().Get("labelSelector"))
	if err != nil {
		r.fail(400, metav1.StatusReasonBadRequest, err.Error())
		return
	}
	epoch := epochOf(time.Now())
	l := emv1.ExternalMetricValueList{TypeMeta: metav1.TypeMeta{Kind: "ExternalMetricValueList", APIVersion: "external.metrics.k8s.io/v1beta1"}}
	for _, a := range got {
		a.mu.Lock()
		a.read(time.Now())
		a.mu.Unlock()
		v := a.factor(0, epoch) * world.ExternalTarget * float64(len(a.Pods)) * 1000
		l.Items = append(l.Items, emv1.ExternalMetricValue{MetricName: metric, MetricLabels: map[string]string{"app": a.Name, "queue": a.Name + "-work"},
			Timestamp: metav1.NewTime(epochTime(epoch)), Value: *resource.NewMilliQuantity(int64(v), resource.DecimalSI)})
	}
	r.object("external.metrics.k8s.io/v1beta1", "ExternalMetricValueList", &l)
}
