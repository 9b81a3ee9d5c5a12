package transfer

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/transfer/wire"
)

// maxInbox bounds the bytes of messages waiting for a session's owner.
const maxInbox = 8 << 20

// noteBytes is what a note takes beside its message's bytes.
const noteBytes = 256

// note is something a session's owner is to know.
type note struct {
	sub      *sub         // the subscription it is about, nil for found and err alone
	msg      wire.Message // from the provider
	digest   digest       // of the block, when msg is a wire.Node
	bad      bool         // leaf, of size bytes, had the wrong hash
	broken   bool         // leaf has been ended before it was whole
	leaf     uint32
	size     int
	progress int             // bytes of a leaf that is not whole yet
	found    []peer.AddrInfo // peers to try
	hints    bool            // found is but what a peer says
	err      error           // the conn (or, without sub, a Job.Write) has failed
}

// arrival is a verified leaf that has been written, or came without need.
type arrival struct {
	sub     *sub
	leaf    uint32
	size    int32
	surplus bool
}

// inbox carries notes and arrivals to a session's owner, many at a time. What
// peers can put in at will is bounded by making their readers wait.
type inbox struct {
	signal chan struct{}

	mu       sync.Mutex
	room     sync.Cond
	notes    []note
	arrivals []arrival
	cost     int
	closed   bool
}

func (in *inbox) init() {
	in.signal = make(chan struct{}, 1)
	in.room.L = &in.mu
}

// post adds a note that holds cost bytes. With a cost it waits for room; without
// it never blocks.
func (in *inbox) post(n note, cost int) {
	in.mu.Lock()
	for cost > 0 && in.cost > maxInbox && !in.closed {
		in.room.Wait()
	}
	if !in.closed {
		if cost > 0 {
			in.cost += cost + noteBytes
		}
		in.notes = append(in.notes, n)
	}
	in.mu.Unlock()
	in.wake()
}

// book adds leaves of one sender. There are never more than have been asked for.
func (in *inbox) book(s *sub, leaves []placed, surplus bool) {
	in.mu.Lock()
	if !in.closed {
		for _, l := range leaves {
			in.arrivals = append(in.arrivals, arrival{s, l.leaf, int32(l.size), surplus})
		}
	}
	in.mu.Unlock()
	in.wake()
}

func (in *inbox) wake() {
	select {
	case in.signal <- struct{}{}:
	default:
	}
}

// take swaps what has come with two empty slices.
func (in *inbox) take(notes []note, arrivals []arrival) ([]note, []arrival) {
	in.mu.Lock()
	defer in.mu.Unlock()
	n, a := in.notes, in.arrivals
	in.notes, in.arrivals, in.cost = notes[:0], arrivals[:0], 0
	in.room.Broadcast()
	return n, a
}

// close frees the readers that wait; what is posted later is dropped.
func (in *inbox) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	in.notes, in.arrivals = nil, nil
	in.room.Broadcast()
}
