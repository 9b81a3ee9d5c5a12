package transfer

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/transfer/wire"
)

// announceAt is how many fresh leaves are announced without waiting for more.
const announceAt = 64

// A fetcher that leaves has often finished, and then it is the best peer to know
// of: it is remembered for a while.
const (
	leftFor = 10 * time.Minute
	maxLeft = wire.MaxPeers
)

// swarms knows, root by root, which peers want it from us and which of our
// fetches work on it, and tells the former what the latter achieve.
type swarms struct {
	e    *Engine
	kick chan struct{}  // something is to be announced
	look chan []cid.Cid // roots of which leaves are short, to be looked at again

	mu    sync.Mutex
	roots map[cid.Cid]*swarm
}

// swarm is one root that somebody wants.
type swarm struct {
	members   map[*serve]*member
	sessions  map[*session]struct{}
	providers map[peer.ID]int       // peers our sessions use, by how many sessions
	left      map[peer.ID]time.Time // members that left, perhaps because they have it all now
	fresh     []wire.Run            // verified leaves not announced yet
	count     int                   // leaves in fresh
	info      *wire.Info            // growth not announced yet
	moved     bool                  // membership has changed since the last exchange
	deal      dealing
	short     []byte // leaves that members were told are not here, as bits; nil: none
}

// member is a peer that wants the root.
type member struct {
	told map[peer.ID]struct{} // peers it has been told of
	deal *dealMember          // nil: the root is not whole here
}

func newSwarms(e *Engine) *swarms {
	return &swarms{e: e, kick: make(chan struct{}, 1), look: make(chan []cid.Cid), roots: make(map[cid.Cid]*swarm)}
}

// run is the engine's housekeeper: it announces fresh leaves within HaveDelay and
// exchanges peers every PeersEvery.
func (w *swarms) run(ctx context.Context) {
	flush := time.NewTimer(time.Hour)
	flush.Stop()
	defer flush.Stop()
	armed := false // so that later leaves do not put the first one off
	exchange := time.NewTicker(w.e.cfg.PeersEvery)
	defer exchange.Stop()
	look := time.NewTicker(w.e.cfg.LookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.e.done:
			return
		case <-w.kick:
			if !armed {
				armed = true
				flush.Reset(w.e.cfg.HaveDelay)
			}
		case <-flush.C:
			if armed = w.announceAll(time.Now()); armed {
				flush.Reset(dealIdle)
			}
		case <-exchange.C:
			w.exchangeAll()
		case <-look.C:
			w.lookSoon()
		}
	}
}

// get returns the swarm of a root, made if need be. mu is held.
func (w *swarms) get(root cid.Cid) *swarm {
	s := w.roots[root]
	if s == nil {
		s = &swarm{
			members:   make(map[*serve]*member),
			sessions:  make(map[*session]struct{}),
			providers: make(map[peer.ID]int),
			left:      make(map[peer.ID]time.Time),
		}
		w.roots[root] = s
	}
	return s
}

// drop forgets the swarm if nobody is left in it. mu is held.
func (w *swarms) drop(root cid.Cid, s *swarm) {
	if len(s.members)+len(s.sessions)+len(s.left) == 0 {
		delete(w.roots, root)
	}
}

// subscribe adds a peer that wants a root. Sessions on that root hear of it: it
// may have, or get, what they want.
func (w *swarms) subscribe(sv *serve) {
	w.mu.Lock()
	s := w.get(sv.root)
	s.members[sv] = &member{told: make(map[peer.ID]struct{})}
	if sv.reads {
		w.mu.Unlock()
		return
	}
	delete(s.left, sv.c.peer)
	s.moved = true
	sessions := make([]*session, 0, len(s.sessions))
	for ses := range s.sessions {
		sessions = append(sessions, ses)
	}
	w.mu.Unlock()
	for _, ses := range sessions {
		ses.in.post(note{found: []peer.AddrInfo{{ID: sv.c.peer}}}, 0)
	}
}

func (w *swarms) unsubscribe(sv *serve) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.roots[sv.root]; s != nil && s.members[sv] != nil {
		w.undeal(s, sv)
		delete(s.members, sv)
		if sv.served && !sv.reads && len(s.left) < maxLeft {
			s.left[sv.c.peer] = time.Now()
			s.moved = true
		}
		w.drop(sv.root, s)
	}
}

// join enters a session; peers that want its root already are returned.
func (w *swarms) join(root cid.Cid, ses *session) []peer.AddrInfo {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.get(root)
	s.sessions[ses] = struct{}{}
	var found []peer.AddrInfo
	for sv := range s.members {
		if !sv.reads {
			found = append(found, peer.AddrInfo{ID: sv.c.peer})
		}
	}
	return found
}

func (w *swarms) leave(root cid.Cid, ses *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.roots[root]; s != nil {
		w.announce(s) // what was verified last is worth telling still
		delete(s.sessions, ses)
		w.drop(root, s)
	}
}

// uses notes that a session has begun (by 1) or ceased (by -1) to use a peer,
// which is worth telling to others.
func (w *swarms) uses(root cid.Cid, p peer.ID, by int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.roots[root]
	if s == nil {
		return
	}
	s.moved = true
	if s.providers[p] += by; s.providers[p] <= 0 {
		delete(s.providers, p)
	}
}

// publish offers verified leaves to the members.
func (w *swarms) publish(root cid.Cid, leaves []uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.roots[root]
	if s == nil || len(s.members) == 0 {
		return
	}
	for _, leaf := range leaves {
		s.fresh = addLeaf(s.fresh, leaf)
	}
	if s.count += len(leaves); s.count >= announceAt {
		w.announce(s)
		return
	}
	w.wake()
}

// grew tells the members that more of the root is known.
func (w *swarms) grew(root cid.Cid, leaves int, complete bool, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.roots[root]
	if s == nil || len(s.members) == 0 {
		return
	}
	s.info = &wire.Info{Leaves: uint32(leaves), Name: wireName(name)}
	if complete {
		s.info.Flags |= wire.InfoComplete
	}
	w.wake()
}

func (w *swarms) wake() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// announceAll sends what is pending, and reports whether there is more to come soon.
func (w *swarms) announceAll(now time.Time) (again bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.roots {
		w.announce(s)
		w.tellDealt(s)
		again = w.redeal(s, now) > 0 || again
	}
	return again
}

// announce sends what is pending to all members. mu is held; send does not block.
func (w *swarms) announce(s *swarm) {
	runs := mergeRuns(s.fresh)
	for sv := range s.members {
		if s.info != nil {
			info := *s.info
			info.Handle = sv.handle
			sv.c.send(info)
		}
		for part := range slices.Chunk(runs, wire.MaxRuns) {
			sv.c.send(wire.HaveRuns{Handle: sv.handle, Runs: part})
		}
	}
	s.fresh, s.count, s.info = s.fresh[:0], 0, nil
}

// mergeRuns sorts runs in place and joins those that touch.
func mergeRuns(runs []wire.Run) []wire.Run {
	slices.SortFunc(runs, func(a, b wire.Run) int { return int(int64(a.First) - int64(b.First)) })
	out := runs[:0]
	for _, r := range runs {
		if n := len(out); n > 0 && uint64(r.First) <= uint64(out[n-1].First)+uint64(out[n-1].Count) {
			end := max(uint64(out[n-1].First)+uint64(out[n-1].Count), uint64(r.First)+uint64(r.Count))
			out[n-1].Count = uint32(end - uint64(out[n-1].First))
			continue
		}
		out = append(out, r)
	}
	return out
}
