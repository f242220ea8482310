package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// controller is the process that is measured, with its descendants.
type controller struct {
	cmd    *exec.Cmd
	pids   []int
	peak   float64
	socks  sockets
	exited chan error
	end    string
}

// startController replaces {run}, {kubeconfig} and the like in the command, and starts it.
func startController(c *cluster, args []string) *controller {
	folders := []string{"{kubeconfig}", c.Kubeconfig, "{run}", c.folder}
	for k, v := range c.Places {
		folders = append(folders, "{"+k+"}", v)
	}
	given := make([]string, len(args))
	for i := range args {
		given[i] = strings.NewReplacer(folders...).Replace(args[i])
	}
	p := &controller{cmd: exec.Command(given[0], given[1:]...), socks: sockets{}, exited: make(chan error, 1)}
	out, err := os.Create(filepath.Join(c.folder, "log", "controller.log"))
	if err != nil {
		log.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		log.Fatal(err)
	}
	go func() { p.exited <- p.cmd.Wait() }()
	p.pids = []int{p.cmd.Process.Pid}
	return p
}

func (p *controller) alive() bool {
	select {
	case err := <-p.exited:
		p.end = fmt.Sprintf("early: %v", err)
		p.exited <- err
		return false
	default:
		return true
	}
}

// sample keeps the peak of its memory and the counters of sockets that may soon be closed.
func (p *controller) sample() (rss float64) {
	p.pids = tree(p.cmd.Process.Pid)
	rss, peak := memory(p.pids)
	p.peak = max(p.peak, peak)
	p.socks.sample(p.pids)
	return rss
}

// wait, sampling each second, until the time is over or `until` holds.
func (p *controller) wait(d time.Duration, until func() bool) {
	end := time.Now().Add(d)
	for p.alive() && time.Now().Before(end) {
		time.Sleep(min(time.Until(end), time.Second))
		p.sample()
		if until != nil && until() {
			return
		}
	}
}

func (p *controller) stop() {
	if !p.alive() {
		return
	}
	p.end = "by measure"
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(20 * time.Second):
		p.cmd.Process.Kill()
		p.end = "killed by measure: SIGTERM was not enough in 20 s"
		<-p.exited
	}
}
