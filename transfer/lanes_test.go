package transfer

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"

	"shoal/transfer/wire"
)

// laneBytes counts what comes over lanes: the hosts of these tests report nothing.
type laneBytes struct {
	metrics.Reporter
	in atomic.Int64
}

func newLaneBytes() *laneBytes { return &laneBytes{Reporter: metrics.NewBandwidthCounter()} }

func (l *laneBytes) LogRecvMessageStream(n int64, proto protocol.ID, _ peer.ID) {
	if proto == wire.ID {
		l.in.Add(n)
	}
}

// wide is a fetch that may use lanes from the first byte on. Its seed answers but a
// few reads before n lanes are open; then it calls ready, once.
type wide struct {
	c     *content
	seed  *testPeer
	leech *testPeer
	job   *memJob
	bytes *laneBytes
}

func newWide(t *testing.T, n int, atSeed Config, ready func(w *wide)) *wide {
	w := &wide{c: newContent(40, 16, sizesOf(256, 64<<10)...), bytes: newLaneBytes()}
	log, opened := logOf("opened a further connection")
	var reads atomic.Int32
	var gate sync.Once
	w.c.onRead = func(int) {
		if reads.Add(1) > 4 {
			gate.Do(func() {
				for range n {
					<-opened
				}
				if ready != nil {
					ready(w)
				}
			})
		}
	}
	w.seed = newPeer(t, atSeed, w.c)
	w.leech = newPeer(t, Config{Logger: log, LaneBytes: 1, IdleTimeout: 200 * time.Millisecond, Traffic: w.bytes})
	w.job = newJob(w.c.root)
	return w
}

// connsTo are the leech's streams to the seed, the host's own connection first.
func (w *wide) connsTo() []*conn {
	w.leech.Engine.mu.Lock()
	defer w.leech.Engine.mu.Unlock()
	cs := slices.Clone(w.leech.Engine.conns[w.seed.ID()])
	slices.SortFunc(cs, func(a, b *conn) int { return a.lane - b.lane })
	return cs
}

func TestLanes(t *testing.T) {
	met, left := make(chan struct{}, 10), make(chan struct{}, 10)
	var identified event.Subscription
	w := newWide(t, 3, Config{}, func(*wide) { // the seed asks who we are on each connection
		for range 4 {
			ev, ok := (<-identified.Out()).(event.EvtPeerIdentificationCompleted)
			if !ok || len(ev.Protocols) < 2 {
				t.Errorf("%+v", ev)
			}
		}
	})
	events := []any{new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerIdentificationFailed)}
	var err error
	if identified, err = w.seed.EventBus().Subscribe(events); err != nil {
		t.Fatal(err)
	}
	defer identified.Close()
	w.seed.Network().Notify(&network.NotifyBundle{
		ConnectedF:    func(network.Network, network.Conn) { met <- struct{}{} },
		DisconnectedF: func(network.Network, network.Conn) { left <- struct{}{} },
	})
	stats := w.leech.get(t, w.job, w.seed)
	check(t, w.job, w.c)
	if stats.Duplicate != 0 || stats.From[w.seed.ID()] != 16<<20 {
		t.Errorf("%+v", stats)
	}
	if in := w.bytes.in.Load(); in < 8<<20 {
		t.Errorf("%d bytes came over lanes", in)
	}
	for range 4 {
		<-met
	}
	for range 3 {
		<-left // for want of use; the host's own connection stays
	}
	if n := len(w.leech.Network().ConnsToPeer(w.seed.ID())); n != 1 {
		t.Errorf("the host has %d connections", n)
	}
}

// The peer has dialled us: where it listens is known from what it said of itself.
func TestLanesToPeerThatCalled(t *testing.T) {
	w := newWide(t, 3, Config{}, nil)
	if err := w.seed.Connect(testContext(t), w.leech.info()); err != nil {
		t.Fatal(err)
	}
	ids := w.leech.Host.(interface{ IDService() identify.IDService }).IDService()
	<-ids.IdentifyWait(w.leech.Network().ConnsToPeer(w.seed.ID())[0])
	w.leech.src.put(w.job.content)
	known := make(chan peer.AddrInfo, 1)
	known <- peer.AddrInfo{ID: w.seed.ID()}
	if _, err := w.leech.Fetch(testContext(t), w.job, known, nil); err != nil {
		t.Fatal(err)
	}
	check(t, w.job, w.c)
	if in := w.bytes.in.Load(); in < 8<<20 {
		t.Errorf("%d bytes came over lanes", in)
	}
}

func TestConnectionLostAmongSeveral(t *testing.T) {
	for i, name := range []string{"the host's own", "a lane"} {
		t.Run(name, func(t *testing.T) {
			w := newWide(t, 3, Config{}, func(w *wide) { _ = w.connsTo()[i].s.Conn().Close() })
			stats := w.leech.get(t, w.job, w.seed)
			check(t, w.job, w.c)
			if stats.Bytes != 16<<20 || stats.Duplicate > 4<<20 {
				t.Errorf("%+v", stats)
			}
		})
	}
}

// The seed never answers one request again, on whichever connection it came.
func TestConnectionStuckAmongSeveral(t *testing.T) {
	var stuck atomic.Bool
	free := make(chan struct{})
	w := newWide(t, 3, Config{}, func(*wide) { stuck.Store(true) })
	gate := w.c.onRead
	w.c.onRead = func(i int) {
		gate(i)
		if i > 200 && stuck.CompareAndSwap(true, false) {
			<-free
		}
	}
	t.Cleanup(func() { close(free) })
	w.leech.get(t, w.job, w.seed)
	check(t, w.job, w.c)
}

func TestPeerThatRefusesLanes(t *testing.T) {
	log, refused := logOf("refused a stream")
	w := newWide(t, 0, Config{MaxStreams: 1, Logger: log}, nil)
	w.c.onRead = func() func(int) {
		wait := sync.OnceFunc(func() { <-refused })
		return func(int) { wait() }
	}()
	stats := w.leech.get(t, w.job, w.seed)
	check(t, w.job, w.c)
	if stats.Duplicate != 0 {
		t.Errorf("%+v", stats)
	}
}

// All fetches together open no more lanes than the config allows, and none if it
// does not.
func TestLanesAreBounded(t *testing.T) {
	for _, n := range []int{-1, 2} {
		c := newContent(41, 16, sizesOf(64, 256<<10)...)
		seeds := []*testPeer{newPeer(t, Config{}, c), newPeer(t, Config{}, c)}
		leech, job := newPeer(t, Config{Lanes: n, LaneBytes: 1}), newJob(c.root)
		job.onWrite = func(int) error {
			leech.mu.Lock()
			defer leech.mu.Unlock()
			if got := leech.lanes(); got > max(n, 0) {
				t.Errorf("%d lanes, at most %d are allowed", got, n)
			}
			return nil
		}
		leech.get(t, job, seeds...)
		check(t, job, c)
	}
}
