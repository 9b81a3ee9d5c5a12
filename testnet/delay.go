package testnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	delayQueue  = 50 * time.Millisecond // of bytes that wait for a lane to be free
	delayPiece  = 16 << 10              // bytes read at once
	delayPieces = 4096                  // on their way, for each connection and direction
	delayAny    = 10_000_000_000        // bits a second of a lane without a rate
)

// Delay is a TCP proxy that is as far away as a long path: bytes come out of it some time after they went in, and no faster than the
// path's rate, each way. It ends each connection and opens another, so that the windows of TCP itself are those of loopback; what it
// tests are the windows above: how much a peer asks for ahead, and what a multiplexer lets be under way.
//
// What is under way is bounded by rate x (OneWay + 50 ms). Serve owns all goroutines.
type Delay struct {
	Target string        // host:port
	OneWay time.Duration // each way, half of the round trip
	Rate   int64         // bits a second each way, of all connections together; 0: no limit

	once     sync.Once
	up, down lane
}

// lane is one direction.
type lane struct {
	delay time.Duration
	rate  int64 // bits a second

	mu    sync.Mutex
	free  time.Time // when all that was booked has been put on the wire
	bytes int64
}

// book takes n bytes that came at now. They are at the other end at due; nothing more should be read before next, when the queue is
// short again.
func (l *lane) book(now time.Time, n int) (due, next time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(n) * 8 / float64(l.rate) * float64(time.Second)))
	l.bytes += int64(n)
	return l.free.Add(l.delay), l.free.Add(-delayQueue)
}

func (d *Delay) init() {
	d.once.Do(func() {
		rate := d.Rate
		if rate == 0 {
			rate = delayAny
		}
		d.up.delay, d.up.rate = d.OneWay, rate
		d.down.delay, d.down.rate = d.OneWay, rate
	})
}

// Bytes are those that went to the target, and those that came from it.
func (d *Delay) Bytes() (up, down int64) {
	d.up.mu.Lock()
	up = d.up.bytes
	d.up.mu.Unlock()
	d.down.mu.Lock()
	defer d.down.mu.Unlock()
	return up, d.down.bytes
}

// Serve takes connections from l until ctx ends, then closes l and all of them.
func (d *Delay) Serve(ctx context.Context, l net.Listener) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		near, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("delaying proxy: %w", err)
		}
		wg.Go(func() {
			defer near.Close()
			far, err := (&net.Dialer{}).DialContext(ctx, "tcp", d.Target)
			if err != nil {
				return // near sees its connection closed
			}
			d.join(ctx, near, far)
		})
	}
}

// join carries bytes between a connection that was just accepted and one to the target, until both directions have ended or ctx
// does, and closes them.
func (d *Delay) join(ctx context.Context, near, far net.Conn) {
	d.init()
	stop := context.AfterFunc(ctx, func() { near.Close(); far.Close() })
	defer stop()
	defer near.Close()
	defer far.Close()
	for _, c := range []net.Conn{near, far} {
		if tcp, ok := c.(*net.TCPConn); ok {
			tcp.SetReadBuffer(256 << 10) // else the kernel holds more than the path does
		}
	}
	opened := time.Now().Add(2 * d.OneWay) // the handshake would take a round trip
	var wg sync.WaitGroup
	wg.Go(func() { d.up.carry(ctx, near, far, opened) })
	wg.Go(func() { d.down.carry(ctx, far, near, opened) })
	wg.Wait()
}

type piece struct {
	data []byte // nil: the end
	due  time.Time
}

// carry reads from one connection and writes to the other when it is time.
func (l *lane) carry(ctx context.Context, from, to net.Conn, opened time.Time) {
	pieces := make(chan piece, delayPieces)
	var wg sync.WaitGroup
	wg.Go(func() { deliver(ctx, pieces, to, from) })
	defer wg.Wait()
	defer close(pieces)
	waitUntil(ctx, opened)
	for {
		buf := make([]byte, delayPiece)
		n, err := from.Read(buf)
		due, next := l.book(time.Now(), n)
		if n > 0 {
			pieces <- piece{buf[:n], due}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				pieces <- piece{nil, due}
			}
			return
		}
		waitUntil(ctx, next)
	}
}

// deliver writes the pieces when they are due. When it cannot, it closes the connection that they come from, and drops the rest.
func deliver(ctx context.Context, pieces <-chan piece, to, from net.Conn) {
	for p := range pieces {
		waitUntil(ctx, p.due)
		if p.data == nil {
			if half, ok := to.(interface{ CloseWrite() error }); ok {
				half.CloseWrite()
			} else {
				to.Close()
			}
			continue
		}
		if _, err := to.Write(p.data); err != nil {
			from.Close()
			for range pieces {
			}
			return
		}
	}
}

func waitUntil(ctx context.Context, t time.Time) {
	d := time.Until(t)
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
