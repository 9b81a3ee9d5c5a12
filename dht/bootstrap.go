package dht

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	enoughPeers    = 8  // connected; below, saved peers are dialled
	fewPeers       = 4  // connected; below, bootstrap peers are dialled again
	manyPeers      = 64 // connected; from then on even peers on the local link are not sought out
	dialsAtOnce    = 8
	dialTimeout    = 10 * time.Second
	firstDialPause = time.Second
	longDialPause  = time.Minute
	lostPause      = 2 * time.Minute // between dials of lost peers, however many others there are
	lostAfter      = time.Hour       // a peer that was reached is not looked for again before
)

// target is what choose knows of a peer.
type target struct {
	id      peer.ID
	sources source
	seen    time.Time
	dialled bool      // at least once
	busy    bool      // connected, or being dialled
	next    time.Time // not to be dialled before
	fails   int       // in a row
	reached time.Time // last dialled with success
}

// choose picks the peers to dial now, best first, and tells when to look again (zero: after the next event). It decides
// only by its arguments.
func choose(now time.Time, targets []target, neighbours, dialling int) (dial []peer.ID, again time.Time) {
	var ripe []target
	for _, t := range targets {
		if t.busy || !wanted(t, neighbours) {
			continue
		}
		if t.next.After(now) {
			if again.IsZero() || t.next.Before(again) {
				again = t.next
			}
			continue
		}
		ripe = append(ripe, t)
	}
	slices.SortFunc(ripe, func(a, b target) int {
		if c := cmp.Compare(rank(a), rank(b)); c != 0 {
			return c
		}
		if c := b.seen.Compare(a.seen); c != 0 {
			return c
		}
		return cmp.Compare(a.id, b.id)
	})
	for _, t := range ripe {
		if dialling >= dialsAtOnce {
			break
		}
		dial = append(dial, t.id)
		dialling++
	}
	return dial, again
}

// lost picks a peer to look for although there are enough others: a network that was cut in two, each part large enough for itself,
// would else stay so after the cut has healed. It is one that the routing table has lost too; those that failed least go first,
// then those seen last, so that all get their turn.
func lost(now time.Time, targets []target, inTable func(peer.ID) bool) (p peer.ID, ok bool) {
	var best target
	for _, t := range targets {
		if t.busy || t.next.After(now) || now.Sub(t.reached) < lostAfter || inTable(t.id) {
			continue
		}
		if !ok || cmp.Or(cmp.Compare(t.fails, best.fails), best.seen.Compare(t.seen), cmp.Compare(t.id, best.id)) < 0 {
			best, ok = t, true
		}
	}
	return best.id, ok
}

// wanted tells whether a peer is worth a dial with so many neighbours. Those the user named are dialled once anyway.
func wanted(t target, neighbours int) bool {
	switch {
	case t.sources&fromBootstrap != 0:
		return neighbours < fewPeers || !t.dialled
	case t.sources&fromMDNS != 0:
		return neighbours < manyPeers
	default:
		return neighbours < enoughPeers
	}
}

func rank(t target) int {
	switch {
	case t.sources&fromMDNS != 0:
		return 0
	case t.sources&fromBootstrap != 0:
		return 1
	default:
		return 2
	}
}

// pauseAfter is the pause before the next dial after so many failures in a row: a second, doubling to a minute, a fifth
// more or less so that a lab that starts at once does not knock in step.
func pauseAfter(fails int) time.Duration {
	p := firstDialPause << min(fails, 6)
	p = min(p, longDialPause)
	return p - p/5 + rand.N(2*p/5)
}

// keepConnected dials peers of the book while there are too few.
func (d *DHT) keepConnected(ctx context.Context) error {
	type result struct {
		id  peer.ID
		err error
	}
	results := make(chan result)
	dialling := map[peer.ID]struct{}{}
	defer func() {
		for range dialling { // each ends with ctx
			<-results
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	wake, changed := d.wake.next(), d.book.changed.next()
	seek := time.Now().Add(lostPause)
	for {
		now := time.Now()
		targets := d.book.targets(d.connected, dialling)
		dial, again := choose(now, targets, len(d.neighbours()), len(dialling))
		if !now.Before(seek) {
			seek = now.Add(lostPause)
			if p, ok := lost(now, targets, d.inTable); ok && len(dial) == 0 {
				dial = append(dial, p)
			}
		}
		for _, id := range dial {
			dialling[id] = struct{}{}
			go func() { results <- result{id, d.dial(ctx, id)} }()
		}
		if again.IsZero() || again.After(seek) {
			again = seek
		}
		timer.Reset(again.Sub(now))
		select {
		case <-ctx.Done():
			return nil
		case r := <-results:
			delete(dialling, r.id)
			d.book.dialled(r.id, r.err, time.Now())
			if r.err != nil && ctx.Err() == nil {
				d.log.Debug("peer could not be reached", "peer", r.id, "err", r.err)
			}
		case <-wake:
			wake = d.wake.next()
		case <-changed:
			changed = d.book.changed.next()
		case <-timer.C:
		}
	}
}

// lookAround looks for more peers a few times after the first one was met. kad-dht does so at once, and then every ten minutes: in
// a small network that has just started, those who came together would not know each other until then.
func (d *DHT) lookAround(ctx context.Context) error {
	select {
	case <-d.ready:
	case <-ctx.Done():
		return nil
	}
	for _, pause := range []time.Duration{firstDialPause / 2, 2 * firstDialPause, 8 * firstDialPause} {
		wait(ctx, pause)
		if d.kad.RoutingTable().Size() >= d.profile.BucketSize {
			continue
		}
		select {
		case err := <-d.kad.RefreshRoutingTable():
			if err != nil && ctx.Err() == nil {
				d.log.Debug("looking for more peers failed", "err", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// dial connects to a peer of the book. The swarm's own back-off is put aside: ours is the one that knows how urgent it is.
func (d *DHT) dial(ctx context.Context, p peer.ID) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if n, ok := d.host.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		n.Backoff().Clear(p)
	}
	return d.host.Connect(ctx, peer.AddrInfo{ID: p, Addrs: d.book.addrs(p)})
}

func parseBootstrap(addrs []string) ([]peer.AddrInfo, error) {
	parsed := make([]ma.Multiaddr, 0, len(addrs))
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return nil, fmt.Errorf("bootstrap address %q: %w", s, err)
		}
		parsed = append(parsed, a)
	}
	infos, err := peer.AddrInfosFromP2pAddrs(parsed...)
	if err != nil {
		return nil, fmt.Errorf("bootstrap addresses: %w", err)
	}
	return infos, nil
}
