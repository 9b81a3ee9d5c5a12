package transfer

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	manet "github.com/multiformats/go-multiaddr/net"

	"shoal/transfer/wire"
)

// Memory charged to a stream's resource scope: its read buffer and control
// frames from the start, one buffer each way once it carries leaves.
const (
	connMemory = 128 << 10
	leafMemory = 1 << 20
)

// laneIdle is how long a lane that no fetch uses is kept for the next one.
const laneIdle = 5 * time.Second

var errIdle = errors.New("idle")

// conn is one stream to a peer, in both directions: subs is what we want from
// the peer, srv what it wants from us.
type conn struct {
	e        *Engine
	s        network.Stream
	peer     peer.ID
	inbound  bool
	lane     int  // 0: on the host's own connection; else the conn owns its connection
	loopback bool // the peer is on this machine
	up, down gate // what its bytes pass
	out      outbox
	srv      server
	turns    turns

	mu         sync.Mutex
	charged    [2]bool // leafMemory has been reserved: reading, writing
	subs       map[uint32]*sub
	nextHandle uint32
	coming     *sub // has got its leaf last
	leaf       uint32
	stray      int64 // payload bytes that may still come though nobody waits
	blocks     map[uint32]*blockWait
	nextBlock  uint32
	err        error          // why it is closed
	done       chan struct{}  // closed with it
	ending     sync.WaitGroup // the stream is being closed
}

func newConn(e *Engine, s network.Stream, inbound bool, lane int) *conn {
	c := &conn{
		e: e, s: s, peer: s.Conn().RemotePeer(), inbound: inbound, lane: lane,
		loopback: manet.IsIPLoopback(s.Conn().RemoteMultiaddr()),
		subs:     make(map[uint32]*sub),
		blocks:   make(map[uint32]*blockWait),
		done:     make(chan struct{}),
	}
	c.out.init()
	c.srv.init(c)
	c.out.send(wire.Hello{MinVersion: wire.Version, MaxVersion: wire.Version})
	return c
}

// run reads and writes until the stream ends. It returns when nothing of the
// conn is left.
func (c *conn) run() {
	defer c.e.wg.Done()
	c.up, c.down = c.e.limits.join(c.peer)
	defer c.e.limits.leave(c.peer)
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.fail(c.writeLoop())
	}()
	c.fail(c.readLoop())
	<-written
	c.ending.Wait()
	c.e.uplink.remove(c)
	if c.lane > 0 {
		_ = c.s.Conn().Close() // it has ended either way
	}
	c.e.forget(c)
	c.release()
	c.e.log.Debug("stream closed", "peer", c.peer, "err", c.err)
}

// fail closes the conn; the first reason counts. Sessions are told, so that they
// look elsewhere at once. It does not block, and may be called with any lock held
// but the conn's: a muxer makes even a reset wait while the peer reads nothing.
func (c *conn) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	if err == nil {
		err = network.ErrReset
	}
	c.err = err
	subs, blocks := c.subs, c.blocks
	c.subs, c.blocks = nil, nil
	close(c.done)
	c.ending.Go(func() { c.end(err) })
	c.mu.Unlock()

	c.out.wake()
	for _, s := range subs {
		s.ses.in.post(note{sub: s, err: err}, 0)
	}
	for _, w := range blocks {
		w.answer <- blockAnswer{err: err}
	}
}

// end closes the stream in the way that tells the peer why.
func (c *conn) end(err error) {
	switch {
	case errors.Is(err, errIdle):
		_ = c.s.Close()
	case errors.Is(err, errViolation):
		c.e.log.Info("peer broke the protocol", "peer", c.peer, "err", err)
		_ = c.s.ResetWithError(network.StreamProtocolViolation)
	case errors.Is(err, ErrClosed):
		_ = c.s.ResetWithError(network.StreamShutdown)
	default:
		_ = c.s.Reset()
	}
}

func (c *conn) isClosed() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// busy tells whether anybody has use for the conn.
func (c *conn) busy() bool {
	c.mu.Lock()
	ours := len(c.subs)
	for _, w := range c.blocks {
		if !w.left {
			ours++
		}
	}
	c.mu.Unlock()
	return ours > 0 || c.srv.subscribed()
}

// charge reserves leafMemory for one direction, once.
func (c *conn) charge(way int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.charged[way] {
		return nil
	}
	if err := c.s.Scope().ReserveMemory(leafMemory, network.ReservationPriorityMedium); err != nil {
		return fmt.Errorf("reserve memory for leaves: %w", err)
	}
	c.charged[way] = true
	return nil
}

// idle is how long the conn may be of no use to anybody.
func (c *conn) idle() time.Duration {
	if c.lane > 0 {
		return min(c.e.cfg.IdleTimeout, laneIdle)
	}
	return c.e.cfg.IdleTimeout
}

func (c *conn) release() {
	n := connMemory
	for _, charged := range c.charged {
		if charged {
			n += leafMemory
		}
	}
	c.s.Scope().ReleaseMemory(n)
}
