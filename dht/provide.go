package dht

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p-kad-dht/provider"
	"github.com/libp2p/go-libp2p/core/peer"
	mh "github.com/multiformats/go-multihash"
)

const (
	announcePause = 5 * time.Second        // between looks at what is not announced yet
	announceRetry = 5 * time.Minute        // the longest pause between attempts to announce what nobody took
	offlineDelay  = 365 * 24 * time.Hour   // see newSweeper
	failurePause  = 100 * time.Millisecond // see router
)

// Provide adds roots to the durable set that this node provides. When it returns they are recorded, and whoever asks
// this node is told; peers closest to each root are told in the background, at once or when the first peer appears,
// and again every 22 hours, also after restarts. Roots that are in the set already cost next to nothing. Calls that
// come while another one writes are written together, so that many at once cost few syncs of the disk.
func (d *DHT) Provide(ctx context.Context, roots ...cid.Cid) error {
	if err := d.up(ctx); err != nil {
		return fmt.Errorf("provide: %w", err)
	}
	hashes, err := hashesOf(roots)
	if err != nil {
		return fmt.Errorf("provide: %w", err)
	}
	if err := d.gathered.do(hashes, func(all []mh.Multihash) error {
		return d.provide(context.WithoutCancel(ctx), all)
	}); err != nil {
		return fmt.Errorf("provide: %w", err)
	}
	return nil
}

// provide records hashes and hands those that are new to the sweeper.
func (d *DHT) provide(ctx context.Context, hashes []mh.Multihash) error {
	d.roots.need(d.leastTable(), false)
	fresh, err := d.roots.add(ctx, hashes)
	if err != nil || len(fresh) == 0 {
		return err
	}
	if err := d.sweeper.StartProviding(true, fresh...); err != nil {
		return closedErr(err)
	}
	d.table.fire() // the provider may have waited for a first root
	return nil
}

// Unprovide takes roots out of the set: this node stops saying that it has them, at once. Other peers keep the records
// they hold until these run out (48 hours); the protocol has no way to take them back.
func (d *DHT) Unprovide(ctx context.Context, roots ...cid.Cid) error {
	if err := d.up(ctx); err != nil {
		return fmt.Errorf("unprovide: %w", err)
	}
	hashes, err := hashesOf(roots)
	if err != nil {
		return fmt.Errorf("unprovide: %w", err)
	}
	going, err := d.roots.leave(ctx, hashes)
	if err != nil {
		return fmt.Errorf("unprovide: %w", err)
	}
	return d.drop(ctx, going)
}

// Provided lists the roots in the set, as raw CIDs: of a CID only the hash counts in the DHT.
func (d *DHT) Provided(ctx context.Context) ([]cid.Cid, error) {
	if err := d.up(ctx); err != nil {
		return nil, fmt.Errorf("list what is provided: %w", err)
	}
	all, err := d.roots.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("list what is provided: %w", err)
	}
	out := make([]cid.Cid, len(all))
	for i, h := range all {
		out[i] = cid.NewCidV1(cid.Raw, h)
	}
	return out, nil
}

// drop ends what leave began.
func (d *DHT) drop(ctx context.Context, going []mh.Multihash) error {
	if len(going) == 0 {
		return nil
	}
	if err := d.sweeper.StopProviding(going...); err != nil {
		return fmt.Errorf("unprovide: %w", closedErr(err))
	}
	back, err := d.roots.forget(ctx, going)
	if err != nil {
		return fmt.Errorf("unprovide: %w", err)
	}
	if len(back) == 0 {
		return nil
	}
	// Provided again meanwhile: the sweeper has lost them just now.
	if err := d.sweeper.StartProviding(true, back...); err != nil {
		return fmt.Errorf("unprovide: %w", closedErr(err))
	}
	return nil
}

func closedErr(err error) error {
	if errors.Is(err, provider.ErrClosed) {
		return ErrClosed
	}
	return err
}

func hashesOf(cids []cid.Cid) ([]mh.Multihash, error) {
	out := make([]mh.Multihash, len(cids))
	for i, c := range cids {
		if !c.Defined() {
			return nil, errors.New("undefined CID")
		}
		out[i] = c.Hash()
	}
	return out, nil
}

// newSweeper builds kad-dht's provider. It was made for a large network that a node joins once, and some of its habits
// would hurt a small one:
//
//   - While no peer can be reached it probes with pauses of up to a minute: router lets a probe wait for the first peer.
//   - It measures the network with several lookups when it starts, also with nothing to announce: router lets it wait.
//   - After a time offline it forgets its queue and does not announce what was added meanwhile before the next sweep, up
//     to 22 hours later: it never gets "offline" here, and keepAnnounced repeats what nobody took.
//   - Work that fails is tried again at once, until a probe says "disconnected", and probes are a minute apart by
//     default: they are closer here, and router slows failures down.
//   - Given the host, it forgets the addresses of a peer after one failed send and lets those of connected peers run
//     out: it is not given the host.
func (d *DHT) newSweeper(send *sender) (*provider.SweepingProvider, error) {
	return provider.New(
		provider.WithPeerID(d.host.ID()),
		provider.WithRouter(&router{d: d}),
		provider.WithMessageSender(send),
		provider.WithSelfAddrs(d.kad.FilteredAddrs),
		provider.WithAddLocalRecord(func(context.Context, mh.Multihash) error { return nil }), // recordStore answers
		provider.WithKeystore(d.keys),
		provider.WithDatastore(sub(d.state, "sweep")),
		provider.WithReplicationFactor(d.profile.BucketSize),
		provider.WithReprovideInterval(reprovideEvery),
		provider.WithOfflineDelay(offlineDelay),
		provider.WithConnectivityCheckOnlineInterval(failurePause),
		provider.WithLoggerName("shoal/sweep"),
	)
}

// router finds closest peers for the sweeping provider.
type router struct {
	d       *DHT
	offline bool // only the provider's probes, which never overlap, touch it
}

// GetClosestPeers is kad-dht's. A probe (the key is this node's own ID) only asks whether there is a network: one that finds
// the table empty fails once, so that the provider stops working, and the next one waits for a peer, and for a root to
// announce; a connected neighbour is answer enough. Any other failure takes a moment.
func (r *router) GetClosestPeers(ctx context.Context, key string) ([]peer.ID, error) {
	if key == string(r.d.host.ID()) {
		select { // what the provider does first depends on what resume has found
		case <-r.d.loaded:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if err := r.awaitWork(ctx); err != nil {
			return nil, err
		}
		if near := r.d.neighbours(); len(near) > 0 {
			return near, nil
		}
	}
	peers, err := r.d.kad.GetClosestPeers(ctx, key)
	if err != nil {
		select {
		case <-time.After(failurePause):
		case <-ctx.Done():
		}
	}
	return peers, err
}

var errNoPeer = errors.New("no peer in the routing table")

// awaitWork waits until there is both somebody to tell and something to be told: going online costs the provider several
// lookups, and a node that only fetches has no use for them.
func (r *router) awaitWork(ctx context.Context) error {
	for {
		changed := r.d.table.next()
		empty := r.d.kad.RoutingTable().Size() == 0
		if roots, _ := r.d.roots.size(); roots > 0 && !empty {
			r.offline = false
			return nil
		}
		if empty && !r.offline {
			r.offline = true
			return errNoPeer
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// keepAnnounced sees to it that every root reaches somebody: it ends what a crash interrupted, writes down what has been
// announced, announces again what nobody took, and everything when the last announcement is no longer true.
func (d *DHT) keepAnnounced(ctx context.Context) error {
	going, err := d.resume(ctx)
	if err != nil {
		return err
	}
	d.table.fire() // the provider may wait for roots
	if err := d.drop(ctx, going); err != nil {
		return err
	}
	select {
	case <-d.ready:
	case <-ctx.Done():
		return nil
	}
	ticker := time.NewTicker(announcePause)
	defer ticker.Stop()
	retry := retry{pause: announcePause, next: time.Now()} // what an earlier run has not announced is due
	renewal := d.loadRenewal(ctx)
	for {
		// A full disk must not end the daemon's part in the network: say so and go on.
		if err := d.announceTick(ctx, &retry, &renewal); err != nil && ctx.Err() == nil {
			d.log.Warn("announcing roots failed, trying again", "err", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return d.roots.flush(context.WithoutCancel(ctx)) // or the next start announces them again
		}
	}
}

func (d *DHT) announceTick(ctx context.Context, retry *retry, renewal *renewal) error {
	if err := d.roots.flush(ctx); err != nil {
		return err
	}
	now, size := time.Now(), d.kad.RoutingTable().Size()
	renewal.look(now, size, addrStrings(d.kad.FilteredAddrs()))
	d.roots.need(d.leastTable(), renewal.settled)
	if why := renewal.due(now); why != "" {
		return d.announceAll(ctx, renewal, why)
	}
	if renewal.first(now) {
		renewal.last.Addrs = renewal.addrs
		return d.saveRenewal(ctx, renewal)
	}
	_, wait := d.roots.size()
	if size > 0 && retry.due(now, wait) {
		d.log.Debug("announcing again what nobody took", "roots", wait)
		return d.sweeper.StartProviding(true, d.roots.waitingList()...)
	}
	return nil
}

// leastTable is how many peers there are to tell at least: in the network of the whole world enough, whomever we know yet.
func (d *DHT) leastTable() int {
	if d.profile.PublicOnly {
		return enoughHolders
	}
	return d.kad.RoutingTable().Size()
}

// announceAll announces every root, whatever the schedule says.
func (d *DHT) announceAll(ctx context.Context, r *renewal, why string) error {
	all, err := d.keys.Get(ctx, "")
	if err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	d.log.Debug("announcing everything again", "because", why, "roots", len(all))
	if err := d.sweeper.StartProviding(true, all...); err != nil {
		return err
	}
	r.done(time.Now())
	return d.saveRenewal(ctx, r)
}
