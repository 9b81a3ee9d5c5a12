package transfer

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"shoal/transfer/wire"
)

// maxControl bounds the control frames waiting for a peer that does not read.
const maxControl = 4 << 20

// outbox holds encoded control frames for the conn's writer.
type outbox struct {
	mu     sync.Mutex
	frames []byte
	spare  []byte        // the previous frames' slice, for the next ones
	signal chan struct{} // something is to be done
}

func (o *outbox) init() { o.signal = make(chan struct{}, 1) }

// wake makes the writer look for work.
func (o *outbox) wake() {
	select {
	case o.signal <- struct{}{}:
	default:
	}
}

// send queues m; false when the peer has left too much unread.
func (o *outbox) send(m wire.Message) bool {
	o.mu.Lock()
	if o.frames == nil {
		o.frames, o.spare = o.spare[:0], nil
	}
	o.frames = wire.Append(o.frames, m)
	ok := len(o.frames) <= maxControl
	o.mu.Unlock()
	o.wake()
	return ok
}

// take returns what is queued. The writer hands it back with recycle.
func (o *outbox) take() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.frames
	o.frames = nil
	return b
}

func (o *outbox) recycle(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.spare == nil && cap(b) <= wire.MaxControl {
		o.spare = b
	}
}

// send queues a control frame. It never blocks.
func (c *conn) send(m wire.Message) {
	if !c.out.send(m) {
		c.fail(errors.New("peer does not read"))
	}
}

// writeLoop is the conn's writer: control frames first, then what the server
// has to say. It owns the server's roots and buffer.
func (c *conn) writeLoop() error {
	defer c.srv.close()
	idle := time.NewTimer(c.e.cfg.IdleTimeout)
	defer idle.Stop()
	for {
		worked, err := c.writeOnce()
		if err != nil {
			return err
		}
		if worked {
			continue
		}
		c.srv.rest()
		select {
		case <-c.out.signal:
		case <-idle.C:
			c.srv.closeIdle(time.Now())
			idle.Reset(c.e.cfg.IdleTimeout)
		case <-c.done:
			return nil
		}
	}
}

func (c *conn) writeOnce() (bool, error) {
	if c.isClosed() {
		return false, nil
	}
	if b := c.out.take(); len(b) > 0 {
		c.up.count(len(b))
		err := c.push(b)
		c.out.recycle(b)
		return true, err
	}
	return c.srv.step()
}

// write sends b no faster than the limits allow.
func (c *conn) write(b []byte) error {
	for len(b) > 0 {
		n := c.up.piece(len(b))
		if !c.up.pass(n, c.done) {
			return network.ErrReset // the conn has its own reason
		}
		if err := c.push(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// push sends b at once. A reader that takes nothing for StallTimeout is an error, a slow
// one is not.
func (c *conn) push(b []byte) error {
	for {
		if err := c.s.SetWriteDeadline(time.Now().Add(c.e.cfg.StallTimeout)); err != nil {
			return fmt.Errorf("set write deadline: %w", err)
		}
		n, err := c.s.Write(b)
		if err == nil {
			return nil
		}
		if n == 0 || n >= len(b) || !isTimeout(err) {
			return fmt.Errorf("write to %s: %w", c.peer, err)
		}
		b = b[n:]
	}
}

// isTimeout tells a deadline from other errors; muxers differ in how they say it.
func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}
