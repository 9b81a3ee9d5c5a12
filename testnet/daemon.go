package testnet

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"shoal/node/api"
)

// stopWithin is what the design promises for a clean end after SIGTERM.
const stopWithin = 5 * time.Second

// Daemon is one `shoal daemon` process, or what is left of it, and its home. It is safe for concurrent use.
type Daemon struct {
	net   *Net
	place Place
	index int
	dir   string
	home  string
	log   string

	mu       sync.Mutex
	cmd      *exec.Cmd     // of the last start; nil before the first
	exited   chan struct{} // closed when cmd has ended
	identity api.Identity  // of the last start
}

// Index counts daemons from 1.
func (d *Daemon) Index() int { return d.index }

// Home is the daemon's home directory.
func (d *Daemon) Home() string { return d.home }

// Path is a path in a directory of the daemon's own, which holds the home, the log and whatever the user puts there.
func (d *Daemon) Path(elem ...string) string {
	return filepath.Join(append([]string{d.dir}, elem...)...)
}

// ID is the peer ID.
func (d *Daemon) ID() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.identity.ID
}

// Addrs are the addresses to dial, each ending in /p2p/<ID>; none until the daemon has answered.
func (d *Daemon) Addrs() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.identity.Addrs
}

// Client talks to the daemon, and to the next one after a Restart.
func (d *Daemon) Client() *api.Client { return api.NewClient(d.home) }

// process is the last start's process and the channel that tells its end.
func (d *Daemon) process() (*exec.Cmd, chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cmd, d.exited
}

// PID is the process ID of the last start, 0 before the first.
func (d *Daemon) PID() int {
	cmd, _ := d.process()
	if cmd == nil {
		return 0
	}
	return cmd.Process.Pid
}

// Running says whether the process lives.
func (d *Daemon) Running() bool {
	cmd, exited := d.process()
	if cmd == nil {
		return false
	}
	select {
	case <-exited:
		return false
	default:
		return true
	}
}

// start runs the process and waits until it answers. It joins through the given addresses.
func (d *Daemon) start(ctx context.Context, bootstrap []string, more ...string) error {
	args := []string{"--home", d.home, "daemon"}
	for _, a := range bootstrap {
		args = append(args, "--bootstrap", a)
	}
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("daemon %d: %w", d.index, err)
	}
	defer log.Close() // the process has its own copy
	args = slices.Concat(args, d.net.cfg.Args, d.place.Args, more)
	cmd := d.place.command(context.Background(), d.net.cfg.Bin, args...)
	cmd.Env = d.env()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("daemon %d: %w", d.index, err)
	}
	exited := make(chan struct{})
	d.mu.Lock()
	d.cmd, d.exited, d.identity = cmd, exited, api.Identity{}
	d.mu.Unlock()
	go func() {
		cmd.Wait() // how it ended is in cmd.ProcessState, for Stop to judge
		close(exited)
	}()
	return d.awaitReady(ctx)
}

// awaitReady polls the API until it tells where the daemon listens.
func (d *Daemon) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	cmd, exited := d.process()
	for {
		id, err := d.Client().ID(ctx)
		if err == nil && len(id.Addrs) > 0 {
			d.mu.Lock()
			d.identity = id
			d.mu.Unlock()
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("daemon %d ended at once (%s); its log:\n%s", d.index, cmd.ProcessState, d.LogTail(40))
		case <-ctx.Done():
			d.Kill()
			return fmt.Errorf("daemon %d does not answer (%v); its log:\n%s", d.index, err, d.LogTail(40))
		case <-tick.C:
		}
	}
}

// env is the environment of the daemon's process and commands: this process's, without its shoal settings. What is set keeps
// everything on loopback, also a command that finds no daemon and runs a node of its own.
func (d *Daemon) env() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "SHOAL_") {
			env = append(env, kv)
		}
	}
	env = append(env, "SHOAL_NETWORK=local", "SHOAL_LISTEN=/ip4/127.0.0.1/tcp/0,/ip4/127.0.0.1/udp/0/quic-v1")
	return append(append(env, d.net.cfg.Env...), d.place.Env...)
}

// Kill ends the process as a crash would (SIGKILL) and waits until it is gone.
func (d *Daemon) Kill() {
	cmd, exited := d.process()
	if cmd == nil {
		return
	}
	cmd.Process.Kill() // fails only if it has ended already
	<-exited
}

// Stop ends the daemon cleanly (SIGTERM). It is an error not to end within 5 s, or with an exit code other than 0; the
// process is gone in any case.
func (d *Daemon) Stop() error {
	cmd, exited := d.process()
	if cmd == nil {
		return nil
	}
	start := time.Now()
	if err := terminate(cmd.Process); err != nil {
		d.Kill()
		return fmt.Errorf("stop daemon %d: %w", d.index, err)
	}
	select {
	case <-exited:
	case <-time.After(2 * stopWithin):
		d.Kill()
	}
	if took := time.Since(start); took > stopWithin {
		return fmt.Errorf("daemon %d took %s to end after SIGTERM; %s are promised", d.index, took.Round(time.Millisecond), stopWithin)
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("daemon %d ended with %s after SIGTERM", d.index, cmd.ProcessState)
	}
	return nil
}

// Restart starts the daemon again in its home, on new ports, and waits until it answers.
func (d *Daemon) Restart(ctx context.Context) error {
	if d.Running() {
		return fmt.Errorf("restart daemon %d: it runs", d.index)
	}
	return d.start(ctx, d.net.bootstrap(d))
}

// RestartInPlace is Restart on the ports of the last start, as with a port that is fixed.
func (d *Daemon) RestartInPlace(ctx context.Context) error {
	if d.Running() {
		return fmt.Errorf("restart daemon %d: it runs", d.index)
	}
	var listen []string
	for _, a := range d.Addrs() {
		addr, _, _ := strings.Cut(a, "/p2p/")
		listen = append(listen, "--listen", addr)
	}
	return d.start(ctx, d.net.bootstrap(d), listen...)
}

// RestartAlone is Restart without a peer to join by: the daemon knows those that it remembers.
func (d *Daemon) RestartAlone(ctx context.Context) error {
	if d.Running() {
		return fmt.Errorf("restart daemon %d: it runs", d.index)
	}
	return d.start(ctx, nil)
}

// Signal sends a signal to the process.
func (d *Daemon) Signal(sig syscall.Signal) error {
	cmd, _ := d.process()
	if cmd == nil {
		return fmt.Errorf("send %s to daemon %d: not started", sig, d.index)
	}
	if err := cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("send %s to daemon %d: %w", sig, d.index, err)
	}
	return nil
}

// LogTail is the last lines of the daemon's log.
func (d *Daemon) LogTail(lines int) string {
	raw, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimRight(raw, "\n"), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}
