// queries asks Prometheus for each autoscaler's metric by a query of its own, once in 15 s, evenly over that time: what an adapter
// does that is asked by Kubernetes' controller. It is measured in the place of a controller, to compare with.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"
	"time"

	"trimtab.dev/benches/cluster/world"
)

const (
	period    = 15 * time.Second
	atOneTime = 8
)

// expression that an adapter would make of the autoscaler's metric: by the names of its pods, or by the metric's selector.
func expression(a *world.App) string {
	if a.Kind == world.Pods {
		return fmt.Sprintf(`sum by (pod) (rate(http_requests_total{namespace=%q,pod=~%q}[1m]))`, a.Namespace, strings.Join(a.Pods, "|"))
	}
	return fmt.Sprintf(`sum(%s{namespace=%q,app=%q})`, world.ExternalMetric, a.Namespace, a.Name)
}

func ask(client *http.Client, server, query string) error {
	answer, err := client.PostForm(server+"/api/v1/query", url.Values{"query": {query}})
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != 200 || strings.Contains(string(body), `"result":[]`)) {
		err = fmt.Errorf("%s: %s: %.300s", query, answer.Status, body)
	}
	return err
}

func main() {
	size := flag.String("size", "XL", "size")
	mix := flag.String("mix", world.Prometheus, "mix")
	server := flag.String("prometheus", "http://127.0.0.1:9090", "Prometheus")
	flag.Parse()
	s, err := world.Named(*size, *mix)
	if err != nil {
		log.Fatal(err)
	}
	var all []string
	for _, a := range world.Apps(s) {
		if a.Kind == world.Pods || a.Kind == world.External {
			all = append(all, expression(a))
		}
	}
	due := make(chan string)
	for range atOneTime {
		client := &http.Client{Transport: &http.Transport{}, Timeout: period}
		go func() {
			for query := range due {
				if err := ask(client, *server, query); err != nil {
					log.Fatal(err)
				}
			}
		}()
	}
	began := time.Now()
	for n := 0; ; n++ {
		time.Sleep(time.Until(began.Add(time.Duration(n) * period / time.Duration(len(all)))))
		due <- all[n%len(all)]
	}
}
