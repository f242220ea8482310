package main

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"trimtab.dev/benches/cluster/result"
)

// panel is one curve over the number of autoscalers, for each controller.
type panel struct {
	title string
	value func(*result.Result) float64
}

var panels = []panel{
	{"CPU, cores", (*result.Result).Cores},
	{"kube-apiserver's CPU over idle, cores", func(r *result.Result) float64 {
		return r.OverIdleMillis("apiserver") / 1000 * r.Steady.Evaluations / r.Steady.Seconds
	}},
	{"RSS, MB", func(r *result.Result) float64 { return r.Steady.MemoryMB }},
	{"requests a second", func(r *result.Result) float64 {
		return r.Requests() * r.Steady.Evaluations / r.Steady.Seconds
	}},
	{"longest time between two evaluations, s", (*result.Result).LongestGapS},
	{"reaction to a new load, median, s", func(r *result.Result) float64 {
		if r.Reaction == nil {
			return 0
		}
		return r.Reaction.P50S
	}},
}

var colours = map[string]string{"trimtab": "#0b7285", "kcm": "#c92a2a", "kcm-default": "#e8890c"}

const width, height, left, right, top, bottom = 460.0, 260.0, 62.0, 28.0, 34.0, 34.0

// chart prints one SVG of all panels. Both axes are logarithmic: sizes go from a hundred to ten thousand, and costs with them.
func chart(results []result.Result) error {
	lines := map[string][]*result.Result{}
	for i := range results {
		if r := &results[i]; r.Size.Mix == mixed && colours[r.Name] != "" && r.Shown == nil {
			lines[r.Name] = append(lines[r.Name], r)
		}
	}
	if len(lines) == 0 {
		return fmt.Errorf("no result to plot")
	}
	var names []string
	for n := range lines {
		names = append(names, n)
	}
	sort.Sort(sort.Reverse(sort.StringSlice(names)))
	rows := (len(panels) + 1) / 2
	w, h := 2*width, float64(rows)*height+30
	fmt.Printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12">`+"\n", w, h)
	fmt.Printf(`<rect width="%.0f" height="%.0f" fill="white"/>`+"\n", w, h)
	x := left
	for _, n := range names {
		fmt.Printf(`<circle cx="%.0f" cy="16" r="5" fill="%s"/><text x="%.0f" y="20">%s</text>`+"\n", x, colours[n], x+10, label(n))
		x += 40 + 6.6*float64(len(label(n)))
	}
	for i, p := range panels {
		fmt.Printf(`<g transform="translate(%.0f %.0f)">`+"\n", float64(i%2)*width, 30+float64(i/2)*height)
		draw(p, names, lines)
		fmt.Println("</g>")
	}
	fmt.Println("</svg>")
	return nil
}

// axis from a value to a place, over whole powers of ten.
type axis struct{ from, to, low, high float64 }

func (a axis) at(v float64) float64 {
	return a.from + (math.Log10(v)-a.low)/(a.high-a.low)*(a.to-a.from)
}

func spanning(values []float64, from, to float64) axis {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if v > 0 {
			low, high = min(low, math.Log10(v)), max(high, math.Log10(v))
		}
	}
	low, high = math.Floor(low+1e-9), math.Ceil(high-1e-9)
	if high <= low {
		high = low + 1
	}
	return axis{from, to, low, high}
}

func draw(p panel, names []string, lines map[string][]*result.Result) {
	var xs, ys []float64
	for _, n := range names {
		for _, r := range lines[n] {
			if v := p.value(r); v > 0 {
				xs, ys = append(xs, float64(r.Size.Apps)), append(ys, v)
			}
		}
	}
	fmt.Printf(`<text x="%.0f" y="22" font-weight="bold">%s</text>`+"\n", left, p.title)
	if len(xs) == 0 {
		return
	}
	x, y := spanning(xs, left, width-right), spanning(ys, height-bottom, top)
	for e := y.low; e <= y.high; e++ {
		v := math.Pow(10, e)
		fmt.Printf(`<path d="M%.0f %.1fH%.0f" stroke="#ddd"/><text x="%.0f" y="%.1f" text-anchor="end">%s</text>`+"\n", left, y.at(v), width-right, left-6, y.at(v)+4, number(v))
	}
	for e := x.low; e <= x.high; e++ {
		v := math.Pow(10, e)
		fmt.Printf(`<path d="M%.1f %.0fV%.0f" stroke="#ddd"/><text x="%.1f" y="%.0f" text-anchor="middle">%s</text>`+"\n", x.at(v), top, height-bottom, x.at(v), height-bottom+16, number(v))
	}
	for _, n := range names {
		var path strings.Builder
		for _, r := range lines[n] {
			v := p.value(r)
			if v <= 0 {
				continue
			}
			if path.Len() > 0 {
				path.WriteByte('L')
			} else {
				path.WriteByte('M')
			}
			px, py := x.at(float64(r.Size.Apps)), y.at(v)
			fmt.Fprintf(&path, "%.1f %.1f", px, py)
			fmt.Printf(`<circle cx="%.1f" cy="%.1f" r="4" fill="%s"><title>%s, %d autoscalers: %s</title></circle>`+"\n", px, py, colours[n], label(n), r.Size.Apps, number(v))
		}
		fmt.Printf(`<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", path.String(), colours[n])
	}
}

func number(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%d,%03d", int(math.Round(v))/1000, int(math.Round(v))%1000)
	}
	return fmt.Sprintf("%.3g", v)
}
