package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"trimtab.dev/benches/cluster/result"
)

var httpc *http.Client

func get(u string) ([]byte, error) {
	r, err := httpc.Get(u)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != 200 {
		err = fmt.Errorf("%s: %s %.200s", u, r.Status, b)
	}
	return b, err
}

var labelRE = regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)

// scrape sums a metric by the given labels' values. The name may have labels behind it, as they stand in the text.
func scrape(u, metric string, by ...string) (map[string]float64, error) {
	b, err := get(u)
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		l := sc.Text()
		if !strings.HasPrefix(l, metric) {
			continue
		}
		rest := l[len(metric):]
		if rest == "" || (rest[0] != '{' && rest[0] != ' ' && !strings.HasSuffix(metric, "}")) {
			continue
		}
		ls := map[string]string{}
		value := rest
		if i := strings.LastIndex(rest, "}"); i >= 0 {
			for _, m := range labelRE.FindAllStringSubmatch(rest[:i], -1) {
				ls[m[1]] = m[2]
			}
			value = rest[i+1:]
		}
		v, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
		if err != nil {
			continue
		}
		var k []string
		for _, n := range by {
			k = append(k, ls[n])
		}
		out[strings.Join(k, " ")] += v
	}
	return out, nil
}

func sum(m map[string]float64) (s float64) {
	for _, v := range m {
		s += v
	}
	return
}

// metricsd's own account since its last reset.
type account struct {
	Kinds   map[string]result.Count `json:"by_kind"`
	Reads   float64                 `json:"app_reads"`
	Never   float64                 `json:"apps_never_read"`
	P50     float64                 `json:"gap_p50_s"`
	P99     float64                 `json:"gap_p99_s"`
	Max     float64                 `json:"gap_max_s"`
	Late    float64                 `json:"late_gaps"`
	Skipped float64                 `json:"skipped_reads"`
}

func (c *cluster) account(reset bool) (a account) {
	path := "/stats"
	if reset {
		path += "?reset=1"
	}
	b, err := get(c.Control + path)
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	if err != nil {
		log.Fatal(err)
	}
	return
}
