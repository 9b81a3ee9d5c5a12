package node

import (
	"maps"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"shoal/node/api"
	"shoal/transfer/wire"
)

// What a node takes at most, whatever the network or the number of shares. The status shows these beside what is used.
const (
	// MemoryCap is for a daemon, in bytes without page cache. LimitMemory makes the garbage collector work for it.
	MemoryCap = 300 << 20

	// overheadCap is for what is no chunk, in bytes an hour and connected peer: keeping connections alive, answering and
	// asking the DHT, announcing. Nothing is refused for it; the intervals of these are chosen so.
	overheadCap = 2_000_000

	// dialWait is how long a dial may wait for its turn before it is given up. One that someone waits for may come behind all
	// those, and still has some of its own time (reachFor) then.
	dialWait   = 3 * time.Second
	wantedWait = 5 * time.Second
)

// hurry is how much a dial matters.
type hurry int

const (
	nobodyWaits  hurry = iota // for it: the DHT's own
	someoneWaits              // a fetch, or a look
	noWait                    // the user named the peer
)

// caps are those that tests make smaller.
type caps struct {
	connsLow  int        // trimmed to this
	connsHigh int        // beyond, some are trimmed; inbound ones are refused
	connsMost int        // any beyond are refused: the rest is for our own dials
	dials     rate.Limit // peers dialled a second
	burst     int        // after a time without
}

func defaultCaps() caps {
	return caps{connsLow: 160, connsHigh: 256, connsMost: 320, dials: 20, burst: 40}
}

// LimitMemory tells the runtime to keep this process below MemoryCap, unless GOMEMLIMIT says otherwise. It is for
// programs that are a node and nothing else.
func LimitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(MemoryCap)
	}
}

// pacer lets peers be dialled at a bounded rate.
type pacer struct {
	limit *rate.Limiter
	done  chan struct{} // closed when nobody need wait any more
	once  sync.Once

	mu        sync.Mutex
	second    int64 // unix time of now
	now, last int   // dials in that second and the one before
	all       int   // since the start

	late map[peer.ID]time.Time // refused lately, at most maxNamed
}

func newPacer(c caps) *pacer {
	return &pacer{limit: rate.NewLimiter(c.dials, c.burst), done: make(chan struct{}), late: map[peer.ID]time.Time{}}
}

// wait returns true when it is time to dial a peer, and false if that would take too long. A peer that the user named
// does not wait; those after it wait longer.
func (p *pacer) wait(h hurry) bool {
	select {
	case <-p.done:
		return false
	default:
	}
	pause, ok := p.reserve(h)
	if !ok {
		return false
	}
	if pause > 0 {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.done:
			return false
		}
	}
	p.count(time.Now().Unix())
	return true
}

// reserve takes a turn and tells how long it is until then, unless that would take too long. Nobody else takes one meanwhile:
// the limiter gets back a turn whole only if it was the last.
func (p *pacer) reserve(h hurry) (pause time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	turn, most := p.limit.Reserve(), dialWait
	switch h {
	case noWait:
		return 0, true
	case someoneWaits:
		most = wantedWait
	}
	if pause = turn.Delay(); pause > most {
		turn.Cancel()
		return 0, false
	}
	return pause, true
}

// lateFor is how long a peer that was refused its turn counts as that: a fetch asks for another one sooner.
const lateFor = 30 * time.Second

// refuse notes that a peer was not dialled.
func (p *pacer) refuse(id peer.ID, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.late) >= maxNamed {
		maps.DeleteFunc(p.late, func(_ peer.ID, at time.Time) bool { return now.Sub(at) >= lateFor })
	}
	if len(p.late) < maxNamed {
		p.late[id] = now
	}
}

// refused tells whether a peer was not dialled lately because there were too many others.
func (p *pacer) refused(id peer.ID, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.late[id]
	return ok && now.Sub(at) < lateFor
}

func (p *pacer) close() { p.once.Do(func() { close(p.done) }) }

func (p *pacer) count(second int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn(second)
	p.now++
	p.all++
}

// turn goes on to a second. mu is held.
func (p *pacer) turn(second int64) {
	switch {
	case second == p.second+1:
		p.last, p.now = p.now, 0
	case second != p.second:
		p.last, p.now = 0, 0
	}
	p.second = second
}

// recent is how many peers were dialled in the last whole second.
func (p *pacer) recent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn(time.Now().Unix())
	return p.last
}

// caps shows what is used of each cap.
func (n *Node) caps() api.Caps {
	c := n.set.caps
	total, swap := n.traffic.GetBandwidthTotals(), n.traffic.GetBandwidthForProtocol(wire.ID)
	overhead := float64(total.TotalIn + total.TotalOut - swap.TotalIn - swap.TotalOut)
	peers := max(len(n.host.Network().Peers()), 1)
	return api.Caps{
		Connections: api.Cap{Now: float64(len(n.host.Network().Conns())), Most: float64(c.connsMost)},
		Dials:       api.Cap{Now: float64(n.dials.recent()), Most: float64(c.dials)},
		Memory:      api.Cap{Now: float64(anonymousBytes()), Most: MemoryCap},
		Overhead:    api.Cap{Now: overhead / max(time.Since(n.started).Hours(), 1.0/60) / float64(peers), Most: overheadCap},
	}
}

// anonymousBytes is the memory of the process without page cache, where the platform tells.
func anonymousBytes() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}
