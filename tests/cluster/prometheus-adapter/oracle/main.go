// Says what Prometheus Adapter itself would ask Prometheus for: tests/adapter-rules/record keeps it beside the rules, and
// tests/adapter_rules.rs compares trimtab's queries with it.
//
// Usage: oracle NAME..., for NAME.rules.yaml and NAME.asked.yaml; writes NAME.adapter.
package main

import (
	"fmt"
	"log"
	"os"
	"strings"

	"gopkg.in/yaml.v2"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	prom "sigs.k8s.io/prometheus-adapter/pkg/client"
	"sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/prometheus-adapter/pkg/naming"
)

// asked is what is asked of a rule file: the form of *.asked.yaml.
type asked struct {
	// The names of the series behind each series query that has to be listed.
	Series  map[string][]string
	Metrics []metric
}

type metric struct{ Type, Name, Selector, Object string }

// Whoever asks: its namespace and its pods.
const namespace = "shop"

var pods = []string{"web-1", "web-2"}

func main() {
	log.SetFlags(0)
	for _, name := range os.Args[1:] {
		if err := record(name); err != nil {
			log.Fatalf("%s: %v", name, err)
		}
	}
}

func record(name string) error {
	rules, err := config.FromFile(name + ".rules.yaml")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(name + ".asked.yaml")
	if err != nil {
		return err
	}
	var asks asked
	if err := yaml.Unmarshal(text, &asks); err != nil {
		return err
	}
	kinds := kinds()
	custom, err := naming.NamersFromConfig(rules.Rules, kinds)
	if err != nil {
		return err
	}
	external, err := naming.NamersFromConfig(rules.ExternalRules, kinds)
	if err != nil {
		return err
	}
	var out strings.Builder
	for _, metric := range asks.Metrics {
		namers := custom
		if metric.Type == "External" {
			namers = external
		}
		words := strings.Fields(strings.Join([]string{metric.Type, metric.Name, metric.Object, metric.Selector}, " "))
		fmt.Fprintf(&out, "%s\n  %s\n", strings.Join(words, " "), answer(kinds, namers, asks.Series, metric))
	}
	return os.WriteFile(name+".adapter", []byte(out.String()), 0o644)
}

// kinds are those that the rules and questions name, as a cluster would have them.
func kinds() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	add := func(scope meta.RESTScope, group string, kinds ...string) {
		for _, kind := range kinds {
			mapper.Add(schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind}, scope)
		}
	}
	add(meta.RESTScopeRoot, "", "Namespace", "Node", "PersistentVolume")
	add(meta.RESTScopeNamespace, "", "Pod", "Service")
	add(meta.RESTScopeNamespace, "apps", "Deployment")
	add(meta.RESTScopeNamespace, "networking.k8s.io", "Ingress", "NetworkPolicy")
	add(meta.RESTScopeNamespace, "bread.example", "Bakery")
	return mapper
}

// answer is the query in one line, "none" where no rule gives the metric, or "error" and what it is.
func answer(kinds meta.RESTMapper, namers []naming.MetricNamer, listed map[string][]string, asked metric) string {
	selector, err := labels.Parse(asked.Selector)
	if err != nil {
		return "error " + err.Error()
	}
	resource, names, within := schema.GroupResource{Resource: "pods"}, pods, namespace
	if asked.Type == "Object" {
		words := strings.Fields(asked.Object)
		version, _ := schema.ParseGroupVersion(words[0])
		mapping, err := kinds.RESTMapping(schema.GroupKind{Group: version.Group, Kind: words[1]}, version.Version)
		if err != nil {
			return "none"
		}
		resource, names = mapping.Resource.GroupResource(), []string{words[2]}
		if mapping.Scope.Name() == meta.RESTScopeNameRoot {
			within = ""
		}
		if words[1] == "Namespace" {
			names = []string{namespace}
		}
	}
	// As the registries do it: the last rule that gives the metric counts, and of its series the last.
	var namer naming.MetricNamer
	var series string
	for _, candidate := range namers {
		if _, err := candidate.LabelForResource(resource); err != nil && asked.Type != "External" {
			continue
		}
		for _, found := range candidate.FilterSeries(seriesOf(string(candidate.Selector()), listed)) {
			if name, err := candidate.MetricNameForSeries(found); err == nil && name == asked.Name {
				namer, series = candidate, found.Name
			}
		}
	}
	if namer == nil {
		return "none"
	}
	var query prom.Selector
	if asked.Type == "External" {
		query, err = namer.QueryForExternalSeries(series, namespace, selector)
	} else {
		query, err = namer.QueryForSeries(series, resource, within, selector, names...)
	}
	if err != nil {
		return "error " + err.Error()
	}
	return strings.Join(strings.Fields(string(query)), " ")
}

// seriesOf are the series behind a series query: those that are listed for it, or the one that it names.
func seriesOf(query string, listed map[string][]string) []prom.Series {
	names, ok := listed[query]
	if !ok {
		name, matchers, _ := strings.Cut(query, "{")
		if name == "" {
			_, after, _ := strings.Cut(matchers, `__name__="`)
			name, _, _ = strings.Cut(after, `"`)
		}
		names = []string{name}
	}
	var series []prom.Series
	for _, name := range names {
		series = append(series, prom.Series{Name: name})
	}
	return series
}
