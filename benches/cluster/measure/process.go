package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"regexp"
	"strconv"
	"strings"
	"trimtab.dev/benches/cluster/result"
)

const ticks = 100.0 // USER_HZ of Linux

// tree of a process: itself and its descendants.
func tree(pid int) []int {
	kids := map[int][]int{}
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range all {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		s := string(b)
		rest := strings.Fields(s[strings.LastIndex(s, ")")+1:])
		p, _ := strconv.Atoi(strings.Split(f, "/")[2])
		pp, _ := strconv.Atoi(rest[1])
		kids[pp] = append(kids[pp], p)
	}
	out := []int{pid}
	for i := 0; i < len(out); i++ {
		out = append(out, kids[out[i]]...)
	}
	return out
}

func cpu(pids ...int) (s float64) {
	for _, p := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			continue
		}
		f := strings.Fields(string(b)[strings.LastIndex(string(b), ")")+1:])
		u, _ := strconv.ParseFloat(f[11], 64)
		v, _ := strconv.ParseFloat(f[12], 64)
		s += (u + v) / ticks
	}
	return
}

func machineCPU() float64 {
	b, _ := os.ReadFile("/proc/stat")
	f := strings.Fields(strings.SplitN(string(b), "\n", 2)[0])
	var s float64
	for i, x := range f[1:] {
		if i != 3 && i != 4 && i < 8 { // neither idle nor iowait
			v, _ := strconv.ParseFloat(x, 64)
			s += v / ticks
		}
	}
	return s
}

// memory in MB: resident now, and the most that was.
func memory(pids []int) (rss, peak float64) {
	for _, p := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
		if err != nil {
			continue
		}
		for l := range strings.Lines(string(b)) {
			f := strings.Fields(l)
			if len(f) < 2 {
				continue
			}
			v, _ := strconv.ParseFloat(f[1], 64)
			switch f[0] {
			case "VmRSS:":
				rss += v / 1024
			case "VmHWM:":
				peak += v / 1024
			}
		}
	}
	return
}

// bytes over TCP by the process, from the kernel's per-connection counters; seen keeps closed connections.
type sockets map[string][2]int64

var (
	sentRE = regexp.MustCompile(`bytes_sent:(\d+)`)
	recvRE = regexp.MustCompile(`bytes_received:(\d+)`)
)

func (s sockets) sample(pids []int) (sent, recv int64) {
	out, err := exec.Command("ss", "-tinpOH").Output()
	if err == nil {
		for l := range strings.Lines(string(out)) {
			mine := false
			for _, p := range pids {
				mine = mine || strings.Contains(l, fmt.Sprintf("pid=%d,", p))
			}
			f := strings.Fields(l)
			if !mine || len(f) < 5 {
				continue
			}
			var v [2]int64
			if m := sentRE.FindStringSubmatch(l); m != nil {
				v[0], _ = strconv.ParseInt(m[1], 10, 64)
			}
			if m := recvRE.FindStringSubmatch(l); m != nil {
				v[1], _ = strconv.ParseInt(m[1], 10, 64)
			}
			s[f[3]+f[4]] = v
		}
	}
	for _, v := range s {
		sent += v[0]
		recv += v[1]
	}
	return
}

func machine(busy bool) result.Machine {
	m := result.Machine{Cores: runtime.NumCPU(), Busy: busy, When: time.Now().UTC().Format(time.RFC3339)}
	field := func(file, name string) string {
		b, _ := os.ReadFile(file)
		for l := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == name {
				return strings.TrimSpace(v)
			}
		}
		return ""
	}
	m.CPU = field("/proc/cpuinfo", "model name")
	kb, _ := strconv.Atoi(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"))
	m.MemoryGB = (kb + 1<<19) >> 20
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel, _, _ = strings.Cut(strings.TrimSpace(string(release)), "-")
	return m
}
