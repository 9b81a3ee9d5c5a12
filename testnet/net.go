package testnet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// readyWithin bounds how long a daemon may take to answer after its start. A slow machine under -race is far below it.
const readyWithin = 60 * time.Second

// Config says how a Net is set up.
type Config struct {
	Dir  string   // holds a directory for each daemon; it must exist
	Bin  string   // the shoal binary, see Build
	Args []string // more arguments of `shoal daemon`
	Env  []string // more environment of daemons and commands, KEY=value
}

// Net is a set of daemons on loopback that meet through the first one that runs. It is safe for concurrent use.
type Net struct {
	cfg Config

	mu      sync.Mutex
	daemons []*Daemon
}

// Place is where and how a daemon lives, where it is not like the others. A restart keeps it.
type Place struct {
	Namespace *Namespace // nil: the machine's own network
	Alone     bool       // it is not told of the others
	Args      []string   // more arguments of `shoal daemon`, after those of the Net
	Env       []string   // more environment of the daemon and its commands, after that of the Net
}

// New makes a Net without daemons.
func New(cfg Config) *Net { return &Net{cfg: cfg} }

// Start runs one more daemon and waits until it answers.
func (n *Net) Start(ctx context.Context) (*Daemon, error) { return n.StartAt(ctx, Place{}) }

// StartAt is Start for a daemon at a place of its own.
func (n *Net) StartAt(ctx context.Context, at Place) (*Daemon, error) {
	n.mu.Lock()
	i := len(n.daemons) + 1
	dir := filepath.Join(n.cfg.Dir, fmt.Sprintf("peer%d", i))
	d := &Daemon{net: n, place: at, index: i, dir: dir, home: filepath.Join(dir, "home"), log: filepath.Join(dir, "log")}
	n.daemons = append(n.daemons, d)
	n.mu.Unlock()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("daemon %d: %w", i, err)
	}
	return d, d.start(ctx, n.bootstrap(d))
}

// Daemons lists all that were started, ended ones too.
func (n *Net) Daemons() []*Daemon {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]*Daemon(nil), n.daemons...)
}

// Close ends every daemon that still runs, all at once, and says which did not end cleanly.
func (n *Net) Close() error {
	daemons := n.Daemons()
	errs := make([]error, len(daemons))
	var wg sync.WaitGroup
	for i, d := range daemons {
		wg.Go(func() {
			if d.Running() {
				errs[i] = d.Stop()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// bootstrap is where a starting daemon joins: the first one that answers, except itself.
func (n *Net) bootstrap(except *Daemon) []string {
	if except.place.Alone {
		return nil
	}
	for _, d := range n.Daemons() {
		if d != except && d.Running() {
			if addrs := d.Addrs(); len(addrs) > 0 {
				return addrs
			}
		}
	}
	return nil
}
