// report reads results of measure.
//
//	report table FILES...              what each run cost, the ratios, and which of the targets were met, as markdown
//	report page PAGE FILES...          a page with its marked parts made of the results
//	report chart FILES...              the curves over the number of autoscalers, as SVG
//	report guard [-record] KEPT FILE   fails when a count of a run has grown by half over the kept one
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"sort"

	"trimtab.dev/benches/cluster/result"
)

func main() {
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "report table|chart FILES..., report page PAGE FILES..., or report guard [-record] KEPT FILE")
		os.Exit(2)
	}
	flag.Parse()
	if flag.NArg() < 2 {
		flag.Usage()
	}
	var err error
	switch args := flag.Args()[1:]; flag.Arg(0) {
	case "table":
		err = with(args, tables)
	case "page":
		err = with(args[1:], func(results []result.Result) error { return page(args[0], results) })
	case "chart":
		err = with(args, chart)
	case "guard":
		err = guard(args)
	default:
		flag.Usage()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

// with the results in the files, smaller clusters first.
func with(files []string, do func([]result.Result) error) error {
	var all []result.Result
	for _, f := range files {
		r, err := result.Load(f)
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	sort.SliceStable(all, func(i, j int) bool {
		a, b := all[i].Size, all[j].Size
		if a.Apps != b.Apps {
			return a.Apps < b.Apps
		}
		return a.Mix == b.Mix && all[i].Name < all[j].Name || a.Mix < b.Mix
	})
	return do(all)
}

func tables(results []result.Result) error {
	var out bytes.Buffer
	for _, part := range []func(*bytes.Buffer, []result.Result){table, ratios, targets, machine} {
		part(&out, results)
		out.WriteByte('\n')
	}
	disturbed(results)
	_, err := os.Stdout.Write(out.Bytes())
	return err
}
