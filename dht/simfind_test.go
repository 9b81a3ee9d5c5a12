package dht

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
)

const (
	findLimit = 30 * time.Second // a find that takes longer has failed
	atOnce    = 8                // finds or provides under way at the same time
)

// trial is one find or provide.
type trial struct {
	ok    bool
	took  time.Duration // virtual: to the provider, or until enough peers hold the record
	asked int           // messages sent meanwhile
	hops  int           // from peer to peer, to the farthest one asked
}

// place is a root and who provides it.
type place struct {
	c  cid.Cid
	by *simPeer
}

// provideAll lets each of some peers provide one root, and waits until other peers hold all records.
func (w *world) provideAll(by []*simPeer, first int) (places []place, trials []trial) {
	places, trials = make([]place, len(by)), make([]trial, len(by))
	w.each(len(by), func(i int) {
		places[i] = place{root(first + i), by[i]}
		trials[i] = w.provide(places[i])
	})
	return places, trials
}

func (w *world) provide(p place) (out trial) {
	begin, before := time.Now(), p.by.Status().Asked
	ctx, cancel := context.WithTimeout(context.Background(), 4*findLimit)
	defer cancel()
	if err := p.by.Provide(ctx, p.c); err != nil {
		w.t.Errorf("provide: %v", err)
		return out
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !out.ok && ctx.Err() == nil {
		<-tick.C
		_, wait := p.by.roots.size()
		out.ok, out.took = wait == 0, time.Since(begin)
	}
	time.Sleep(2 * requestTimeout) // whatever of it still runs
	out.asked = p.by.Status().Asked - before
	w.hangUp(p.by)
	return out
}

// holders is how many peers hold the record of a root, its provider apart.
func (w *world) holders(p place) (n int) {
	for _, other := range w.peers {
		if other == p.by {
			continue
		}
		provs, err := other.kad.ProviderStore().GetProviders(context.Background(), p.c.Hash())
		must(w.t, err)
		if slices.ContainsFunc(provs, func(i peer.AddrInfo) bool { return i.ID == p.by.host.ID() }) {
			n++
		}
	}
	return n
}

// findMany lets random peers look for random roots, in both cases those that may.
func (w *world) findMany(n int, places []place, may func(from *simPeer, p place) bool) []trial {
	type search struct {
		from *simPeer
		what place
	}
	var searches []search
	for len(searches) < n {
		s := search{w.peers[w.rand.IntN(len(w.peers))], places[w.rand.IntN(len(places))]}
		if s.from != s.what.by && may(s.from, s.what) {
			searches = append(searches, s)
		}
	}
	out := make([]trial, n)
	w.each(n, func(i int) {
		out[i] = w.find(searches[i].from, searches[i].what)
		w.hangUp(searches[i].from)
	})
	return out
}

// each calls f for 0 to n-1, a few at once.
func (w *world) each(n int, f func(int)) {
	var all sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for i := range n {
		places <- struct{}{}
		all.Go(func() {
			f(i)
			<-places
		})
	}
	all.Wait()
}

// find looks for the provider of a root until it is found.
func (w *world) find(from *simPeer, what place) (out trial) {
	ctx, cancel := context.WithTimeout(context.Background(), findLimit)
	ctx, events := routing.RegisterForQueryEvents(ctx)
	hops := make(chan int, 1)
	go func() { hops <- farthest(events) }()
	begin, before := time.Now(), from.Status().Asked
	found := from.Find(ctx, what.c)
	for f := range found {
		if f.Peer.ID == what.by.host.ID() {
			out.ok = true
			break
		}
	}
	out.took, out.asked = time.Since(begin), from.Status().Asked-before
	cancel()
	for range found { // until its goroutines have ended
	}
	out.hops = <-hops
	return out
}

// farthest follows a lookup: how many hops from peer to peer it was to the farthest one asked.
func farthest(events <-chan *routing.QueryEvent) (far int) {
	hops := map[peer.ID]int{}
	for e := range events {
		if hops[e.ID] == 0 {
			hops[e.ID] = 1 // from the routing table
		}
		switch e.Type {
		case routing.SendingQuery:
			far = max(far, hops[e.ID])
		case routing.PeerResponse:
			for _, r := range e.Responses {
				if hops[r.ID] == 0 {
					hops[r.ID] = hops[e.ID] + 1
				}
			}
		}
	}
	return far
}

// quantile is the q-th part of the values of all trials.
func quantile[T cmp.Ordered](trials []trial, q float64, of func(trial) T) T {
	values := make([]T, len(trials))
	for i, t := range trials {
		values[i] = of(t)
	}
	slices.Sort(values)
	return values[min(int(q*float64(len(values))), len(values)-1)]
}

func succeeded(trials []trial) (n int) {
	for _, t := range trials {
		if t.ok {
			n++
		}
	}
	return n
}
