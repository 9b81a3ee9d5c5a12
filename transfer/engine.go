package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/transfer/wire"
)

// ServiceName is what streams are charged to in the host's resource manager.
const ServiceName = "shoal.swap"

// Config tunes an [Engine]. The zero value of a field means its default.
type Config struct {
	Logger        *slog.Logger  // nil: discard
	MaxPeers      int           // peers one fetch uses at once; 50
	MaxCandidates int           // peers one fetch remembers; 1,000
	MaxDials      int           // dials of one fetch at once; 8
	DialTimeout   time.Duration // connecting and opening a stream; 10 s
	PunchTimeout  time.Duration // for a direct connection to a peer that a relay leads to; 15 s
	AnswerTimeout time.Duration // for hello, and for the answer to a want; 10 s
	StallTimeout  time.Duration // a frame that does not move, either way; 30 s
	IdleTimeout   time.Duration // a stream without subscriptions, a root without reads; 60 s
	NodeTimeout   time.Duration // no inner node from the peer asked, then another is; 3 s
	GoneTimeout   time.Duration // a peer that has lost what nobody else has is asked anew; 20 s
	LookEvery     time.Duration // what could not be served is looked at again, while it is wanted; 2 s
	SlotTimeout   time.Duration // a peer that sends nothing makes room for one that waits; 30 s
	Writers       int           // goroutines of one fetch that call Job.Write; 4
	MaxRoots      int           // subscriptions one peer may hold; 256
	MaxQueue      int           // request runs one peer may have waiting; 16,384
	MaxStreams    int           // streams one peer may open to us; 4
	Lanes         int           // further connections, of all fetches, to peers faster than one; 3, none if negative
	LaneBytes     int64         // opened while a fetch has this much to get; 64 MiB
	PeersEvery    time.Duration // between peer exchange messages; 2 s
	HaveDelay     time.Duration // a verified leaf waits this long at most to be announced; 25 ms
	WatchEvery    time.Duration // between calls of a fetch's watch; 200 ms
	Limits        Limits        // at first; SetLimits changes them
	RelayData     bool          // chunks may go through relays, where nothing else leads to a peer

	// What the host was given, for the lanes, which are dialled beside it. Nil: none.
	Gater   connmgr.ConnectionGater
	Traffic metrics.Reporter
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	for _, f := range []struct {
		v   *int
		def int
	}{
		{&c.MaxPeers, 50}, {&c.MaxCandidates, 1000}, {&c.MaxDials, 8}, {&c.Writers, 4},
		{&c.MaxRoots, 256}, {&c.MaxQueue, 16384}, {&c.MaxStreams, 4},
	} {
		if *f.v <= 0 {
			*f.v = f.def
		}
	}
	if c.Lanes == 0 {
		c.Lanes = 3
	}
	if c.LaneBytes <= 0 {
		c.LaneBytes = 64 << 20
	}
	for _, f := range []struct {
		v   *time.Duration
		def time.Duration
	}{
		{&c.DialTimeout, 10 * time.Second}, {&c.PunchTimeout, 15 * time.Second}, {&c.AnswerTimeout, 10 * time.Second},
		{&c.StallTimeout, 30 * time.Second}, {&c.IdleTimeout, 60 * time.Second},
		{&c.GoneTimeout, 20 * time.Second}, {&c.SlotTimeout, 30 * time.Second}, {&c.LookEvery, 2 * time.Second},
		{&c.NodeTimeout, 3 * time.Second}, {&c.PeersEvery, 2 * time.Second},
		{&c.HaveDelay, 25 * time.Millisecond}, {&c.WatchEvery, 200 * time.Millisecond},
	} {
		if *f.v <= 0 {
			*f.v = f.def
		}
	}
	return c
}

// Engine serves a [Source] to peers and fetches from them. Any number of fetches
// and peers share its streams, one or two a peer and lane.
type Engine struct {
	host   host.Host
	src    Source
	cfg    Config
	log    *slog.Logger
	bufs   buffers
	swarms *swarms
	uplink uplink
	dialer laneDialer
	limits *limiter
	doubts doubts

	done chan struct{} // closed by Close
	wg   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	conns   map[peer.ID][]*conn
	opening map[laneOf]chan struct{} // closed when the attempt is over
	torn    map[leafOf]tear          // leaves whose sending broke off, lately

	redialled map[peer.ID]time.Time // peers that were dialled, lately
}

// laneOf names a stream to a peer; lane 0 is on the host's own connection, and so is limitedLane.
type laneOf struct {
	peer peer.ID
	lane int
}

// New makes an engine on h that serves src. It does no I/O; Run does.
func New(h host.Host, src Source, cfg Config) *Engine {
	cfg = cfg.withDefaults()
	e := &Engine{
		host: h, src: src, cfg: cfg, log: cfg.Logger, limits: newLimiter(cfg.Limits),
		done:    make(chan struct{}),
		conns:   make(map[peer.ID][]*conn),
		opening: make(map[laneOf]chan struct{}),
		torn:    make(map[leafOf]tear),

		redialled: make(map[peer.ID]time.Time),
		dialer:    laneDialer{host: h, gater: cfg.Gater, traffic: cfg.Traffic},
	}
	e.swarms = newSwarms(e)
	e.uplink.init()
	e.doubts.init()
	return e
}

// Run accepts streams and keeps the house until ctx ends or Close is called,
// then closes the engine. It is called once, and Fetch only while it runs.
func (e *Engine) Run(ctx context.Context) error {
	e.host.SetStreamHandler(wire.ID, e.handle)
	defer e.host.RemoveStreamHandler(wire.ID)
	var turns sync.WaitGroup
	turns.Go(func() { e.uplink.run(ctx, e.done) })
	turns.Go(func() { e.swarms.lookAgain(ctx) })
	turns.Go(func() { e.doubts.run(ctx, e) })
	e.swarms.run(ctx)
	turns.Wait()
	return e.Close()
}

// Close resets all streams, ends all fetches with ErrClosed and waits for the
// engine's goroutines. It is idempotent. The handler goes first, so that no
// stream arrives behind its back; the host is the caller's to close, afterwards.
func (e *Engine) Close() error {
	e.host.RemoveStreamHandler(wire.ID)
	e.mu.Lock()
	first := !e.closed
	e.closed = true
	var all []*conn
	for _, cs := range e.conns {
		all = append(all, cs...)
	}
	e.mu.Unlock()
	if first {
		close(e.done)
	}
	for _, c := range all {
		c.fail(ErrClosed)
	}
	e.wg.Wait()
	e.dialer.close()
	return nil
}

// handle takes over a stream that a peer has opened.
func (e *Engine) handle(s network.Stream) {
	if !e.mayCarry(s) {
		e.log.Debug("refused a stream through a relay", "peer", s.Conn().RemotePeer())
		_ = s.ResetWithError(network.StreamGated)
		return
	}
	c, err := e.adopt(s, true, 0)
	if err != nil {
		e.log.Debug("refused a stream", "peer", s.Conn().RemotePeer(), "err", err)
		_ = s.ResetWithError(network.StreamResourceLimitExceeded)
		return
	}
	c.run()
}

// adopt charges a stream and enters it in the books. The caller must run the conn.
func (e *Engine) adopt(s network.Stream, inbound bool, lane int) (*conn, error) {
	if err := s.Scope().SetService(ServiceName); err != nil {
		return nil, fmt.Errorf("charge the stream to %s: %w", ServiceName, err)
	}
	if err := s.Scope().ReserveMemory(connMemory, network.ReservationPriorityAlways); err != nil {
		return nil, fmt.Errorf("reserve memory for the stream: %w", err)
	}
	c := newConn(e, s, inbound, lane)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, ErrClosed
	}
	opened := 0
	for _, o := range e.conns[c.peer] {
		if o.inbound {
			opened++
		}
	}
	if inbound && opened >= e.cfg.MaxStreams {
		return nil, fmt.Errorf("peer has %d streams open", opened)
	}
	e.conns[c.peer] = append(e.conns[c.peer], c)
	e.uplink.add(c)
	e.wg.Add(1)
	return c, nil
}

// forget takes a conn out of the books.
func (e *Engine) forget(c *conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	cs := e.conns[c.peer]
	for i, o := range cs {
		if o == c {
			cs = append(cs[:i:i], cs[i+1:]...)
			break
		}
	}
	if len(cs) == 0 {
		delete(e.conns, c.peer)
	} else {
		e.conns[c.peer] = cs
	}
}

// lookup returns an open conn to p on a lane, or claims the right to open one
// (mine), or tells what to wait for.
func (e *Engine) lookup(p laneOf) (c *conn, mine bool, wait chan struct{}, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, false, nil, ErrClosed
	}
	cs := e.conns[p.peer]
	for i := len(cs) - 1; i >= 0; i-- { // the newest: before it the peer may have died unnoticed
		if cs[i].lane == p.lane && !cs[i].isClosed() {
			return cs[i], false, nil, nil
		}
	}
	if wait = e.opening[p]; wait != nil {
		return nil, false, wait, nil
	}
	if p.lane > 0 && e.lanes() >= e.cfg.Lanes {
		return nil, false, nil, errNoLane
	}
	wait = make(chan struct{})
	e.opening[p] = wait
	return nil, true, wait, nil
}

// lanes counts the connections beside the host's own. mu is held.
func (e *Engine) lanes() (n int) {
	for p := range e.opening {
		open := slices.ContainsFunc(e.conns[p.peer], func(c *conn) bool { return c.lane == p.lane })
		if p.lane > 0 && !open { // else it is counted below
			n++
		}
	}
	for _, cs := range e.conns {
		for _, c := range cs {
			if c.lane > 0 {
				n++
			}
		}
	}
	return n
}

// connect returns an open conn to the peer, whoever opened it, or dials one.
func (e *Engine) connect(ctx context.Context, ai peer.AddrInfo) (*conn, error) {
	return e.reuse(ctx, laneOf{ai.ID, 0}, func(ctx context.Context) (network.Stream, error) { return e.swapStreamTo(ctx, ai) })
}

// connectFor is connect for a fetch of root: one with a limit has a stream of its own.
func (e *Engine) connectFor(ctx context.Context, ai peer.AddrInfo, root cid.Cid) (*conn, error) {
	lane := e.limits.laneFor(root)
	return e.reuse(ctx, laneOf{ai.ID, lane}, func(ctx context.Context) (network.Stream, error) { return e.swapStreamTo(ctx, ai) })
}

// connectLane is connect, on a connection beside the one that c is on.
func (e *Engine) connectLane(ctx context.Context, c *conn, lane int) (*conn, error) {
	return e.reuse(ctx, laneOf{c.peer, lane}, func(ctx context.Context) (network.Stream, error) {
		return e.dialer.dial(ctx, lane, c.s.Conn())
	})
}

// reuse returns an open conn on the lane or starts one on the stream that dial opens.
func (e *Engine) reuse(ctx context.Context, p laneOf, dial func(context.Context) (network.Stream, error)) (*conn, error) {
	for {
		c, mine, wait, err := e.lookup(p)
		if c != nil || err != nil {
			return c, err
		}
		if mine {
			c, err := e.open(ctx, p, dial)
			e.mu.Lock()
			delete(e.opening, p)
			e.mu.Unlock()
			close(wait)
			return c, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// open starts a conn on the stream that dial opens.
func (e *Engine) open(ctx context.Context, p laneOf, dial func(context.Context) (network.Stream, error)) (*conn, error) {
	timeout := e.cfg.DialTimeout
	if p.lane <= 0 {
		timeout += e.cfg.PunchTimeout + e.cfg.DialTimeout // to connect, to be connected directly, to open a stream
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	c, err := e.adopt(s, false, p.lane)
	if err != nil {
		_ = s.Reset()
		if p.lane > 0 {
			_ = s.Conn().Close()
		}
		return nil, err
	}
	go c.run()
	return c, nil
}

// errViolation is wrapped by the error of a conn whose peer broke the protocol.
var errViolation = errors.New("protocol violation")

func violation(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errViolation, fmt.Errorf(format, args...))
}
