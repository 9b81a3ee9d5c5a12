package transfer

import (
	"sync"
	"sync/atomic"
	"testing"

	"shoal/transfer/wire"
)

// A crowd at a slow uplink is choked, and gets what it asks for at an offer, and nothing
// of what it asked before it had heard of the choke.
func TestCrowdIsMadeOffers(t *testing.T) {
	const leaves, taken = 64, 3
	c := newContent(70, 8, sizesOf(leaves, 200_000)...)
	seed := newPeer(t, Config{Limits: Limits{Up: 4 << 20}}, c)
	var fellows [2]*fellow
	var wg sync.WaitGroup
	var ready atomic.Int32
	for i := range fellows {
		// Each asks for leaves of its own, so that none is dealt to the other; the last is its bait.
		fellows[i] = &fellow{t: t, rawPeer: subscribed(t, seed, c), next: uint32(i), bait: uint32(leaves - 2 + i)}
	}
	for _, f := range fellows {
		wg.Go(func() {
			for f.step() {
				if f.offered == taken && !f.done {
					f.done = true
					if ready.Add(1) == int32(len(fellows)) {
						for _, o := range fellows {
							_ = o.s.Reset()
						}
					}
				}
			}
		})
	}
	wg.Wait()
	if ready.Load() != int32(len(fellows)) {
		t.Errorf("%d of them were made %d offers", ready.Load(), taken)
	}
}

// What was asked before a choke was heard of does not come, even if that is over by the time the request arrives.
func TestNothingFromBeforeTheChoke(t *testing.T) {
	c := newContent(71, 8, sizesOf(64, 200_000)...)
	seed := newPeer(t, Config{Limits: Limits{Up: 4 << 20}}, c)
	late := &fellow{t: t, rawPeer: subscribed(t, seed, c), bait: 62, deaf: true}
	other := &fellow{t: t, rawPeer: subscribed(t, seed, c), next: 1, bait: 63}
	var wg sync.WaitGroup
	wg.Go(func() {
		for other.step() {
		}
	})
	for late.step() && !late.done {
	}
	if !late.done {
		t.Error("no leaf came after the choke was answered")
	}
	_ = other.s.Reset()
	wg.Wait()
}

// fellow is a requester in a crowd. It asks for a leaf at a time.
type fellow struct {
	*rawPeer
	t       *testing.T
	next    uint32
	bait    uint32 // asked for when it must not come
	total   uint64
	choked  bool
	offered int
	begun   bool
	deaf    bool // it hears of the choke only when that is over
	after   bool // it has heard of that
	done    bool
}

func (f *fellow) ask() {
	ask(f.rawPeer, f.next, 1)
	if f.next += 2; f.next >= f.bait {
		f.next %= 2
	}
}

// step takes one message; false at the end of the stream.
func (f *fellow) step() bool {
	if !f.begun {
		f.begun = true
		f.ask()
	}
	switch m := f.rawPeer.next().(type) {
	case nil:
		return false
	case wire.Pace:
		f.send(wire.Got{Total: f.total})
	case wire.Data:
		f.came(m.Leaf, len(m.Payload), true)
	case wire.Begin:
		f.came(m.Leaf, 0, false)
	case wire.Part:
		f.total += uint64(len(m.Payload))
		f.send(wire.Got{Total: f.total})
		if f.total%200_000 == 0 && !f.choked {
			f.ask()
		}
	case wire.Choke:
		f.choked = true
		if f.deaf {
			break
		}
		ask(f.rawPeer, f.bait, 1) // as if it had crossed with the choke
		f.send(wire.Interest{Handle: 1, Flags: wire.InterestChoked | wire.InterestWants})
	case wire.Offer:
		if m.Bytes == 0 {
			f.t.Error("an offer of nothing")
		}
		f.offered++
		f.ask()
	case wire.Unchoke:
		f.choked = false
		if f.deaf {
			f.deaf, f.after = false, true
			ask(f.rawPeer, f.bait, 1)
			f.send(wire.Interest{Handle: 1, Flags: wire.InterestChoked})
		}
		f.ask()
	}
	return true
}

func (f *fellow) came(leaf uint32, bytes int, whole bool) {
	f.total += uint64(bytes)
	f.send(wire.Got{Total: f.total})
	f.done = f.done || f.after
	if leaf == f.bait {
		f.t.Error("a leaf came that was asked for before the choke was heeded")
	}
	if whole && !f.choked {
		f.ask()
	}
}
