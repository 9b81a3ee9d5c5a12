package sched

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// State is the scheduler of one download. It belongs to one goroutine.
type State struct {
	cfg Config
	rng *rand.Rand
	now time.Time

	t     leaves
	ended bool
	done  bool

	byID     map[peer.ID]*peerState // to look up, never to iterate
	peers    []*peerState           // in the order they joined
	seeds    int                    // peers that have all, but for exceptions
	partials int                    // peers that have something, not everything

	freed   bool      // leaves were given back: everybody may want them
	sweepAt time.Time // when idle peers may look for work again
	tellAt  time.Time // when the peers that have choked us are told of changes again
	front   Leaf      // no leaf below it is wanted
	rushAt  time.Time // when the leaves in front are looked at again
	speed   float64   // B/s of all who work, as of speedAt
	speedAt time.Time

	received  int64 // payload of needed leaves
	duplicate int64 // payload that came again
	copied    int64 // cost of leaves asked of a second peer

	actions []Action
	pending Request // the last request, which may still grow
	asking  bool    // pending is set
	scratch []Leaf
}

// New returns a State that knows no leaf and no peer.
func New(cfg Config) *State {
	return &State{
		cfg:  cfg.withDefaults(),
		rng:  rand.New(rand.NewPCG(cfg.Seed, 0x73686f616c)),
		byID: make(map[peer.ID]*peerState),
	}
}

// Handle applies one event and returns what is to be done, in order. The slice
// is valid until the next call. Times may repeat; one that goes back counts as
// the time of the event before.
func (s *State) Handle(now time.Time, ev Event) []Action {
	s.actions = s.actions[:0]
	if now.After(s.now) {
		s.now = now
	}
	p := s.apply(ev)
	s.settle(p)
	return s.actions
}

// apply changes the tables and returns the peer, if any, that may be given work.
func (s *State) apply(ev Event) *peerState {
	switch e := ev.(type) {
	case Received:
		return s.onReceived(e)
	case Progress:
		s.onProgress(e)
	case HaveAll:
		return s.onHaveAll(s.byID[e.Peer])
	case HaveBits:
		return s.onHaveBits(s.byID[e.Peer], e.First, e.Bits)
	case HaveRuns:
		return s.onRuns(s.byID[e.Peer], e.Runs, true)
	case Lost:
		return s.onRuns(s.byID[e.Peer], e.Runs, false)
	case Tick:
		s.onTick()
	case Grow:
		s.onGrow(e.Leaves)
	case Ask:
		s.onAsk(e.Runs)
	case End:
		s.onEnd()
	case Need:
		s.onNeed(e.Runs)
	case Join:
		s.onJoin(e.Peer)
	case Leave:
		s.remove(s.byID[e.Peer])
	case Bad:
		s.drop(s.byID[e.Peer], "sent a chunk that fails verification")
	case RTT:
		if p := s.byID[e.Peer]; p != nil {
			p.sampleRTT(e.D)
		}
	case Busy:
		return s.onBusy(s.byID[e.Peer], e.For)
	case Choke:
		return s.onChoke(s.byID[e.Peer], e.Coming)
	case Offer:
		return s.onOffer(s.byID[e.Peer], e.Bytes)
	case Unchoke:
		if p := s.byID[e.Peer]; p != nil {
			p.choked, p.busyUntil, p.told = false, time.Time{}, interest{}
			return p
		}
	}
	return nil
}

// settle hands out work after an event: to everybody if leaves became free, to
// the peer concerned otherwise, and in the endgame to all who are idle.
func (s *State) settle(p *peerState) {
	if s.done {
		if p != nil && p.limit > 0 {
			s.takeOffer(p, p.out)
		}
		return
	}
	if s.ended && s.t.have == s.t.need {
		s.flush()
		s.done = true
		s.actions = append(s.actions, Done{})
		return
	}
	endgame := s.ended && s.t.nfree == 0
	owed := int64(0)
	if p != nil {
		owed = p.out
	}
	switch {
	case s.freed:
		s.freed = false
		for _, q := range s.peers {
			q.dry = false
		}
		s.refillAll()
	case endgame && !s.now.Before(s.sweepAt):
		s.sweepAt = s.now.Add(sweepEvery)
		s.refillAll()
	case p != nil:
		s.refill(p)
	}
	s.rush()
	if p != nil && p.limit > 0 {
		s.takeOffer(p, owed)
	}
	s.tellInterest(p)
	s.flush()
}

// refillAll gives work to every peer, those on probation last.
func (s *State) refillAll() {
	for _, p := range s.peers {
		if !p.probation {
			s.refill(p)
		}
	}
	for _, p := range s.peers {
		if p.probation {
			s.refill(p)
		}
	}
}

func (s *State) onGrow(infos []LeafInfo) {
	first := s.t.n()
	infos = infos[:min(len(infos), int(s.cfg.MaxLeaves)-first)]
	if s.ended || len(infos) == 0 {
		return
	}
	for _, info := range infos {
		s.t.add(info)
	}
	for _, p := range s.peers {
		s.reveal(p, first)
	}
	s.freed = true
}

// onAsk frees held leaves. A run may reach beyond what is known.
func (s *State) onAsk(runs []Run) {
	for _, r := range runs {
		end := min(uint64(r.First)+uint64(r.Count), uint64(s.t.n()))
		for l := uint64(r.First); l < end; l++ {
			if s.t.unhold(Leaf(l)) {
				s.freed = true
			}
		}
	}
}

func (s *State) onEnd() {
	if s.ended {
		return
	}
	s.ended, s.freed = true, true
	for _, p := range s.peers {
		s.promote(p)
	}
}

func (s *State) onJoin(id peer.ID) {
	switch {
	case s.byID[id] != nil:
	case len(s.peers) >= s.cfg.MaxPeers:
		s.actions = append(s.actions, Drop{id, "too many peers"})
	default:
		p := &peerState{id: id, window: s.cfg.MinWindow}
		s.byID[id] = p
		s.peers = append(s.peers, p)
	}
}

// remove forgets a peer and gives back what it owed.
func (s *State) remove(p *peerState) {
	if p == nil {
		return
	}
	s.giveBack(p)
	s.forgetHaves(p)
	delete(s.byID, p.id)
	for i, q := range s.peers {
		if q == p {
			s.peers = append(s.peers[:i], s.peers[i+1:]...)
			return
		}
	}
}

// drop removes a peer and says so.
func (s *State) drop(p *peerState, reason string) {
	if p == nil {
		return
	}
	s.remove(p)
	s.actions = append(s.actions, Drop{p.id, reason})
}

// maxBusy bounds how long a peer may send us away; one that stays busy says it again.
const maxBusy = time.Minute

func (s *State) onBusy(p *peerState, d time.Duration) *peerState {
	if p == nil {
		return nil
	}
	p.busyUntil = s.now.Add(min(max(d, 0), maxBusy))
	s.giveBack(p)
	return p
}

// onChoke frees what the peer owes, but for what is coming.
func (s *State) onChoke(p *peerState, coming []Leaf) *peerState {
	if p == nil {
		return nil
	}
	p.choked, p.told = true, interest{}
	coming = slices.DeleteFunc(slices.Clone(coming), func(l Leaf) bool { _, owes := p.owes(l); return !owes })
	partial := p.partial
	s.giveBack(p)
	for _, l := range coming {
		s.t.take(l)
		p.owed, p.out, p.partial = append(p.owed, Run{l, 1}), p.out+s.t.cost(l), partial
	}
	return p
}

func (s *State) onProgress(e Progress) {
	p := s.byID[e.Peer]
	if p == nil || p.out == 0 || e.Bytes <= 0 {
		return
	}
	// No more than the leaf that is due: the rest is for Received to count.
	n := min(int64(e.Bytes), s.t.cost(p.head())-p.partial)
	if n > 0 {
		p.partial += n
		p.meter.add(s.now, n)
		s.recover(p)
	}
}

func (s *State) onReceived(e Received) *peerState {
	if int(e.Leaf) >= s.t.n() {
		return nil
	}
	p, fresh := s.byID[e.Peer], s.t.wanted(e.Leaf)
	if p != nil {
		s.credit(p, e, fresh)
	}
	if !fresh {
		s.duplicate += int64(e.Bytes)
		s.t.state[e.Leaf] |= here
		return p
	}
	s.freed = s.freed || s.cfg.InOrder && s.received == 0 // who was held back may begin
	s.received += int64(e.Bytes)
	s.t.arrive(e.Leaf)
	if s.t.copies(e.Leaf) > 0 {
		s.recall(e.Leaf)
	}
	return p
}

// credit takes a leaf off what the peer owes and measures the peer by it.
func (s *State) credit(p *peerState, e Received, fresh bool) {
	cost := max(s.t.cost(e.Leaf), int64(e.Bytes))
	busy := p.out > 0
	owed := p.forget(e.Leaf)
	if owed {
		s.t.drop(e.Leaf)
		p.out -= s.t.cost(e.Leaf)
	}
	if fresh {
		p.received += int64(e.Bytes)
	} else {
		p.duplicate += int64(e.Bytes)
	}
	if !owed && !fresh {
		return // proves nothing: it may be the same leaf again and again
	}
	if busy {
		if !p.asked.IsZero() {
			p.delay, p.first, p.asked = s.now.Sub(p.asked), cost, time.Time{}
		}
		p.meter.add(s.now, max(cost-p.partial, 0))
		p.partial = 0
		p.advance(s.cfg, s.now, cost)
	}
	s.recover(p)
}

// recall takes a leaf that has arrived back from the peers that still owe it.
func (s *State) recall(l Leaf) {
	for _, q := range s.peers {
		if q.forget(l) {
			s.t.drop(l)
			q.out -= s.t.cost(l)
			s.actions = append(s.actions, Cancel{q.id, Run{l, 1}})
			s.freed = s.freed || q.out == 0
		}
	}
}

// giveBack frees everything that a peer owes.
func (s *State) giveBack(p *peerState) {
	for _, r := range p.owed {
		for l := r.First; l < r.First+Leaf(r.Count); l++ {
			s.t.drop(l)
		}
		s.freed = true
	}
	p.owed, p.out, p.partial = p.owed[:0], 0, 0
}

// ask gives a run of leaves to a peer. Runs that continue each other in the
// same call go out as one request.
func (s *State) ask(p *peerState, r Run) {
	if p.out == 0 {
		p.resume(s.now)
	}
	for l := r.First; l < r.First+Leaf(r.Count); l++ {
		s.t.take(l)
		p.out += s.t.cost(l)
	}
	if n := len(p.owed); n > 0 && p.owed[n-1].First+Leaf(p.owed[n-1].Count) == r.First {
		p.owed[n-1].Count += r.Count
	} else {
		p.owed = append(p.owed, r)
	}
	q := &s.pending
	if s.asking && q.Peer == p.id && q.Run.First+Leaf(q.Run.Count) == r.First &&
		uint64(q.Run.Count)+uint64(r.Count) <= uint64(s.cfg.MaxRun) {
		q.Run.Count += r.Count
		return
	}
	s.flush()
	s.pending, s.asking = Request{p.id, r}, true
}

// flush emits the request that was kept back.
func (s *State) flush() {
	if s.asking {
		s.actions = append(s.actions, s.pending)
		s.asking = false
	}
}

// retract takes a run back from a peer.
func (s *State) retract(p *peerState, r Run) {
	s.flush()
	s.actions = append(s.actions, Cancel{p.id, r})
}

// workSpeed is the rate of all peers that have work, in bytes a second.
func (s *State) workSpeed() float64 {
	if s.speedAt.Equal(s.now) && s.speed > 0 {
		return s.speed
	}
	s.speed, s.speedAt = 0, s.now
	for _, p := range s.peers {
		if p.serves(s.now) && !p.probation && (p.out > 0 || !p.dry) {
			s.speed += s.rate(p)
		}
	}
	return s.speed
}

// rate is the peer's rate in bytes a second; 0: not measured.
func (s *State) rate(p *peerState) float64 {
	if p.out == 0 {
		return p.meter.rate()
	}
	return p.meter.rateAt(s.now, s.t.cost(p.head())-p.partial)
}
