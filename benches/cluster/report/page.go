package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"trimtab.dev/benches/cluster/result"
)

// parts of a page that stand between `<!-- report NAME -->` and `<!-- end -->`, and what writes them.
var parts = map[string]func(*bytes.Buffer, []result.Result){
	"summary": summary,
	"table":   table,
	"ratios":  ratios,
	"targets": targets,
	"machine": machine,
}

// page prints a page with its parts made anew.
func page(file string, results []result.Result) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	skipping := false
	for line := range strings.Lines(string(text)) {
		name, marked := strings.CutPrefix(strings.TrimSpace(line), "<!-- report ")
		switch {
		case marked:
			name = strings.TrimSuffix(name, " -->")
			write, ok := parts[name]
			if !ok {
				return fmt.Errorf("%s: no part %q", file, name)
			}
			out.WriteString(line)
			write(&out, results)
			skipping = true
		case strings.TrimSpace(line) == "<!-- end -->":
			out.WriteString(line)
			skipping = false
		case !skipping:
			out.WriteString(line)
		}
	}
	if skipping {
		return fmt.Errorf("%s: a part does not end", file)
	}
	_, err = os.Stdout.Write(out.Bytes())
	return err
}
