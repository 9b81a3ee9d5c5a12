package sched

import (
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// interests returns what a peer was told, in order.
func interests(as []Action, id peer.ID) (list []Interest) {
	for _, a := range as {
		if i, ok := a.(Interest); ok && i.Peer == id {
			list = append(list, i)
		}
	}
	return list
}

func TestOffers(t *testing.T) {
	choked := events(seed("a"), []Event{Choke{Peer: "a"}}, grown(4, mib))
	tests := []struct {
		name   string
		events []Event // before
		ev     Event
		ask    []Leaf // of a, any of them
		n      int    // how many
		told   []Interest
	}{
		{"taken", choked, Offer{"a", TurnBytes}, []Leaf{0, 1, 2, 3}, 1, []Interest{{"a", true, 1, false}}},
		{"of more than a leaf", choked, Offer{"a", 3 * mib}, []Leaf{0, 1, 2, 3}, 3, []Interest{{"a", true, 1, false}}},
		{"of less", choked, Offer{"a", 1}, []Leaf{0, 1, 2, 3}, 1, []Interest{{"a", true, 1, false}}},
		{"nothing to ask", events(join("a"), []Event{Choke{Peer: "a"}}, grown(4, mib)), Offer{"a", TurnBytes}, nil, 0,
			[]Interest{{"a", false, 0, true}}},
		{"all is here", events(seed("a"), []Event{Choke{Peer: "a"}}, grown(1, mib), []Event{Received{Leaf: 0, Bytes: mib}}),
			Offer{"a", TurnBytes}, nil, 0, []Interest{{"a", false, 0, true}}},
		{"of one that has not choked us", events(seed("a"), []Event{Busy{"a", time.Minute}}, grown(4, mib)), Offer{"a", TurnBytes}, nil, 0, nil},
		{"while sent away", events(choked, []Event{Busy{"a", time.Minute}}), Offer{"a", TurnBytes}, nil, 0, []Interest{{"a", false, 0, true}}},
		{"unchoked", choked, Unchoke{"a"}, []Leaf{0, 1, 2, 3}, 2, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newScript(t, Config{}, tt.events...)
			if as := c.took(); count[Request](as) != 0 {
				t.Fatalf("asked before: %v", as)
			}
			as := c.do(tt.ev).took()
			got := asked(as, "a")
			if len(got) != tt.n || slices.ContainsFunc(got, func(l Leaf) bool { return !slices.Contains(tt.ask, l) }) {
				t.Errorf("asked for %v, want %d of %v", got, tt.n, tt.ask)
			}
			if told := interests(as, "a"); !slices.Equal(told, tt.told) {
				t.Errorf("told %v, want %v", told, tt.told)
			}
			if tt.n > 0 && tt.told != nil {
				if more := c.do(Tick{}).took(); count[Request](more) != 0 {
					t.Errorf("asked for more without an offer: %v", more)
				}
			}
		})
	}
}

// A leaf that has begun to come when its sender chokes us is asked of nobody else.
func TestChokeKeepsWhatComes(t *testing.T) {
	c := newScript(t, Config{}, events(seed("a"), grown(2, mib))...)
	if got := asked(c.took(), "a"); !slices.Equal(got, []Leaf{0, 1}) {
		t.Fatalf("asked for %v", got)
	}
	c.do(seed("b")...).took()
	as := c.do(Choke{"a", []Leaf{0, 7}}).took()
	if got := asked(as, "b"); !slices.Equal(got, []Leaf{1}) {
		t.Errorf("b is asked for %v, want leaf 1", got)
	}
	if c.do(Received{"a", 0, mib}).deliver("b", 1, ms); count[Done](c.took()) != 1 {
		t.Error("not done")
	}
}

// A peer on probation is told of interest only while there is something to ask it for: it would else make offers for ever.
func TestNothingToAskOnProbation(t *testing.T) {
	c := newScript(t, Config{}, events(seed("a"), grown(2, mib))...)
	for i := 0; !c.s.byID["a"].probation; i++ {
		if c.wait(time.Second); i == 60 {
			t.Fatal("a is silent and not on probation")
		}
	}
	c.took()
	c.do(Choke{Peer: "a"})
	if told := interests(c.took(), "a"); len(told) != 1 || !told[0].Wants {
		t.Fatalf("told %v", told)
	}
	if got := asked(c.do(seed("b")...).took(), "b"); len(got) != 2 {
		t.Fatalf("b is asked for %v", got)
	}
	told := interests(c.wait(time.Second).took(), "a")
	if len(told) != 1 || told[0].Wants {
		t.Errorf("all is asked of b, and a is told %v", told)
	}
}
