package transfer

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/transfer/sched"
	"shoal/transfer/wire"
)

// A reader waits for what a download would get later from somebody else, so that
// silence counts sooner in a stream.
const (
	streamStall = time.Second
	streamNodes = 500 * time.Millisecond
	streamMute  = 150 * time.Millisecond // no answer to the want either
)

// Needs tells a running [Engine.Stream] which leaves are wanted. The zero value
// wants none. It is safe for concurrent use and serves one stream.
type Needs struct {
	mu   sync.Mutex
	runs []sched.Run
	wake func() // nil before the stream runs
}

// Add makes leaf i wanted, from now on. Leaves wanted already, or never known, are
// passed over; i must be known to the Job or become so.
func (n *Needs) Add(i int) {
	n.mu.Lock()
	if last := len(n.runs) - 1; last >= 0 && n.runs[last].First+sched.Leaf(n.runs[last].Count) == sched.Leaf(i) {
		n.runs[last].Count++
	} else {
		n.runs = append(n.runs, sched.Run{First: sched.Leaf(i), Count: 1})
	}
	wake := n.wake
	n.mu.Unlock()
	if wake != nil {
		wake()
	}
}

func (n *Needs) follow(wake func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wake = wake
}

func (n *Needs) take() []sched.Run {
	n.mu.Lock()
	defer n.mu.Unlock()
	runs := n.runs
	n.runs = nil
	return runs
}

// Stream is Fetch for a reader that follows the leaves in order: needs says which
// are wanted, a window that moves as the reader does, and they are asked so that
// the lowest comes soonest. job.Wanted and job.Has should say no to all. It goes on
// until ctx ends or the job fails; nothing is told to others, for what a reader has
// passed is not kept.
func (e *Engine) Stream(ctx context.Context, job Job, needs *Needs, peers <-chan peer.AddrInfo, watch func(Stats)) (Stats, error) {
	s := newSession(e, job)
	s.needs = needs
	s.sched = sched.New(sched.Config{Seed: rand.Uint64(), InOrder: true, Stall: streamStall})
	needs.follow(s.in.wake)
	s.in.wake() // for what was added before
	return s.fetch(ctx, peers, watch)
}

// takeNeeds tells the scheduler how far the reader has come. Leaves that are not
// known yet wait.
func (s *session) takeNeeds(now time.Time) {
	if s.needs == nil {
		return
	}
	if runs := s.needs.take(); len(runs) > 0 {
		s.handle(now, sched.Need{Runs: runs})
	}
}

// wantFlags is what a session says of itself when it subscribes.
func (s *session) wantFlags() uint32 {
	if s.needs != nil {
		return wire.WantPeers | wire.WantReads
	}
	return wire.WantPeers
}

// nodeTimeout is how long the peer that sends inner nodes may be silent.
func (s *session) nodeTimeout() time.Duration {
	d := s.e.cfg.NodeTimeout
	switch from := s.nodes.from; {
	case s.needs == nil:
		return d
	case from != nil && !from.answered:
		return min(d, streamMute)
	}
	return min(d, streamNodes)
}
