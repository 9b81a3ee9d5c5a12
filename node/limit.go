package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"shoal/node/api"
	"shoal/transfer"
)

// lookAgain is how long the schedule sleeps at most: clocks are put right, and machines
// sleep while their timers stand still.
const lookAgain = 15 * time.Minute

// limits keeps the rate limits: what the settings say, over that what the schedule
// says now, over that what was set by hand. Each limit for itself.
type limits struct {
	log   *slog.Logger
	base  rates
	rules schedule
	apply func(transfer.Limits) // called with mu held, when something has changed

	mu   sync.Mutex
	hand rates
	last transfer.Limits
}

// start puts the limits of now in force.
func (l *limits) start(apply func(transfer.Limits)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.apply = apply
	l.last = transferLimits(l.state(time.Now()).Rates())
	apply(l.last)
}

// run follows the schedule until ctx ends.
func (l *limits) run(ctx context.Context) error {
	if len(l.rules) == 0 {
		return nil
	}
	for {
		now := time.Now()
		l.refresh(now)
		timer := time.NewTimer(min(l.rules.next(now).Sub(now), lookAgain))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// refresh puts in force what holds at now.
func (l *limits) refresh(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle(now)
}

// settle applies what has changed. mu is held.
func (l *limits) settle(now time.Time) api.LimitState {
	s := l.state(now)
	if t := transferLimits(s.Rates()); t != l.last {
		l.last = t
		l.log.Info("rate limits changed", "up", t.Up, "down", t.Down, "peer_up", t.PeerUp, "peer_down", t.PeerDown)
		if l.apply != nil {
			l.apply(t)
		}
	}
	return s
}

// get tells what is in force.
func (l *limits) get(now time.Time) api.LimitState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state(now)
}

// set changes limits by hand.
func (l *limits) set(now time.Time, req api.LimitRequest) (api.LimitState, error) {
	given := rates{req.Up, req.Down, req.PeerUp, req.PeerDown}
	if err := given.check(); err != nil {
		return api.LimitState{}, api.Errorf(api.Invalid, "%w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if req.Auto {
		l.hand = rates{}
	}
	for kind, v := range given {
		if v != nil {
			l.hand[kind] = v
		}
	}
	return l.settle(now), nil
}

// state works out the limits at now. mu is held.
func (l *limits) state(now time.Time) api.LimitState {
	out := api.LimitState{Schedule: []string{}, Next: l.rules.next(now).Truncate(time.Second)}
	scheduled := l.rules.at(now)
	for kind, p := range [limitKinds]*api.Limit{&out.Up, &out.Down, &out.PeerUp, &out.PeerDown} {
		switch {
		case l.hand[kind] != nil:
			*p = api.Limit{Rate: *l.hand[kind], Source: api.LimitHand}
		case scheduled[kind] != nil:
			*p = api.Limit{Rate: *scheduled[kind].set[kind], Source: api.LimitSchedule, Rule: scheduled[kind].text}
		case l.base[kind] != nil:
			*p = api.Limit{Rate: *l.base[kind], Source: api.LimitConfig}
		}
	}
	for i := range l.rules {
		out.Schedule = append(out.Schedule, l.rules[i].text)
	}
	return out
}

func transferLimits(l api.Limits) transfer.Limits {
	return transfer.Limits{Up: l.Up, Down: l.Down, PeerUp: l.PeerUp, PeerDown: l.PeerDown}
}

// Limits tells which rate limits are in force, and why.
func (n *Node) Limits(context.Context) (api.LimitState, error) {
	return n.withTransfers(n.limits.get(time.Now())), nil
}

// withTransfers adds the limits of single transfers.
func (n *Node) withTransfers(s api.LimitState) api.LimitState {
	s.Transfers = n.rooted.list(n.nameOf)
	return s
}

// SetLimits sets rate limits by hand.
func (n *Node) SetLimits(_ context.Context, req api.LimitRequest) (api.LimitState, error) {
	if err := req.Check(); err != nil {
		return api.LimitState{}, err
	}
	s, err := n.limits.set(time.Now(), req)
	return n.withTransfers(s), err
}
