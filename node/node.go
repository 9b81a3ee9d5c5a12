package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/metrics"
	"golang.org/x/sync/errgroup"

	"shoal/dht"
	"shoal/node/api"
	"shoal/node/store"
	"shoal/transfer"
)

// Node is one shoal peer. Open makes it, Run works until its context ends, Close
// releases it. It implements api.Service.
type Node struct {
	set     settings
	log     *slog.Logger
	store   *store.Store
	host    host.Host // nil when offline, like dht, swap and traffic
	traffic *metrics.BandwidthCounter
	named   *named
	rules   *peerRules
	reach   *reach // nil where the network has nothing to do with NATs
	dials   *pacer
	dht     *dht.DHT
	swap    *transfer.Engine
	limits  *limits
	rooted  *rootLimits // those of single transfers
	started time.Time
	ready   chan struct{} // closed once the node answers

	mu      sync.Mutex
	running context.Context // Run's; nil before and after. Fetches outlive their callers, not this
	fetches map[cid.Cid]*fetch

	failures failures       // of the fetches that ended last; under mu
	active   sync.WaitGroup // the goroutines of fetches

	closeOnce sync.Once
	ordered   atomic.Bool // Run ended as it was asked to
	closeErr  error
}

var _ api.Service = (*Node)(nil)

// Open takes the home's lock, opens its store and starts listening. Errors name
// what stands in the way: a home in use is an *api.Error with code locked.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	set, err := cfg.check()
	if err != nil {
		return nil, err
	}
	if err := set.unlock(); err != nil {
		return nil, err
	}
	n := &Node{
		set: set, log: set.log, started: time.Now(),
		ready: make(chan struct{}), fetches: map[cid.Cid]*fetch{},
		limits: &limits{log: set.log, base: set.limits, rules: set.schedule},
	}
	if !set.offline {
		if err := checkDescriptors(); err != nil {
			return nil, err
		}
	}
	if err := n.open(set); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// open makes the parts in the order in which they need each other.
func (n *Node) open(set settings) (err error) {
	if n.store, err = store.Open(set.home, store.Config{Logger: set.log, MayRead: set.offline}); err != nil {
		return homeError(set.home, err)
	}
	key, err := loadOrCreateKey(set.home)
	if err != nil {
		return err
	}
	if n.rules, err = loadPeerRules(n.store.Datastore()); err != nil {
		return err
	}
	if set.offline {
		n.rooted, err = openRootLimits(n.store.Datastore(), n.shares, nil)
		return err
	}
	n.traffic = metrics.NewBandwidthCounter()
	n.named = newNamed(append(set.bootstrap[:len(set.bootstrap):len(set.bootstrap)], set.reach.relays...))
	n.dials = newPacer(set.caps)
	gate := &gater{profile: set.profile, named: n.named, rules: n.rules, dials: n.dials}
	if n.host, err = openHost(set, key, n.traffic, gate); err != nil {
		return err
	}
	if n.reach, err = openReach(n.host, set); err != nil {
		return fmt.Errorf("get ready for NATs: %w", err)
	}
	n.dht, err = dht.New(dht.Config{
		Host: n.host, Profile: set.profile, Bootstrap: set.bootstrap,
		Datastore: n.store.Datastore(), Logger: set.log,
	})
	if err != nil {
		return fmt.Errorf("start the DHT: %w", err)
	}
	n.swap = transfer.New(n.host, source{n.store}, transfer.Config{
		Logger: set.log, Gater: &gater{profile: set.profile, named: n.named, rules: n.rules}, Traffic: n.traffic,
		RelayData: set.reach.relayData,
	})
	n.limits.start(n.swap.SetLimits)
	n.rooted, err = openRootLimits(n.store.Datastore(), n.shares, n.swap.LimitRoot)
	return err
}

// Run serves, finds and fetches until ctx ends or a part fails for good. Unfinished
// fetches that nobody paused go on, unless the node is transient. Run may be called once.
func (n *Node) Run(ctx context.Context) error {
	asked := ctx
	group, ctx := errgroup.WithContext(ctx)
	if n.set.api {
		server, err := api.Listen(api.ServerConfig{Home: n.set.home, Service: n, Logger: n.log})
		if err != nil {
			return fmt.Errorf("open the control socket: %w", err)
		}
		group.Go(func() error { return server.Run(ctx) })
	}
	if !n.set.offline {
		group.Go(func() error { return n.dht.Run(ctx) })
		group.Go(func() error { return n.swap.Run(ctx) })
		group.Go(func() error { return n.provideShares(ctx) })
		group.Go(func() error { return n.limits.run(ctx) })
		group.Go(func() error { return n.roam(ctx) })
	}
	group.Go(func() error { return n.heal(ctx) })
	n.mu.Lock()
	n.running = ctx
	n.mu.Unlock()
	if !n.set.offline && !n.set.transient {
		n.resumeFetches()
	}
	close(n.ready)
	group.Go(func() error {
		<-ctx.Done()
		n.mu.Lock()
		n.running = nil
		n.mu.Unlock()
		n.active.Wait()
		return nil
	})
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return n.ending(asked.Err() != nil, err)
	}
	n.ordered.Store(true)
	return nil
}

// ending is err without what a node that ends as it was asked to cannot save because the disk of its home is full or cannot be written:
// it is found out anew at the next start.
func (n *Node) ending(asked bool, err error) error {
	if asked && (errors.Is(err, store.ErrNoSpace) || errors.Is(err, store.ErrReadOnly)) {
		n.ordered.Store(true)
		n.log.Warn("not all could be saved at the end", "err", err)
		return nil
	}
	return err
}

// Ready is closed once the node answers requests and can be dialled.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Close releases the home. The order matters: the engine and the DHT stop first,
// since they use the host and the store, as reach does; the host goes before the store, since the
// DHT's records live in it.
func (n *Node) Close() error {
	n.closeOnce.Do(func() {
		var errs []error
		if n.dials != nil {
			n.dials.close()
		}
		if n.swap != nil {
			errs = append(errs, n.swap.Close())
		}
		if n.dht != nil {
			errs = append(errs, n.dht.Close())
		}
		if n.reach != nil {
			errs = append(errs, n.reach.Close())
		}
		if n.host != nil {
			errs = append(errs, n.host.Close())
		}
		if n.store != nil {
			errs = append(errs, n.store.Close())
		}
		n.closeErr = n.ending(n.ordered.Load(), errors.Join(errs...))
	})
	return n.closeErr
}

// online returns an error that a user understands when the node has no network.
func (n *Node) online() error {
	if n.set.offline {
		return api.Errorf(api.NoDaemon, "this node is offline")
	}
	return nil
}
