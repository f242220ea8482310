package main

import (
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"trimtab.dev/benches/cluster/world"
)

var versions = map[string][]string{"metrics.k8s.io": {"v1beta1"}, "custom.metrics.k8s.io": {"v1beta2", "v1beta1"}, "external.metrics.k8s.io": {"v1beta1"}}

func group(name string) metav1.APIGroup {
	g := metav1.APIGroup{TypeMeta: metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}, Name: name}
	for _, v := range versions[name] {
		g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{GroupVersion: name + "/" + v, Version: v})
	}
	g.PreferredVersion = g.Versions[0]
	return g
}

func resources(g, v string) metav1.APIResourceList {
	l := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: g + "/" + v}
	switch g {
	case "metrics.k8s.io":
		l.APIResources = []metav1.APIResource{{Name: "nodes", Kind: "NodeMetrics", Verbs: metav1.Verbs{"get", "list"}},
			{Name: "pods", Kind: "PodMetrics", Namespaced: true, Verbs: metav1.Verbs{"get", "list"}}}
	case "custom.metrics.k8s.io":
		l.APIResources = []metav1.APIResource{{Name: "pods/" + world.PodsMetric, Kind: "MetricValueList", Namespaced: true, Verbs: metav1.Verbs{"get"}}}
	case "external.metrics.k8s.io":
		l.APIResources = []metav1.APIResource{{Name: world.ExternalMetric, Kind: "ExternalMetricValueList", Namespaced: true, Verbs: metav1.Verbs{"get"}}}
	}
	return l
}

func serve(w http.ResponseWriter, req *http.Request) {
	r := reply{w: w, r: req, kind: "other", proto: strings.Contains(req.Header.Get("Accept"), pbType)}
	p := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	if len(p) > 0 && p[0] == "apis" && len(p) <= 3 {
		r.kind, r.proto = "discovery", false
		switch {
		case len(p) == 1:
			l := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
			for g := range versions {
				l.Groups = append(l.Groups, group(g))
			}
			r.object("v1", "APIGroupList", l)
			return
		case versions[p[1]] == nil:
		case len(p) == 2:
			r.object("v1", "APIGroup", group(p[1]))
			return
		default:
			r.object("v1", "APIResourceList", resources(p[1], p[2]))
			return
		}
	}
	if len(p) >= 4 && p[0] == "apis" {
		if req.Method != "GET" || req.URL.Query().Get("watch") == "true" || req.URL.Query().Get("watch") == "1" {
			r.fail(405, metav1.StatusReasonMethodNotAllowed, "the server does not allow this method on the requested resource")
			return
		}
		rest := p[3:]
		switch {
		case p[1] == "metrics.k8s.io" && len(rest) == 1 && rest[0] == "nodes":
			r.kind, r.proto = "nodes", false
			r.send([][]byte{[]byte(`{"kind":"NodeMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":[]}`)})
			return
		case p[1] == "metrics.k8s.io" && len(rest) == 1 && rest[0] == "pods":
			r.kind = "pods cluster"
			r.podList("")
			return
		case p[1] == "metrics.k8s.io" && len(rest) == 3 && rest[2] == "pods":
			r.kind = "pods namespace"
			if req.URL.Query().Get("labelSelector") != "" {
				r.kind = "pods selector"
			}
			r.podList(rest[1])
			return
		case p[1] == "metrics.k8s.io" && len(rest) == 4 && rest[2] == "pods":
			r.kind = "pod"
			r.podGet(rest[1], rest[3])
			return
		case p[1] == "custom.metrics.k8s.io" && len(rest) == 5 && rest[2] == "pods":
			r.kind = "custom"
			r.custom(p[2], rest[1], rest[3], rest[4])
			return
		case p[1] == "external.metrics.k8s.io" && len(rest) == 3:
			r.kind = "external"
			r.external(rest[1], rest[2])
			return
		}
	}
	r.fail(404, metav1.StatusReasonNotFound, "the server could not find the requested resource")
}
