package dht

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	firstRound  = 250 * time.Millisecond // between the first and the second round of a search; then it doubles
	idleRound   = 15 * time.Second       // at most, while nobody was found
	foundRound  = 30 * time.Second       // at most, once somebody was found
	lateRound   = 4 * time.Second        // pauses longer than this come when whoever was found has been dialled
	repeatAfter = 30 * time.Second       // a provider is reported again after this, or with a new address
	askTimeout  = 3 * time.Second        // for a connected peer to answer
	askAtOnce   = 16                     // connected peers asked at the same time
	askPerRound = 64                     // connected peers asked in one round
	lookupLimit = 30 * time.Second       // for one walk through the DHT
	maxReported = 2048                   // providers remembered per search; later ones are not reported
	maxLocated  = 8                      // providers that one walk looks up
)

// Where a provider was heard of.
const (
	SourceConnected = "connected" // a peer that we were connected to said so
	SourceDHT       = "dht"       // a lookup found the record
)

// Found is a peer that is said to have a root. Addrs are only those that the network's reach allows, and may be empty
// for a peer that we are connected to.
type Found struct {
	Peer   peer.AddrInfo
	Source string
}

// Find looks for providers of c until ctx ends, and then closes the channel. Connected peers are asked first, each for
// what it knows itself; a DHT lookup runs beside. Both are repeated with growing pauses, and at once when a peer
// connects that was not asked yet. This node itself is never reported. A slow reader holds up nothing but its own search.
func (d *DHT) Find(ctx context.Context, c cid.Cid) <-chan Found {
	out := make(chan Found)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || !c.Defined() {
		close(out)
		return out
	}
	d.finds.Go(func() {
		defer close(out)
		if d.up(ctx) != nil {
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		s := &search{
			d: d, c: c, out: out,
			hits:    make(chan Found),
			asked:   make(chan peer.ID),
			looked:  make(chan struct{}),
			dialled: make(chan peer.ID),
			seen:    map[peer.ID]sighting{},
			tried:   map[peer.ID]struct{}{},
			asking:  map[peer.ID]struct{}{},
			walked:  map[peer.ID]struct{}{},
		}
		s.run(ctx)
		cancel()
		s.workers.Wait()
	})
	return out
}

// search is one Find. Its goroutine owns every field; the workers speak to it through the channels.
type search struct {
	d   *DHT
	c   cid.Cid
	out chan<- Found

	hits    chan Found    // from workers
	asked   chan peer.ID  // this one answered or failed
	looked  chan struct{} // the lookup is over
	dialled chan peer.ID  // the lookup connects to this one, and will ask it
	workers sync.WaitGroup

	seen    map[peer.ID]sighting
	queue   []Found              // accepted, not yet taken by the reader
	tried   map[peer.ID]struct{} // connected peers asked this round
	toAsk   []peer.ID
	asking  map[peer.ID]struct{} // not answered yet; a silent peer holds one place, not one a round
	walked  map[peer.ID]struct{} // the lookup under way has connected to these: it asks them itself
	looking bool
	newcome bool // there may be connected peers not asked this round
	pause   time.Duration
}

// sighting is what was last reported of a provider.
type sighting struct {
	at    time.Time
	addrs []ma.Multiaddr
}

func (s *search) run(ctx context.Context) {
	s.pause = firstRound / 2
	timer := time.NewTimer(0) // the first round is now
	defer timer.Stop()
	wake := s.d.wake.next()
	for {
		s.askNew(ctx)
		var out chan<- Found
		var head Found
		if len(s.queue) > 0 {
			out, head = s.out, s.queue[0]
		}
		select {
		case <-ctx.Done():
			return
		case <-s.d.closing:
			return
		case out <- head:
			s.queue = s.queue[1:]
		case f := <-s.hits:
			s.accept(f, time.Now())
		case p := <-s.asked:
			delete(s.asking, p)
		case <-s.looked:
			s.looking = false
			clear(s.walked)
		case p := <-s.dialled:
			s.walked[p] = struct{}{}
		case <-wake:
			wake = s.d.wake.next()
			s.newcome = true
			if len(s.tried) < enoughPeers && s.pause > firstRound {
				s.pause = firstRound
				timer.Reset(s.pause)
			}
		case <-timer.C:
			s.round(ctx)
			timer.Reset(s.pause)
		}
	}
}

// round starts anew: everybody may be asked again, and a lookup runs unless one still does.
func (s *search) round(ctx context.Context) {
	limit := idleRound
	if len(s.seen) > 0 {
		limit = foundRound
	}
	s.pause = min(2*s.pause, limit)
	clear(s.tried)
	s.toAsk, s.newcome = nil, true
	if !s.looking {
		late := s.pause > lateRound
		s.looking = true
		s.workers.Go(func() { s.lookup(ctx, late) })
	}
}

// askNew asks connected peers that were not asked this round, a few at a time.
func (s *search) askNew(ctx context.Context) {
	if s.newcome {
		s.newcome = false
		for _, p := range s.d.neighbours() {
			_, tried := s.tried[p]
			_, asking := s.asking[p]
			_, walked := s.walked[p]
			if !tried && !asking && !walked && len(s.tried) < askPerRound {
				s.tried[p] = struct{}{}
				s.toAsk = append(s.toAsk, p)
			}
		}
	}
	for len(s.toAsk) > 0 && len(s.asking) < askAtOnce {
		p := s.toAsk[0]
		s.toAsk = s.toAsk[1:]
		s.asking[p] = struct{}{}
		s.workers.Go(func() { s.ask(ctx, p) })
	}
}

// ask asks one peer for the providers that it knows, itself included. That it may fail is the normal case of a network.
func (s *search) ask(ctx context.Context, p peer.ID) {
	actx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	provs, _, err := s.d.asker.GetProviders(actx, p, s.c.Hash())
	if err != nil && ctx.Err() == nil {
		s.d.log.Debug("peer did not answer a question for providers", "peer", p, "err", err)
	}
	for _, prov := range provs {
		s.hit(ctx, *prov, SourceConnected)
	}
	select {
	case s.asked <- p:
	case <-ctx.Done():
	}
}

// lookup walks the DHT once. It also asks where those providers are now that are without a usable address, or, late in a search,
// that nobody has reached: a record outlives its addresses. The walk is cut off when it has given more providers than a search reports, since kad-dht
// keeps all of them until it ends; its channel is always read to the end.
func (s *search) lookup(ctx context.Context, late bool) {
	lctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	lctx, events := routing.RegisterForQueryEvents(lctx)
	followed := make(chan struct{})
	s.workers.Go(func() {
		s.follow(ctx, events)
		close(followed)
	})
	var lost []peer.ID
	n := 0
	for prov := range s.d.kad.FindProvidersAsync(lctx, s.c, 0) {
		if n++; n > maxReported {
			cancel()
			continue
		}
		stale := len(s.d.addrsOf(prov)) == 0 || late && !s.d.connected(prov.ID)
		if stale && prov.ID != s.d.host.ID() && len(lost) < maxLocated {
			lost = append(lost, prov.ID)
		}
		s.hit(lctx, prov, SourceDHT)
	}
	for _, p := range lost {
		fctx, stop := context.WithTimeout(lctx, askTimeout)
		if info, err := s.d.kad.FindPeer(fctx, p); err == nil {
			s.hit(lctx, info, SourceDHT)
		}
		stop()
	}
	cancel()
	<-followed // or it speaks of this lookup when the next one runs
	select {
	case s.looked <- struct{}{}:
	case <-ctx.Done():
	}
}

// follow tells the search whom the lookup connects to: they would else be asked twice, as newcomers too. Who listens outside of the
// search still hears everything.
func (s *search) follow(ctx context.Context, events <-chan *routing.QueryEvent) {
	for e := range events {
		routing.PublishQueryEvent(ctx, e)
		if e.Type != routing.DialingPeer {
			continue
		}
		select {
		case s.dialled <- e.ID:
		case <-ctx.Done():
		}
	}
}

func (s *search) hit(ctx context.Context, p peer.AddrInfo, source string) {
	select {
	case s.hits <- Found{Peer: p, Source: source}:
	case <-ctx.Done():
	}
}

// accept queues a provider for the reader unless it is known already or useless.
func (s *search) accept(f Found, now time.Time) {
	if f.Peer.ID == s.d.host.ID() || f.Peer.ID.Validate() != nil {
		return
	}
	f.Peer.Addrs = s.d.addrsOf(f.Peer)
	if len(f.Peer.Addrs) == 0 && !s.d.connected(f.Peer.ID) {
		return
	}
	old, known := s.seen[f.Peer.ID]
	if known && now.Sub(old.at) < repeatAfter && containsAll(old.addrs, f.Peer.Addrs) {
		return
	}
	if !known && len(s.seen) >= maxReported {
		return
	}
	s.seen[f.Peer.ID] = sighting{at: now, addrs: f.Peer.Addrs}
	for i := range s.queue {
		if s.queue[i].Peer.ID == f.Peer.ID { // not taken yet: the newer one replaces it
			s.queue[i] = f
			return
		}
	}
	if s.d.connected(f.Peer.ID) { // before those that somebody made up
		s.queue = slices.Insert(s.queue, 0, f)
		return
	}
	s.queue = append(s.queue, f)
}

// containsAll reports whether every address of b is in a.
func containsAll(a, b []ma.Multiaddr) bool {
	for _, addr := range b {
		if !slices.ContainsFunc(a, addr.Equal) {
			return false
		}
	}
	return true
}
