package transfer

import (
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"

	"shoal/transfer/wire"
)

const (
	busyRetry      = time.Second
	maxBlocksAsked = 256 // CIDs waiting in one conn
)

// server is what a peer wants from us over one conn. The conn's reader puts
// wishes in under mu; its writer fulfils them and owns everything else.
type server struct {
	c *conn

	mu     sync.Mutex
	serves map[uint32]*serve // by the requester's handle
	fresh  []*serve          // wanted and not answered
	dead   []*serve          // unwanted and not closed
	ring   []*serve          // with requests, served in turn
	nodes  []*serve          // with nodes to send, in turn
	blocks []blockAsk
	queued int // runs in all requests

	sending struct { // the leaf that is being sent in parts, as the writer says
		sv   *serve
		leaf uint32
		stop bool // it was cancelled
	}

	choked  int    // serves that are
	offered uint32 // the handle that was made an offer last

	lossy []*serve  // with leaves that could not be read, to be told
	turn  int       // whose turn it is: nodes, blocks, leaves
	wakes time.Time // the limit of a root is looked at again then
	cur   partial   // leaf that is being sent
	buf   *buffer   // while there is work
}

// serve is one subscription of the peer.
type serve struct {
	c      *conn
	handle uint32
	root   cid.Cid
	peers  bool        // wants to hear of other peers
	reads  bool        // keeps nothing
	hungry atomic.Bool // reqs is not empty, or it would take an offer

	// under server.mu
	reqs     []wire.Run
	nodes    bool
	nextNode uint32
	ended    bool
	choke    choking

	// the writer's
	r      Root // nil while idle
	used   time.Time
	served bool // the root was here
	leaves int  // how many it had
	dealt  bool // the root is whole here: its leaves are dealt out
	lost   map[wire.Code][]wire.Run
}

// blockAsk is one CID of a blocks message.
type blockAsk struct {
	id    uint32
	index uint8
	c     cid.Cid
}

func (v *server) init(c *conn) {
	v.c = c
	v.serves = make(map[uint32]*serve)
}

func (v *server) subscribed() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.serves)+len(v.blocks) > 0
}

// want books a new subscription. Called by the reader, as are end, askNodes, request, cancel and askBlocks.
func (v *server) want(m wire.Want) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.serves[m.Handle]; ok {
		return violation("handle %d is in use", m.Handle)
	}
	// Those that ended count until the writer, which may wait for the peer, has closed them.
	if most := v.c.e.cfg.MaxRoots; len(v.serves) >= most || len(v.dead) >= most {
		v.c.send(wire.Refused{Handle: m.Handle, Code: wire.CodeLimit})
		return nil
	}
	sv := &serve{
		c: v.c, handle: m.Handle, root: m.Root,
		peers: m.Flags&wire.WantPeers != 0, reads: m.Flags&wire.WantReads != 0,
	}
	v.serves[m.Handle] = sv
	v.fresh = append(v.fresh, sv)
	v.chokeServe(sv, v.c.e.uplink.choking.Load())
	v.c.out.wake()
	return nil
}

// end takes a subscription out; the writer closes its root.
func (v *server) end(handle uint32) {
	if sv := v.takeOut(handle); sv != nil && sv.choke.on {
		v.tellUplink(sv.choke.offers > 0)
	}
}

func (v *server) takeOut(handle uint32) *serve {
	v.mu.Lock()
	defer v.mu.Unlock()
	sv := v.serves[handle]
	if sv == nil {
		return nil
	}
	delete(v.serves, handle)
	v.dropRequests(sv)
	if sv.choke.on {
		v.choked--
	}
	v.nodes = without(v.nodes, sv)
	sv.ended, sv.nodes = true, false
	v.dead = append(v.dead, sv)
	v.c.out.wake()
	return sv
}

// askNodes starts (or moves) the stream of a root's inner nodes. Messages about
// handles that have ended, or were refused, cross with the news: they are no fault.
func (v *server) askNodes(m wire.Nodes) {
	v.mu.Lock()
	defer v.mu.Unlock()
	sv := v.serves[m.Handle]
	if sv == nil {
		return
	}
	if !sv.nodes {
		sv.nodes = true
		v.nodes = append(v.nodes, sv)
	}
	sv.nextNode = m.From
	v.c.out.wake()
}

// request queues leaves. A full queue drops the handle's requests and says busy.
func (v *server) request(m wire.Request) {
	switch offered, queued := v.enqueue(m); {
	case offered && queued:
		v.c.e.uplink.asked(v.c)
	case offered:
		v.tellUplink(true)
	}
}

// enqueue is request, and reports whether it answers an offer and whether the leaves were queued.
func (v *server) enqueue(m wire.Request) (offered, queued bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	sv := v.serves[m.Handle]
	if sv == nil {
		return false, false
	}
	if sv.choke.unheeded > 0 || sv.choke.on && sv.choke.offers == 0 {
		return false, false // from before the choke, even if that is over by now
	}
	if sv.choke.on {
		sv.choke.offers--
		offered = true
	}
	if v.queued+len(m.Runs) > v.c.e.cfg.MaxQueue {
		v.overflow(sv)
		return offered, false
	}
	if len(sv.reqs) == 0 {
		v.ring = append(v.ring, sv)
	}
	sv.reqs = append(sv.reqs, m.Runs...)
	sv.hungry.Store(true)
	v.queued += len(m.Runs)
	v.c.out.wake()
	return offered, true
}

// cancel takes leaves back that are not sent yet.
func (v *server) cancel(m wire.Cancel) {
	v.mu.Lock()
	defer v.mu.Unlock()
	sv := v.serves[m.Handle]
	if sv == nil {
		return
	}
	if now := &v.sending; now.sv == sv && holds(m.Runs, now.leaf) {
		now.stop = true
		v.c.out.wake()
	}
	if len(sv.reqs) == 0 {
		return
	}
	room := v.c.e.cfg.MaxQueue - v.queued + len(sv.reqs)
	reqs, ok := subtract(sv.reqs, mergeRuns(m.Runs), room)
	if !ok {
		v.overflow(sv)
		return
	}
	v.queued += len(reqs) - len(sv.reqs)
	sv.reqs = reqs
	if len(sv.reqs) == 0 {
		v.sated(sv)
	}
}

// sated takes a subscription without requests out of the ring. mu is held.
func (v *server) sated(sv *serve) {
	sv.reqs = nil
	sv.hungry.Store(sv.choke.wants)
	v.ring = without(v.ring, sv)
}

// overflow drops the requests of sv and says so, when the queue is full. mu is held.
func (v *server) overflow(sv *serve) {
	v.dropRequests(sv)
	v.c.send(wire.Busy{Handle: sv.handle, RetryMillis: uint32(busyRetry.Milliseconds())})
}

// dropRequests forgets all requests of sv. mu is held.
func (v *server) dropRequests(sv *serve) {
	v.queued -= len(sv.reqs)
	v.sated(sv)
}

func (v *server) askBlocks(m wire.Blocks) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, c := range m.CIDs {
		if len(v.blocks) >= maxBlocksAsked {
			v.c.send(wire.NoBlock{ID: m.ID, Index: uint8(i), Code: wire.CodeLimit})
			continue
		}
		v.blocks = append(v.blocks, blockAsk{m.ID, uint8(i), c})
	}
	v.c.out.wake()
}

// nextLeaf takes the next requested leaf off the queue; of one subscription only, if that is not nil.
func (v *server) nextLeaf(only *serve) (*serve, uint32, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.ring) == 0 || only != nil && v.ring[0] != only {
		return nil, 0, false
	}
	sv := v.ring[0]
	leaf := sv.reqs[0].First
	if sv.reqs[0].Count--; sv.reqs[0].Count > 0 {
		sv.reqs[0].First++
		return sv, leaf, true
	}
	sv.reqs = sv.reqs[1:]
	v.queued--
	if len(sv.reqs) == 0 {
		v.sated(sv)
	}
	return sv, leaf, true
}

// asked reports whether leaves are requested.
func (v *server) asked() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.ring) > 0
}

// skipRun takes the rest of the run that leaf came from off the queue and
// returns the run from leaf on.
func (v *server) skipRun(sv *serve, leaf uint32) wire.Run {
	v.mu.Lock()
	defer v.mu.Unlock()
	run := wire.Run{First: leaf, Count: 1}
	if len(sv.reqs) == 0 || sv.reqs[0].First != leaf+1 {
		return run
	}
	run.Count += sv.reqs[0].Count
	sv.reqs = sv.reqs[1:]
	v.queued--
	if len(sv.reqs) == 0 {
		v.sated(sv)
	}
	return run
}

// rotate gives the next subscription its turn.
func (v *server) rotate(sv *serve) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.ring) > 1 && v.ring[0] == sv {
		v.ring = append(v.ring[1:], sv)
	}
}

// subtract takes cuts, which are sorted and apart, out of runs and keeps their
// order; false if more than limit runs would be left.
func subtract(runs, cuts []wire.Run, limit int) ([]wire.Run, bool) {
	out := make([]wire.Run, 0, len(runs))
	for _, r := range runs {
		first, end := uint64(r.First), uint64(r.First)+uint64(r.Count)
		i := sort.Search(len(cuts), func(i int) bool { return uint64(cuts[i].First)+uint64(cuts[i].Count) > first })
		for ; i < len(cuts) && uint64(cuts[i].First) < end; i++ {
			if lo := uint64(cuts[i].First); lo > first {
				out = append(out, wire.Run{First: uint32(first), Count: uint32(lo - first)})
			}
			first = uint64(cuts[i].First) + uint64(cuts[i].Count)
			if len(out) > limit {
				return nil, false
			}
		}
		if first < end {
			out = append(out, wire.Run{First: uint32(first), Count: uint32(end - first)})
		}
	}
	return out, len(out) <= limit
}

// holds reports whether a leaf is in one of the runs.
func holds(runs []wire.Run, leaf uint32) bool {
	return slices.ContainsFunc(runs, func(r wire.Run) bool { return leaf >= r.First && leaf-r.First < r.Count })
}

// addLeaf appends a leaf to runs, lengthening the last one where it fits.
func addLeaf(runs []wire.Run, leaf uint32) []wire.Run {
	if n := len(runs); n > 0 && uint64(runs[n-1].First)+uint64(runs[n-1].Count) == uint64(leaf) {
		runs[n-1].Count++
		return runs
	}
	return append(runs, wire.Run{First: leaf, Count: 1})
}

// without returns list without x, in a slice of its own.
func without(list []*serve, x *serve) []*serve {
	out := make([]*serve, 0, len(list))
	for _, y := range list {
		if y != x {
			out = append(out, y)
		}
	}
	return out
}
