package sched

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// upSim is conns that always have a leaf to send, over an uplink that shares its
// rate among those whose turn it is, each no faster than its own link.
type upSim struct {
	choked bool // conns wait for offers when there are turns
	u      *Uplink
	now    time.Time
	rate   float64 // B/s of the uplink
	all    []*upSimConn
}

type upSimConn struct {
	id      ConnID
	peer    peer.ID
	link    float64 // B/s of its own; 0: stands still
	left    float64 // of its leaf
	turn    bool
	total   float64
	from    time.Duration // takes part from then on
	deliver uint64
	answer  answer // to offers
}

type answer int

const (
	takes answer = iota
	declines
	mute
)

func newUpSim(rate float64) *upSim {
	return &upSim{u: NewUplink(1), now: simEpoch, rate: rate}
}

func (s *upSim) add(p string, link float64) *upSimConn {
	c := &upSimConn{id: ConnID(len(s.all) + 1), peer: peer.ID(p), link: link}
	s.all = append(s.all, c)
	s.u.Add(c.id, c.peer)
	s.u.Got(s.now, c.id, 0, time.Millisecond)
	return c
}

func (s *upSim) grant(grants []Grant) {
	for _, g := range slices.Clone(grants) {
		c := s.all[g.Conn-1]
		switch {
		case !g.Offer:
			c.turn, c.left = true, mib
		case c.answer == takes:
			s.grant(s.u.Ask(s.now, c.id))
		case c.answer == declines:
			s.grant(s.u.Interest(s.now, c.id, true, 0, true))
		}
	}
}

const upStep = 5 * time.Millisecond

// run lets time pass in steps.
func (s *upSim) run(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); {
		var active []*upSimConn
		for _, c := range s.all {
			switch {
			case s.choked && s.u.Turns():
				s.grant(s.u.Interest(s.now, c.id, true, 0, false))
			case !c.turn && s.now.Sub(simEpoch) >= c.from && c.answer == takes:
				s.grant(s.u.Ask(s.now, c.id))
			}
		}
		for _, c := range s.all {
			if c.turn {
				active = append(active, c)
			}
		}
		s.now = s.now.Add(upStep)
		s.share(active)
		s.grant(s.u.Tick(s.now))
	}
}

// share gives each conn at its turn what it can take of one step.
func (s *upSim) share(active []*upSimConn) {
	slices.SortFunc(active, func(a, b *upSimConn) int { return int(a.link - b.link) })
	rest := s.rate * upStep.Seconds()
	for i, c := range active {
		n := min(rest/float64(len(active)-i), c.link*upStep.Seconds(), c.left)
		rest -= n
		c.left -= n
		c.total += n
		c.deliver += uint64(n)
		s.u.Sent(s.now, c.id, int(n))
		s.grant(s.u.Got(s.now, c.id, c.deliver, time.Millisecond))
		if c.left < 1 && c.link > 0 {
			c.turn = false
			s.grant(s.u.Whole(s.now, c.id, !s.choked))
		}
	}
}

func (s *upSim) sum() float64 {
	sum := 0.0
	for _, c := range s.all {
		sum += c.total
	}
	return sum
}

func TestUplinkIsFilled(t *testing.T) {
	tests := []struct {
		name  string
		n     int
		rate  float64
		link  float64
		part  float64 // of the rate, at least
		turns int     // at most, in the end
	}{
		{"one is enough", 8, 6e6, 100e6, 0.97, 16},
		{"each has a quarter of the uplink", 8, 6e6, 1.5e6, 0.95, 16},
		{"slow peers behind a fast uplink", 64, 120e6, 6e6, 0.75, 64},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newUpSim(tt.rate)
			for i := range tt.n {
				s.add(fmt.Sprint("peer", i), tt.link)
			}
			s.run(20 * time.Second)
			part := s.sum() / 20 / tt.rate
			t.Logf("%.3f of the uplink, %d turns under way", part, s.u.Busy())
			if part < tt.part || s.u.Busy() > tt.turns {
				t.Errorf("want at least %.2f, at most %d turns", tt.part, tt.turns)
			}
		})
	}
}

func TestUplinkIsFairToPeers(t *testing.T) {
	s := newUpSim(10e6)
	one := s.add("one conn", 100e6)
	var many float64
	for range 16 {
		s.add("many conns", 100e6)
	}
	late := s.add("late", 100e6)
	late.from = 10 * time.Second
	s.run(20 * time.Second)
	for _, c := range s.all[1:17] {
		many += c.total
	}
	t.Logf("one conn %.1f MB, sixteen conns %.1f MB, late %.1f MB", one.total/1e6, many/1e6, late.total/1e6)
	if many > one.total*1.1 || one.total > many*1.1 {
		t.Error("conns count, not peers")
	}
	if want := 10e6 * 10 / 3; late.total < want*0.85 || late.total > want*1.25 {
		t.Errorf("one that comes later does not get its third of what follows, %.1f MB", want/1e6)
	}
}

func TestUplinkFavoursThoseWhoGive(t *testing.T) {
	s := newUpSim(10e6)
	giver, taker := s.add("giver", 100e6), s.add("taker", 100e6)
	for range 100 {
		s.u.Received(s.now, giver.peer, 4*mib)
		s.run(100 * time.Millisecond)
	}
	t.Logf("giver %.1f MB, taker %.1f MB", giver.total/1e6, taker.total/1e6)
	if giver.total < 1.8*taker.total || giver.total > 3.2*taker.total {
		t.Error("want two to three times as much for the giver")
	}
}

func TestUplinkPassesByWhatStandsStill(t *testing.T) {
	s := newUpSim(10e6)
	for i := range 32 {
		s.add(fmt.Sprint("still", i), 0)
	}
	moving := s.add("moving", 100e6)
	s.run(20 * time.Second)
	if moving.total < 0.6*10e6*20 {
		t.Errorf("%.1f MB for the only one that reads, of %.1f", moving.total/1e6, 200.0)
	}
	for _, c := range s.all {
		s.grant(s.u.Remove(s.now, c.id, c.peer))
	}
	if s.u.Busy() != 0 || len(s.u.peers) != 0 || len(s.u.wait) != 0 {
		t.Errorf("left behind: %d turns, %d peers, %d waiting", s.u.Busy(), len(s.u.peers), len(s.u.wait))
	}
}

// A peer that acknowledges the same again and again stands still.
func TestUplinkGotWithoutProgress(t *testing.T) {
	u, now := NewUplink(1), simEpoch
	for id := ConnID(1); id <= 2; id++ {
		u.Add(id, peer.ID(fmt.Sprint("p", id)))
		u.Got(now, id, 0, time.Millisecond)
	}
	u.Ask(now, 1)
	u.Sent(now, 1, mib)
	u.Whole(now, 1, false)
	if u.Ask(now, 2); u.Busy() != 1 {
		t.Fatalf("%d turns under way", u.Busy())
	}
	var got []Grant
	for range 10 {
		now = now.Add(stuckAfter / 5)
		u.Got(now, 1, 0, time.Millisecond)
		got = append(got, u.Tick(now)...)
	}
	if !slices.Equal(got, []Grant{{Conn: 2}}) {
		t.Errorf("turns of %v", got)
	}
}

// Those who take no offer, or do not answer, keep nobody from theirs.
func TestOffersAreNotSpentOnThoseWhoTakeNone(t *testing.T) {
	for how, part := range map[answer]float64{declines: 0.45, mute: 0.45} {
		s := newUpSim(5e6)
		s.choked = true
		a, b := s.add("a", 100e6), s.add("b", 100e6)
		for i := range 12 {
			s.add(fmt.Sprint("none", i), 100e6).answer = how
		}
		s.run(20 * time.Second)
		t.Logf("%.1f MB and %.1f MB of 100", a.total/1e6, b.total/1e6)
		if min(a.total, b.total) < part*5e6*20 {
			t.Errorf("answer %d: %.1f MB and %.1f MB for those who take offers", how, a.total/1e6, b.total/1e6)
		}
	}
}

// One that takes long for a leaf does not take up the turns of others meanwhile.
func TestSlowTurnsLeaveRoomForFastOnes(t *testing.T) {
	s := newUpSim(6e6)
	s.choked = true
	for i := range 4 {
		s.add(fmt.Sprint("slow", i), 0.3e6)
	}
	for i := range 4 {
		s.add(fmt.Sprint("fast", i), 6e6)
	}
	s.run(20 * time.Second)
	part := s.sum() / 20 / 6e6
	t.Logf("%.3f of the uplink", part)
	if part < 0.9 {
		t.Errorf("%.3f of the uplink is used", part)
	}
}
