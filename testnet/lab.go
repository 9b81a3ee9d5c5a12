package testnet

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"shoal/node/api"
)

// Options tunes a Lab. The zero value is what most tests want.
type Options struct {
	Dir  string   // holds a directory for each daemon; "": t.TempDir()
	Args []string // more arguments of `shoal daemon`
	Env  []string // more environment of daemons and commands, KEY=value
}

// Lab is a Net that belongs to a test: what goes wrong in it fails the test. Its methods, and those of its Peers that have no
// result to check, are for the test's own goroutine.
type Lab struct {
	*Net
	Peers []*Peer

	t testing.TB
}

// Peer is a Daemon of a Lab.
type Peer struct {
	*Daemon

	lab *Lab
}

// Start runs n daemons and waits until each answers. They are ended when the test is over, and their logs are shown if it
// failed.
func Start(t testing.TB, n int, opts Options) *Lab {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	l := &Lab{t: t, Net: New(Config{Dir: opts.Dir, Bin: binary(t), Args: append([]string{"--log-level", "debug"}, opts.Args...), Env: opts.Env})}
	t.Cleanup(func() { l.cleanup(opts.Dir) })
	if n > 0 {
		l.Add(1) // the others join through it
		l.Add(n - 1)
	}
	return l
}

// Add starts more daemons, all at once, and returns the last one.
func (l *Lab) Add(count int) *Peer {
	l.t.Helper()
	errs := make([]error, count)
	var wg sync.WaitGroup
	for i := range count {
		wg.Go(func() { _, errs[i] = l.Net.Start(context.Background()) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			l.t.Fatal(err)
		}
	}
	for _, d := range l.Daemons()[len(l.Peers):] {
		l.Peers = append(l.Peers, &Peer{Daemon: d, lab: l})
	}
	return l.Peers[len(l.Peers)-1]
}

// AddAt starts a daemon at a place of its own.
func (l *Lab) AddAt(at Place) *Peer {
	l.t.Helper()
	d, err := l.Net.StartAt(context.Background(), at)
	if err != nil {
		l.t.Fatal(err)
	}
	p := &Peer{Daemon: d, lab: l}
	l.Peers = append(l.Peers, p)
	return p
}

// cleanup ends what still runs and shows the logs of a failed test.
func (l *Lab) cleanup(dir string) {
	if err := l.Close(); err != nil {
		l.t.Error(err)
	}
	if l.t.Failed() {
		for _, d := range l.Daemons() {
			l.t.Logf("log of daemon %d (last lines):\n%s", d.Index(), d.LogTail(80))
		}
	}
	makeWritable(dir)
}

// Eventually waits until cond holds, asking often, and fails the test if it does not within a generous time.
func (l *Lab) Eventually(what string, cond func() bool) {
	l.t.Helper()
	limit := time.After(readyWithin)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-limit:
			l.t.Fatalf("not within %s: %s", readyWithin, what)
		}
	}
}

// Meet waits until two peers are connected. Peers that joined through a third may not be yet, and lose each other if that one
// goes.
func (l *Lab) Meet(a, b *Peer) {
	l.t.Helper()
	l.Eventually(fmt.Sprintf("peers %d and %d are connected", a.Index(), b.Index()), func() bool {
		peers, err := a.Client().Peers(context.Background())
		if err != nil {
			l.t.Fatal(err)
		}
		return slices.ContainsFunc(peers, func(p api.Peer) bool { return p.ID == b.ID() })
	})
}

// Same fails the test if two files or trees differ; see the function Same.
func (l *Lab) Same(want, got string, preserve bool) {
	l.t.Helper()
	if err := Same(want, got, preserve); err != nil {
		l.t.Error(err)
	}
}

// Stop ends the daemon cleanly and fails the test if it does not.
func (p *Peer) Stop() {
	p.lab.t.Helper()
	if err := p.Daemon.Stop(); err != nil {
		p.lab.t.Error(err)
	}
}

// Restart starts the daemon again.
func (p *Peer) Restart() {
	p.lab.t.Helper()
	if err := p.Daemon.Restart(context.Background()); err != nil {
		p.lab.t.Fatal(err)
	}
}

// Freeze stops the process from running without ending it, like a machine that hangs; Thaw lets it go on.
func (p *Peer) Freeze() {
	p.lab.t.Helper()
	if err := p.Signal(stopSignal); err != nil {
		p.lab.t.Fatal(err)
	}
}

// Thaw ends a Freeze.
func (p *Peer) Thaw() {
	p.lab.t.Helper()
	if err := p.Signal(continueSignal); err != nil {
		p.lab.t.Fatal(err)
	}
}

// Must runs a command that has to succeed and returns its standard output.
func (p *Peer) Must(args ...string) string {
	p.lab.t.Helper()
	r := p.Run(args...)
	if r.Code != 0 {
		p.lab.t.Fatalf("peer %d: %s", p.Index(), r)
	}
	return r.Stdout
}

// Fails runs a command that has to end with the given exit code and say why.
func (p *Peer) Fails(code int, args ...string) Result {
	p.lab.t.Helper()
	r := p.Run(args...)
	if r.Code != code {
		p.lab.t.Fatalf("peer %d: exit code %d, want %d: %s", p.Index(), r.Code, code, r)
	}
	if r.Stderr == "" {
		p.lab.t.Errorf("peer %d says nothing about exit code %d: %s", p.Index(), code, r)
	}
	return r
}

// Share shares a path by the command line.
func (p *Peer) Share(path string, flags ...string) api.ShareResult {
	p.lab.t.Helper()
	return decode[api.ShareResult](p, p.Must(append(append([]string{"share", "--json"}, flags...), path)...))
}

// Get fetches a link to dest by the command line.
func (p *Peer) Get(link, dest string, flags ...string) api.GetResult {
	p.lab.t.Helper()
	return decode[api.GetResult](p, p.Must(append(append([]string{"get", "--json", "-o", dest}, flags...), link)...))
}

// FindShare is the peer's share of a root, and whether it has it.
func (p *Peer) FindShare(cid string) (api.Share, bool) {
	p.lab.t.Helper()
	shares, err := p.Client().List(context.Background())
	if err != nil {
		p.lab.t.Fatal(err)
	}
	s, err := api.MatchShare(shares, cid)
	return s, err == nil
}

// decode reads the last line of a command's JSON output.
func decode[T any](p *Peer, out string) T {
	p.lab.t.Helper()
	var v T
	if err := json.Unmarshal([]byte(lastLine(out)), &v); err != nil {
		p.lab.t.Fatalf("peer %d: decode %q: %v", p.Index(), lastLine(out), err)
	}
	return v
}
