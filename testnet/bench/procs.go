package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// place is where one party of a transfer runs.
type place struct {
	ns   string // network namespace; "": the machine's own, on loopback
	ip   string // the address that the others reach it at
	port int    // free there
	dir  string // of its own: state, logs and what it fetches
	via  string // host:port of a proxy that is all the others reach; "": they reach it itself
}

func (p place) hostport() string { return net.JoinHostPort(p.ip, strconv.Itoa(p.port)) }

// reach is the host:port at which others reach what listens at hostport.
func (p place) reach() string {
	if p.via != "" {
		return p.via
	}
	return p.hostport()
}

// loopback is a place on this machine, at an address of its loopback.
func (b *bench) loopback(ip string) (place, error) {
	dir, err := os.MkdirTemp(b.dir, "p-")
	if err != nil {
		return place{}, err
	}
	port, err := freePort(ip)
	return place{ip: ip, port: port, dir: dir}, err
}

// localhost is where most tools meet.
const localhost = "127.0.0.1"

func freePort(ip string) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// group owns what one run starts. The zero value is ready for use.
type group struct {
	mu         sync.Mutex
	procs      []*proc
	last       []func()
	peak, anon int64         // of the largest process
	stop       chan struct{} // ends watch; nil before the first process
	watched    sync.WaitGroup
}

// close ends every process that still runs and waits for it.
func (g *group) close() {
	g.mu.Lock()
	procs, last := g.procs, g.last
	g.procs, g.last = nil, nil
	if g.stop != nil {
		close(g.stop)
		g.stop = nil
	}
	g.mu.Unlock()
	g.watched.Wait()
	for _, p := range procs {
		killGroup(p.cmd.Process) // fails only if it has ended
	}
	for _, p := range procs {
		<-p.exited
	}
	for _, f := range slices.Backward(last) {
		f()
	}
}

// atClose adds what is to be done when the processes are gone.
func (g *group) atClose(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = append(g.last, f)
}

// usage is what all processes have used so far, those that ended too; the network apart.
func (g *group) usage() usage {
	g.sample()
	g.mu.Lock()
	defer g.mu.Unlock()
	u := usage{peak: g.peak, anon: g.anon, wire: -1}
	live := map[int]bool{}
	for _, p := range g.procs {
		select {
		case <-p.exited:
			u.cpu += cpuOf(p.cmd)
		default:
			live[p.cmd.Process.Pid] = true
		}
	}
	u.cpu += cpuOfGroups(live)
	return u
}

// sample takes in how much memory the processes have.
func (g *group) sample() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.procs {
		peak, anon := memoryOf(p.cmd.Process.Pid)
		g.peak, g.anon = max(g.peak, peak), max(g.anon, anon)
	}
}

// watch samples until the group is closed.
func (g *group) watch(stop <-chan struct{}) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			g.sample()
		}
	}
}

// proc is a process of a group.
type proc struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  chan string   // what it prints; lines that nobody reads in time are dropped
	exited chan struct{} // closed when cmd.ProcessState is set
	log    string
}

// start runs a command at p, with p.dir as home and working directory.
func (g *group) start(p place, name string, args ...string) (*proc, error) {
	what := filepath.Base(name)
	if p.ns != "" {
		name, args = "ip", append([]string{"netns", "exec", p.ns, name}, args...)
	}
	log, err := os.OpenFile(filepath.Join(p.dir, what+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own copy
	r := &proc{lines: make(chan string, 1024), exited: make(chan struct{}), log: log.Name()}
	r.cmd = exec.Command(name, args...)
	r.cmd.Dir, r.cmd.Env = p.dir, plainEnv(p.dir)
	r.cmd.Stdout, r.cmd.Stderr = &lineWriter{out: r.lines, log: log.Name()}, log
	r.cmd.SysProcAttr = processAttr()
	r.cmd.WaitDelay = time.Second
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", what, err)
	}
	g.procs = append(g.procs, r)
	if g.stop == nil {
		stop := make(chan struct{})
		g.stop = stop
		g.watched.Go(func() { g.watch(stop) })
	}
	go func() {
		r.cmd.Wait() // how it ended is in ProcessState
		close(r.exited)
	}()
	return r, nil
}

// run starts a command and waits for its success.
func (g *group) run(ctx context.Context, p place, name string, args ...string) error {
	r, err := g.start(p, name, args...)
	if err != nil {
		return err
	}
	select {
	case <-r.exited:
	case <-ctx.Done():
		killGroup(r.cmd.Process)
		<-r.exited
		return ctx.Err()
	}
	if !r.cmd.ProcessState.Success() {
		return r.failed()
	}
	return nil
}

// expect waits until the process prints a line that begins with prefix, and returns the rest of it.
func (r *proc) expect(ctx context.Context, prefix string) (string, error) {
	for {
		select {
		case line := <-r.lines:
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return strings.TrimSpace(rest), nil
			}
		case <-r.exited:
			return "", r.failed()
		case <-ctx.Done():
			return "", fmt.Errorf("%s did not say %q: %w", filepath.Base(r.log), prefix, ctx.Err())
		}
	}
}

// failed says how the process ended, with the end of its log.
func (r *proc) failed() error {
	raw, _ := os.ReadFile(r.log)
	return fmt.Errorf("%s: %s: %s", filepath.Base(r.log), r.cmd.ProcessState, raw[max(0, len(raw)-1000):])
}

// listening waits until somebody accepts connections at p.
func (r *proc) listening(ctx context.Context, p place) error {
	return poll(ctx, func() (bool, error) {
		select {
		case <-r.exited:
			return false, r.failed()
		default:
		}
		c, err := net.DialTimeout("tcp", p.hostport(), time.Second)
		if err != nil {
			return false, nil
		}
		return true, c.Close()
	})
}

// poll asks done every 10 ms until it says yes or fails.
func poll(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// plainEnv is an environment without the user's settings for any of the tools.
func plainEnv(home string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "LC_ALL=C.UTF-8"}
}

// lineWriter sends each line that is written to it, and keeps a copy in the log.
type lineWriter struct {
	out  chan<- string
	log  string
	rest []byte
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.rest = append(w.rest, b...)
	for {
		line, rest, ok := bytes.Cut(w.rest, []byte("\n"))
		if !ok {
			break
		}
		select {
		case w.out <- string(line):
		default:
		}
		w.rest = rest
	}
	f, err := os.OpenFile(w.log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	_, err = f.Write(b)
	return len(b), errors.Join(err, f.Close())
}
