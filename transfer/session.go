package transfer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/transfer/sched"
	"shoal/transfer/wire"
)

const (
	tickEvery   = 100 * time.Millisecond
	tryLater    = 15 * time.Second // before a peer that the scheduler dropped is tried again
	lookEvery   = time.Second      // for peers that have come back by themselves
	sweepLeaves = 8192             // looked at in one tick
	growAtOnce  = 8192             // leaves told to the scheduler at a time
)

// session is one Fetch. Its owner is the goroutine that called Fetch: it alone
// touches what is below the line, the scheduler and the job (but Job.Write).
type session struct {
	e    *Engine
	job  Job
	root cid.Cid
	in   inbox
	work chan *batch   // to the writers
	turn chan struct{} // has room for the writer that hashes; it alone touches paired
	done chan struct{} // closed when the fetch is over
	wg   sync.WaitGroup

	paired time.Time // when leaves came last

	gotMu sync.Mutex
	got   []uint64 // leaves being written or held, a bit each

	// ---- the owner's
	sched    *sched.State
	peers    map[peer.ID]*source
	asking   []*source // with requests or cancels to send
	cands    candidates
	local    bringer
	widened  chan wider // outcomes of opening lanes
	faster   bool       // more lanes may be due
	nodes    nodeWalk
	needs    *Needs // nil: a download, which wants all from the start
	known    int    // leaves known
	complete bool
	grown    bool // what was known at the start has been taken in
	named    bool
	finished bool
	fresh    []uint32  // verified leaves to publish
	early    []arrival // second copies of leaves still being written
	here     []uint32  // leaves that appeared, the scheduler does not know yet
	spare    []uint32  // scratch for here
	swept    int       // the leaf looked at last
	looked   time.Time // for peers that have come back
	stats    tally
	infos    []sched.LeafInfo // scratch
	leaves   []uint32         // scratch
	expects  []expect         // scratch
	runs     []wire.Run       // scratch
	notes    []note           // scratch
	arrivals []arrival        // scratch
}

// source is a peer the session is subscribed at.
type source struct {
	id       peer.ID
	sub      *sub
	subs     []*sub // it, and one on each further connection
	lanes    lanes
	offered  *sub      // has made an offer that is not answered
	wanted   time.Time // the want was sent
	answered bool
	useful   time.Time // it sent (a part of) a leaf, or joined
	lost     time.Time // it said last that leaves are gone
	lacks    error     // and why
	ops      []op      // to be sent

	sendsNodes bool      // has been asked for inner nodes and has not ended
	nextNode   int       // the index it sends next
	noNodes    time.Time // not asked for inner nodes until then
}

// op is a run to request or to cancel.
type op struct {
	cancel bool
	run    wire.Run
}

// Fetch downloads what job wants from the peers that come over the channel, those
// that connected peers name, and those that want the same root from us. It returns
// when every wanted leaf has been written, when ctx ends (with its error; what was
// written counts) or when the job fails (AddNode, Write, or a CID this version
// cannot check). A closed channel means only that no more candidates come. watch,
// if not nil, is called a few times a second, from the calling goroutine, and must
// not block.
func (e *Engine) Fetch(ctx context.Context, job Job, peers <-chan peer.AddrInfo, watch func(Stats)) (Stats, error) {
	return newSession(e, job).fetch(ctx, peers, watch)
}

// fetch runs the session to its end.
func (s *session) fetch(ctx context.Context, peers <-chan peer.AddrInfo, watch func(Stats)) (Stats, error) {
	for range s.e.cfg.Writers {
		s.wg.Go(s.write)
	}
	err := s.run(ctx, peers, watch)
	s.close()
	if err != nil {
		err = fmt.Errorf("fetch %s: %w", s.root, err)
	}
	return s.snapshot(time.Now()), err
}

func newSession(e *Engine, job Job) *session {
	s := &session{
		e: e, job: job, root: job.Root(),
		work:  make(chan *batch, e.cfg.Writers),
		turn:  make(chan struct{}, 1),
		done:  make(chan struct{}),
		sched: sched.New(sched.Config{Seed: rand.Uint64()}),
		peers: make(map[peer.ID]*source),

		widened: make(chan wider, max(e.cfg.Lanes, 0)),
	}
	s.local = bringerOf(job)
	s.in.init()
	s.cands.init(e.cfg)
	s.stats.init(time.Now())
	return s
}

// run is the owner's loop: take what has come, let the scheduler decide, send.
func (s *session) run(ctx context.Context, peers <-chan peer.AddrInfo, watch func(Stats)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the diallers, which close waits for
	for _, ai := range s.e.swarms.join(s.root, s) {
		s.cands.add(s.e.host.ID(), ai, false)
	}
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	if err := s.grow(time.Now()); err != nil {
		return err
	}
	s.grown = true
	watched := time.Now()
	for !s.finished {
		s.dial(ctx)
		if s.faster {
			s.faster = false
			s.widen(ctx, time.Now())
		}
		s.flush()
		if s.finished {
			break
		}
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.e.done:
			return ErrClosed
		case <-s.in.signal:
			err = s.drain(time.Now())
		case <-s.local.signal:
			err = s.news(time.Now())
		case d := <-s.cands.dialed:
			s.attach(time.Now(), d)
		case w := <-s.widened:
			s.join(time.Now(), w)
		case ai, ok := <-peers:
			if !ok {
				peers = nil
			} else {
				s.cands.add(s.e.host.ID(), ai, false)
			}
		case <-tick.C:
			now := time.Now() // the scheduler's time must not go back
			err = s.tick(now)
			if watch != nil && now.Sub(watched) >= s.e.cfg.WatchEvery {
				watched = now
				watch(s.snapshot(now))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// close ends the subscriptions and waits for the session's goroutines: first the
// diallers and writers, then nobody calls the job any more.
func (s *session) close() {
	for _, p := range s.peers {
		s.remove(p)
	}
	s.e.swarms.publish(s.root, s.fresh)
	s.e.swarms.leave(s.root, s)
	close(s.done)
	s.in.close()
	s.wg.Wait()
}

// tick lets time pass for all parts.
func (s *session) tick(now time.Time) error {
	for _, p := range s.peers {
		if !p.answered && now.Sub(p.wanted) >= s.e.cfg.AnswerTimeout {
			s.e.log.Debug("peer did not answer", "peer", p.id)
			s.part(now, p, s.cands.retry)
		}
	}
	s.replace(now)
	if now.Sub(s.looked) >= lookEvery {
		s.looked = now
		s.cands.returned(s.connected)
	}
	s.minLanes(now)
	s.faster = true
	if s.local.job == nil {
		s.sweep()
		s.settle(now)
	}
	err := s.news(now)
	s.handle(now, sched.Tick{})
	s.walkNodes(now)
	s.stats.tick(now)
	return err
}

// replace leaves at most one peer that helps no more. One that has lost leaves says
// what it has anew when it is asked again: the disk, or the file, may be well by
// then. One that sends nothing makes room while others wait for a place.
func (s *session) replace(now time.Time) {
	stuck := false
	crowded := s.cands.crowded(now)
	for _, p := range s.peers {
		if !p.lost.IsZero() && now.Sub(p.lost) >= s.e.cfg.GoneTimeout {
			if len(s.sched.Outstanding(p.id)) > 0 {
				continue // what is on its way would be lost
			}
			if stuck = stuck || len(s.sched.AppendMissing(nil, 1)) > 0; stuck {
				s.part(now, p, func(id peer.ID, now time.Time) { s.cands.later(id, now.Add(firstRetry)) })
				return
			}
			p.lost = now // others have it: look again later
		}
		if crowded && now.Sub(p.useful) >= s.e.cfg.SlotTimeout {
			s.part(now, p, func(id peer.ID, now time.Time) { s.cands.later(id, now.Add(tryLater)) })
			return
		}
	}
}

// handle passes an event to the scheduler and takes up its actions. Requests and
// cancels are gathered for flush.
func (s *session) handle(now time.Time, ev sched.Event) {
	for _, a := range s.sched.Handle(now, ev) {
		switch a := a.(type) {
		case sched.Request:
			s.enqueue(a.Peer, op{false, wire.Run{First: uint32(a.Run.First), Count: a.Run.Count}})
		case sched.Cancel:
			s.enqueue(a.Peer, op{true, wire.Run{First: uint32(a.Run.First), Count: a.Run.Count}})
		case sched.Interest:
			s.tellInterest(a)
		case sched.Drop:
			if p := s.peers[a.Peer]; p != nil {
				s.e.log.Debug("dropped peer", "peer", p.id, "reason", a.Reason)
				s.remove(p)
				s.cands.later(p.id, now.Add(tryLater))
			}
		case sched.Done:
			s.finished = s.needs == nil
		}
	}
}

// attach subscribes at a peer that has been dialled, and asks for inner nodes at
// once if it is their turn.
func (s *session) attach(now time.Time, d dialed) {
	if s.peers[d.id] != nil || !s.cands.holds(d.id) { // what it had sent before was found to be bad meanwhile
		s.cands.dialing--
		return
	}
	s.cands.note(d.id, d.err)
	if d.err != nil {
		s.e.log.Debug("cannot reach peer", "peer", d.id, "err", d.err)
		if errors.Is(d.err, ErrRelayed) {
			s.stats.relayed++
		}
		s.cands.failed(d.id, now)
		s.cands.left(d.id, s.connected(d.id))
		return
	}
	sub, err := d.c.subscribe(s)
	if err != nil {
		s.cands.failed(d.id, now)
		if errors.Is(err, errViolation) { // sooner than we could subscribe
			s.cands.ban(d.id, now)
		}
		return
	}
	sub.moved = now
	p := &source{id: d.id, sub: sub, wanted: now, useful: now}
	p.subs, p.lanes.since = append(p.subs, sub), now
	s.peers[d.id] = p
	s.cands.active(d.id)
	d.c.send(wire.Want{Handle: sub.handle, Flags: s.wantFlags(), Root: s.root})
	s.handle(now, sched.Join{Peer: d.id})
	s.walkNodes(now)
}

// part leaves a peer for a reason the scheduler does not know of; then decides
// when it may be tried again.
func (s *session) part(now time.Time, p *source, then func(peer.ID, time.Time)) {
	s.remove(p)
	then(p.id, now)
	s.cands.left(p.id, s.connected(p.id))
	s.handle(now, sched.Leave{Peer: p.id})
}

func (s *session) connected(id peer.ID) bool {
	return s.e.host.Network().Connectedness(id) == network.Connected
}

// remove ends the subscription at a peer.
func (s *session) remove(p *source) {
	delete(s.peers, p.id)
	p.ops = nil
	s.nodes.left(p)
	if p.answered {
		s.e.swarms.uses(s.root, p.id, -1)
	}
	for _, sub := range p.subs {
		sub.c.unsubscribe(sub)
	}
}

// grow tells the scheduler of leaves that have become known.
func (s *session) grow(now time.Time) error {
	known, complete := s.job.Leaves()
	if known > sched.MaxLeaves {
		return fmt.Errorf("%d leaves, at most %d can be fetched", known, sched.MaxLeaves)
	}
	if known == s.known && complete == s.complete {
		return nil
	}
	for s.known < known {
		if err := s.growTo(now, min(known, s.known+growAtOnce)); err != nil {
			return err
		}
	}
	if complete && !s.complete {
		s.complete = true
		s.handle(now, sched.End{})
	}
	if s.needs == nil {
		s.e.swarms.grew(s.root, known, complete, "")
	}
	return nil
}

// growTo takes in the leaves up to known.
func (s *session) growTo(now time.Time, known int) error {
	s.infos = s.infos[:0]
	for i := s.known; i < known; i++ {
		c, size := s.job.Leaf(i)
		if _, ok := digestOf(c); !ok || size > wire.MaxPayload {
			return fmt.Errorf("leaf %d: cannot check %s of %d bytes", i, c, size)
		}
		wanted := s.job.Wanted(i)
		held := wanted && s.local.held(i) // before Has: it may come in between
		has := s.job.Has(i)
		if has && s.claim(uint32(i)) && wanted && s.grown {
			s.fresh = append(s.fresh, uint32(i)) // peers that want the root have not heard of it
		}
		if wanted {
			s.stats.want(size, has)
		}
		s.infos = append(s.infos, sched.LeafInfo{Size: uint32(max(size, 0)), Need: wanted && !has, Held: held})
	}
	s.known = known
	s.handle(now, sched.Grow{Leaves: s.infos})
	s.faster = true
	return nil
}
