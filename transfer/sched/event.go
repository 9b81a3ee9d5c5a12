package sched

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Leaf is a position in the leaf sequence of a root, from 0.
type Leaf uint32

// Run is the leaf range [First, First+Count).
type Run struct {
	First Leaf
	Count uint32
}

// LeafInfo tells of one leaf what the scheduler must know.
type LeafInfo struct {
	Size uint32 // bytes; 0: unknown or empty
	Need bool   // false: already here, or not selected
	Held bool   // of a needed one: expected from elsewhere, so nobody is asked until Ask
}

// Event is something that happened to the session. Pass events by value: Handle
// keeps no reference to them, nor to the slices in them, so they cost no
// allocation.
type Event interface{ event() }

type (
	// Grow appends leaves to the known sequence, in order.
	Grow struct{ Leaves []LeafInfo }

	// Ask says that held leaves do not come by themselves: they are to be asked for.
	Ask struct{ Runs []Run }

	// End says that the sequence is complete: no more Grow.
	End struct{}

	// Need says that leaves are needed that were not, because a reader has moved
	// on. Those that are not known are passed over.
	Need struct{ Runs []Run }

	// Join adds a peer that has told nothing yet. Joining twice is harmless.
	Join struct{ Peer peer.ID }

	// Leave takes a peer out; what it still owed is given to others.
	Leave struct{ Peer peer.ID }

	// HaveAll says that the peer has every leaf, known or not.
	HaveAll struct{ Peer peer.ID }

	// HaveBits says that the peer has leaf First+i for every bit i set in
	// Bits (byte i/8, bit i%8). Clear bits say nothing. Leaves that are not
	// known yet are remembered.
	HaveBits struct {
		Peer  peer.ID
		First Leaf
		Bits  []byte
	}

	// HaveRuns says that the peer has these leaves too.
	HaveRuns struct {
		Peer peer.ID
		Runs []Run
	}

	// Lost says that the peer has these leaves no longer or refuses to send
	// them. It is not asked for them until a have names them again.
	Lost struct {
		Peer peer.ID
		Runs []Run
	}

	// Received says that a leaf is here and verified: asked for or not, late
	// or for the second time. An unknown Peer (such as "") is right for a leaf
	// that came from elsewhere, for instance from a local share.
	Received struct {
		Peer  peer.ID
		Leaf  Leaf
		Bytes int // payload
	}

	// Progress says that Bytes of a leaf that is not whole yet have come from
	// the peer since its last Progress or Received. It is optional and wanted
	// only where a leaf takes long (send it a few times a second at most): it
	// keeps a slow peer from looking like a silent one.
	Progress struct {
		Peer  peer.ID
		Bytes int
	}

	// Bad says that a leaf from the peer failed verification. The peer is
	// dropped.
	Bad struct {
		Peer peer.ID
		Leaf Leaf
	}

	// Busy says that the peer has thrown our requests away and is to be left
	// alone for a while.
	Busy struct {
		Peer peer.ID
		For  time.Duration
	}

	// Choke says that the peer has thrown our requests away, but for what is Coming
	// already, and takes none but at an Offer until Unchoke.
	Choke struct {
		Peer   peer.ID
		Coming []Leaf
	}
	Unchoke struct{ Peer peer.ID }

	// Offer says that a peer that has choked us would send about so many bytes now.
	// It is answered by a Request or by an Interest.
	Offer struct {
		Peer  peer.ID
		Bytes int64
	}

	// RTT gives a measured round trip to the peer.
	RTT struct {
		Peer peer.ID
		D    time.Duration
	}

	// Tick lets time pass. A few a second are enough.
	Tick struct{}
)

func (Grow) event()     {}
func (Ask) event()      {}
func (End) event()      {}
func (Need) event()     {}
func (Join) event()     {}
func (Leave) event()    {}
func (HaveAll) event()  {}
func (HaveBits) event() {}
func (HaveRuns) event() {}
func (Lost) event()     {}
func (Received) event() {}
func (Progress) event() {}
func (Bad) event()      {}
func (Busy) event()     {}
func (Choke) event()    {}
func (Unchoke) event()  {}
func (Offer) event()    {}
func (RTT) event()      {}
func (Tick) event()     {}

// Action is something the session is to do.
type Action interface{ action() }

type (
	// Request asks the peer for a run, to be answered in order after what it
	// was asked for before.
	Request struct {
		Peer peer.ID
		Run  Run
	}

	// Cancel takes back what the peer has not sent yet of a run. Leaves that
	// come nevertheless are to be reported as Received.
	Cancel struct {
		Peer peer.ID
		Run  Run
	}

	// Interest is to tell a peer that has choked us whether we would take an Offer, and
	// how many leaves are on their way to us. It comes after each Choke, for an Offer
	// that is not taken (Declines), and when it changes.
	Interest struct {
		Peer     peer.ID
		Wants    bool
		Load     int
		Declines bool
	}

	// Drop ends the session with a peer. The State has forgotten it already:
	// no Leave is needed, and a Join would admit it again.
	Drop struct {
		Peer   peer.ID
		Reason string
	}

	// Done says that every needed leaf has been received. It comes once, and once
	// more after a Need.
	Done struct{}
)

func (Request) action()  {}
func (Cancel) action()   {}
func (Interest) action() {}
func (Drop) action()     {}
func (Done) action()     {}
