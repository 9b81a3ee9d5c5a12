package transfer

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"shoal/transfer/wire"
)

const (
	readBuffer = 32 << 10 // larger reads go past it, straight into the leaf's buffer

	maxFrames   = 200_000                // control frames a peer may send in
	framesEvery = 10 * time.Second       // this time
	progress    = 50 * time.Millisecond  // between signs of life while a leaf comes
	gather      = 100 * time.Millisecond // for this long at most, small leaves are gathered
)

// reader takes frames off a conn's stream: it answers for the limits, and passes
// leaves that were asked to the session's writers and the rest on.
type reader struct {
	c    *conn
	br   *bufio.Reader
	body []byte // of a control frame
	b    *batch // leaves not handed on yet

	hello   bool      // the peer has said it
	parts   incoming  // a leaf that comes in parts
	inFrame bool      // a frame has begun
	last    time.Time // something arrived
	armed   time.Time // the deadline was set
	frames  int       // control frames since
	since   time.Time
	begun   time.Time // b was

	total int64 // payload bytes of leaves, ever
	told  int64 // of these, told the peer
	every int64 // bytes after which to tell it again, 0: never

	moved  int       // payload bytes of this leaf since
	marked time.Time // the last sign of life to the session
}

// incoming is a leaf of which some parts have come.
type incoming struct {
	open bool
	sub  *sub   // nil: left meanwhile
	b    *batch // nil: nobody waits for it
	leaf placed
	rest int // bytes due
}

// readLoop is the conn's reader.
func (c *conn) readLoop() error {
	r := &reader{c: c, last: time.Now()}
	r.since = r.last
	r.br = bufio.NewReaderSize(r, readBuffer)
	defer r.recycle()
	for {
		if err := r.frame(); err != nil {
			return err
		}
	}
}

// Read reads from the stream and minds the time: see overdue.
func (r *reader) Read(p []byte) (int, error) {
	cfg := &r.c.e.cfg
	wait := min(cfg.AnswerTimeout, cfg.StallTimeout, r.c.idle()) / 2
	for {
		if now := time.Now(); now.Sub(r.armed) >= wait/2 {
			r.armed = now
			if err := r.c.s.SetReadDeadline(now.Add(wait)); err != nil {
				return 0, fmt.Errorf("set read deadline: %w", err)
			}
		}
		n, err := r.c.s.Read(p)
		if n > 0 {
			r.last = time.Now()
			return n, err
		}
		if err != nil && !isTimeout(err) {
			return 0, err
		}
		if err != nil {
			r.armed = time.Time{}
			if err := r.overdue(time.Since(r.last)); err != nil {
				return 0, err
			}
		}
	}
}

// overdue decides what a silence of the peer means: nothing while there are
// subscriptions and no frame has begun.
func (r *reader) overdue(silent time.Duration) error {
	cfg := &r.c.e.cfg
	switch {
	case !r.hello && silent >= cfg.AnswerTimeout:
		return fmt.Errorf("%w: it did not say hello", ErrSilent)
	case r.inFrame && silent >= cfg.StallTimeout:
		return errors.New("peer stopped within a frame")
	case silent >= r.c.idle() && !r.c.busy():
		return errIdle
	}
	return nil
}

// frame reads one frame and does what it says.
func (r *reader) frame() error {
	if r.br.Buffered() < headerRoom {
		r.handOver() // before waiting for more
	}
	b, err := r.br.Peek(wire.HeaderSize)
	if err != nil {
		return err
	}
	h := wire.ParseHeader(b)
	r.skip(wire.HeaderSize)
	r.inFrame = true
	defer func() { r.inFrame = false }()
	if err := h.Check(); err != nil {
		return violation("%w", err)
	}
	if !r.hello && h.Kind != wire.KindHello {
		return violation("kind %d before hello", h.Kind)
	}
	n := int(h.Length)
	switch {
	case h.Kind == wire.KindData:
		return r.data(n)
	case h.Kind == wire.KindPart:
		return r.part(n)
	case h.Kind == wire.KindNode || h.Kind == wire.KindBlock:
		return r.block(h.Kind, n)
	}
	r.handOver()
	r.c.down.count(wire.HeaderSize + n)
	if err := r.count(); err != nil {
		return err
	}
	if !h.Kind.Known() {
		_, err := r.br.Discard(n)
		return err
	}
	return r.control(h.Kind, n)
}

// skip drops n bytes that have been peeked at.
func (r *reader) skip(n int) { _, _ = r.br.Discard(n) }

// count limits control frames: they cost us work and the peer next to nothing.
func (r *reader) count() error {
	if r.last.Sub(r.since) >= framesEvery {
		r.since, r.frames = r.last, 0
	}
	if r.frames++; r.frames > maxFrames {
		return violation("more than %d control frames in %v", maxFrames, framesEvery)
	}
	return nil
}

// pace begins or ends telling the peer what has got through.
func (r *reader) pace(m wire.Pace) {
	if r.every = int64(m.Every); r.every > 0 {
		r.every = max(r.every, leastEvery)
		r.tell()
	}
}

// tell says what has got through so far.
func (r *reader) tell() {
	r.told = r.total
	r.c.send(wire.Got{Total: uint64(r.total)})
}

// got counts payload of leaves.
func (r *reader) got(n int) {
	r.total += int64(n)
	if r.every > 0 && r.total-r.told >= r.every {
		r.tell()
	}
}

// surplus throws away a leaf nobody waits for any more.
func (r *reader) surplus(s *sub, leaf uint32, size int) error {
	r.handOver()
	if err := r.discard(size); err != nil {
		return err
	}
	r.got(size)
	if s != nil {
		s.ses.in.book(s, []placed{{leaf: leaf, size: size}}, true)
	}
	if size < 1<<10 {
		return r.count()
	}
	return nil
}

// makeRoom prepares the batch for a leaf of size bytes. What it holds is handed
// on first if the leaf is not for the same session, does not fit, or has to be
// waited for, also where a limit makes us wait.
func (r *reader) makeRoom(s *sub, size int) {
	if b := r.b; b != nil && (b.sub != s || len(b.buf.b)-b.used < size || r.br.Buffered() < size || r.last.Sub(r.begun) >= gather) {
		r.handOver()
	}
	if r.b == nil {
		r.b, r.begun = r.c.e.bufs.getBatch(s, size), r.last
	}
}

// handOver gives the batch to the session's writers, and waits while they are behind.
func (r *reader) handOver() {
	if r.b == nil || len(r.b.leaves) == 0 {
		return
	}
	b := r.b
	r.b = nil
	r.c.e.uplink.received(r.c, b.used)
	b.sub.ses.submit(b)
}

func (r *reader) recycle() {
	r.handOver()
	r.drop()
	if r.b != nil {
		r.c.e.bufs.putBatch(r.b)
	}
}

// block reads a node or a block.
func (r *reader) block(k wire.Kind, n int) error {
	r.handOver()
	if wanted, err := r.awaited(k, n); !wanted || err != nil {
		return err
	}
	if err := r.c.charge(0); err != nil {
		return err
	}
	buf := r.c.e.bufs.get(n)
	defer r.c.e.bufs.put(buf)
	body := buf.b[:n]
	if err := r.fill(body); err != nil {
		return err
	}
	m, err := wire.Decode(k, body)
	if err != nil {
		return violation("%w", err)
	}
	switch m := m.(type) {
	case wire.Node:
		s, err := r.c.find(m.Handle)
		if s == nil || err != nil {
			return err
		}
		d := sha256.Sum256(m.Block)
		m.Block = slices.Clone(m.Block)
		s.ses.in.post(note{sub: s, msg: m, digest: d}, n)
	case wire.Block:
		return r.c.answerBlock(m.ID, m.Index, m.Block, nil)
	}
	return nil
}

// awaited tells whether a node or a block is for anybody, before a buffer is taken
// for it. One that is not is thrown away.
func (r *reader) awaited(k wire.Kind, n int) (bool, error) {
	b, err := r.br.Peek(min(n, 4))
	if err != nil || len(b) < 4 {
		return false, cmp.Or(err, violation("kind %d of %d bytes", k, n))
	}
	id := binary.BigEndian.Uint32(b)
	if k == wire.KindBlock {
		if !r.c.asksBlock(id) {
			return false, violation("block %d was not asked", id)
		}
		return true, nil
	}
	if s, err := r.c.find(id); s != nil || err != nil {
		return err == nil, err
	}
	if err := r.count(); err != nil {
		return false, err
	}
	return false, r.discard(n)
}

// control reads any other known message.
func (r *reader) control(k wire.Kind, n int) error {
	if cap(r.body) < n {
		r.body = make([]byte, max(n, 512)) // at most wire.MaxControl
	}
	body := r.body[:n]
	if _, err := io.ReadFull(r.br, body); err != nil {
		return err
	}
	m, err := wire.Decode(k, body)
	if err != nil {
		return violation("%w", err)
	}
	switch m := m.(type) {
	case wire.Hello:
		if r.hello || m.MinVersion > wire.Version || m.MaxVersion < wire.Version {
			return violation("hello with versions %d to %d", m.MinVersion, m.MaxVersion)
		}
		r.hello = true
		return nil
	case wire.Want:
		return r.c.srv.want(m)
	case wire.Unwant:
		r.c.srv.end(m.Handle)
	case wire.Nodes:
		r.c.srv.askNodes(m)
	case wire.Request:
		r.c.srv.request(m)
	case wire.Cancel:
		r.c.srv.cancel(m)
	case wire.Blocks:
		r.c.srv.askBlocks(m)
	case wire.Pace:
		r.pace(m)
	case wire.Begin:
		return r.begin(m)
	case wire.Got:
		r.c.e.uplink.got(r.c, m)
	case wire.Interest:
		r.c.srv.interest(m)
	case wire.Corrupt:
		r.c.srv.corrupt(m)
	case wire.NoBlock:
		return r.c.answerBlock(m.ID, m.Index, nil, ErrNotFound)
	default:
		return r.fromProvider(m, n)
	}
	return nil
}

// fromProvider passes a message about one of our subscriptions to its session.
func (r *reader) fromProvider(m wire.Message, cost int) error {
	var handle uint32
	switch v := m.(type) {
	case wire.Info:
		handle = v.Handle
	case wire.HaveAll:
		handle = v.Handle
	case wire.HaveBits:
		handle = v.Handle
		v.Bits = slices.Clone(v.Bits)
		m = v
	case wire.HaveRuns:
		handle = v.Handle
	case wire.NoNode:
		handle = v.Handle
	case wire.Choke:
		handle = v.Handle
	case wire.Unchoke:
		handle = v.Handle
	case wire.Offer:
		handle = v.Handle
	case wire.Gone:
		handle = v.Handle
	case wire.Refused:
		handle = v.Handle
	case wire.Busy:
		handle = v.Handle
	case wire.Peers:
		s, err := r.c.find(v.Handle)
		if s != nil {
			s.ses.in.post(note{found: r.c.e.hints(v, r.c), hints: true}, cost)
		}
		return err
	}
	s, err := r.c.find(handle)
	if s != nil {
		s.ses.in.post(note{sub: s, msg: m}, cost)
	}
	return err
}
