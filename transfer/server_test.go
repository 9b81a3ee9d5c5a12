package transfer

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"

	"shoal/transfer/wire"
)

// dialRaw opens a raw stream to an engine.
func dialRaw(t *testing.T, to *testPeer) *rawPeer {
	t.Helper()
	h := newHost(t)
	if err := h.Connect(testContext(t), to.info()); err != nil {
		t.Fatal(err)
	}
	s, err := h.NewStream(testContext(t), to.ID(), wire.ID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Reset() })
	return newRaw(t, s)
}

func TestServerAnswersByHand(t *testing.T) {
	c := newContent(31, 8, sizesOf(24, 20_000)...)
	part := c.only(func(i int) bool { return i != 5 && i < 20 })
	part.changed[7] = true
	p := dialRaw(t, newPeer(t, Config{}, part))
	p.send(hello, wire.Want{Handle: 9, Root: c.root}, wire.Nodes{Handle: 9, From: 2})
	p.frame(99, make([]byte, 5000)) // of a later version: skipped
	p.send(wire.Request{Handle: 9, Runs: []wire.Run{{First: 4, Count: 4}, {First: 1000, Count: 1 << 30}}},
		wire.Cancel{Handle: 33, Runs: []wire.Run{{First: 0, Count: 1}}}) // not ours to fail on

	if m, ok := p.next().(wire.Hello); !ok || m != hello {
		t.Fatalf("first %+v", m)
	}
	if m, ok := p.next().(wire.Info); !ok || m.Handle != 9 || m.Leaves != 24 || m.Flags != wire.InfoComplete || m.Name != c.name {
		t.Fatalf("then %+v", m)
	}
	if m, ok := p.next().(wire.HaveBits); !ok || m.First != 0 || string(m.Bits) != "\xdf\xff\x0f" {
		t.Fatalf("then %+v", m)
	}
	var nodes, leaves []uint32
	gone := map[wire.Code][]wire.Run{}
	for len(nodes) < 3 || len(leaves) < 2 || len(gone) < 2 || len(gone[wire.CodeNotHave]) < 2 {
		switch m := p.next().(type) {
		case wire.Node:
			nodes = append(nodes, m.Index)
		case wire.NoNode:
			nodes = append(nodes, m.Index)
		case wire.Data:
			if rawCID(m.Payload) != c.leaves[m.Leaf].c {
				t.Errorf("leaf %d differs", m.Leaf)
			}
			leaves = append(leaves, m.Leaf)
		case wire.Gone:
			gone[m.Code] = append(gone[m.Code], m.Runs...)
		default:
			t.Fatalf("%+v", m)
		}
	}
	if len(nodes) != 3 || nodes[0] != 2 || nodes[2] != 4 || leaves[0] != 4 || leaves[1] != 6 {
		t.Errorf("nodes %v, leaves %v", nodes, leaves)
	}
	if g := gone[wire.CodeNotHave]; g[0] != (wire.Run{First: 5, Count: 1}) || g[1] != (wire.Run{First: 1000, Count: 1 << 30}) {
		t.Errorf("gone %v", gone)
	}
	if g := gone[wire.CodeChanged]; len(g) != 1 || g[0] != (wire.Run{First: 7, Count: 1}) {
		t.Errorf("gone %v", gone)
	}
}

func TestHostileRequesters(t *testing.T) {
	c := newContent(32, 8, sizesOf(64, 1<<20)...)
	gate := make(chan struct{})
	slow := newContent(33, 8, sizesOf(64, 1<<20)...)
	slow.onRead = func(int) { <-gate }
	log, closed := logOf("stream closed")
	cfg := Config{Logger: log, MaxRoots: 4, MaxQueue: 100, StallTimeout: 300 * time.Millisecond, AnswerTimeout: 300 * time.Millisecond}
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, p *rawPeer)
	}{
		{"unknown root", func(t *testing.T, p *rawPeer) {
			p.send(hello, wire.Want{Handle: 1, Root: rawCID(nil)}, wire.Nodes{Handle: 1},
				wire.Request{Handle: 1, Runs: []wire.Run{{First: 0, Count: 1}}})
			if m, ok := until[wire.Refused](p); !ok || m.Code != wire.CodeNotFound {
				t.Errorf("%+v", m)
			}
		}},
		{"too many roots", func(t *testing.T, p *rawPeer) {
			p.send(hello)
			for i := range uint32(5) {
				p.send(wire.Want{Handle: i, Root: c.root})
			}
			if m, ok := until[wire.Refused](p); !ok || m.Code != wire.CodeLimit || m.Handle != 4 {
				t.Errorf("%+v", m)
			}
		}},
		{"handle in use", func(t *testing.T, p *rawPeer) {
			p.send(hello, wire.Want{Root: c.root}, wire.Want{Root: c.root})
			ended(t, p)
		}},
		{"too many requests", func(t *testing.T, p *rawPeer) {
			defer close(gate)
			p.send(hello, wire.Want{Root: slow.root})
			for range 102 {
				p.send(wire.Request{Runs: []wire.Run{{First: 1, Count: 1}}})
			}
			until[wire.Info](p)
		}},
		{"too many runs at once", func(t *testing.T, p *rawPeer) {
			runs := make([]wire.Run, 101)
			for i := range runs {
				runs[i] = wire.Run{First: 1, Count: 1}
			}
			p.send(hello, wire.Want{Root: c.root}, wire.Request{Runs: runs})
			if m, ok := until[wire.Busy](p); !ok || m.RetryMillis == 0 {
				t.Errorf("%+v", m)
			}
		}},
		{"does not read", func(t *testing.T, p *rawPeer) {
			p.send(hello, wire.Want{Root: c.root})
			for range 20 { // more than the windows hold
				p.send(wire.Request{Runs: []wire.Run{{First: 0, Count: 64}}})
			}
			<-closed
		}},
		{"says nothing", func(t *testing.T, p *rawPeer) {
			_, _ = p.s.Write(nil)
			ended(t, p)
		}},
		{"blocks nobody has", func(t *testing.T, p *rawPeer) {
			p.send(hello, wire.Blocks{ID: 8, CIDs: []cid.Cid{rawCID(nil), c.root, rawCID([]byte("x"))}})
			a, ok := until[wire.NoBlock](p)
			b, ok2 := until[wire.Block](p)
			if !ok || !ok2 || a.ID != 8 || a.Index != 0 || b.Index != 1 || sumCID(0x70, b.Block) != c.root {
				t.Errorf("%+v %d", a, b.Index)
			}
		}},
		{"cancels and leaves", func(t *testing.T, p *rawPeer) {
			p.send(hello, wire.Want{Root: c.root}, wire.Request{Runs: []wire.Run{{First: 0, Count: 64}}},
				wire.Cancel{Runs: []wire.Run{{First: 1, Count: 63}}}, wire.Unwant{}, wire.Want{Handle: 5, Root: rawCID(nil)})
			for m := p.next(); m != nil; m = p.next() {
				if _, ok := m.(wire.Refused); ok {
					return
				}
			}
			t.Error("stream has ended")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPeer(t, cfg, c, slow)
			tt.run(t, dialRaw(t, p))
			select { // of this row, if it has come
			case <-closed:
			default:
			}
			// The server is as well as before.
			leech, job := newPeer(t, Config{}), newJob(c.root)
			leech.get(t, job, p)
			check(t, job, c)
		})
	}
}

// ended reads until the stream has ended.
func ended(t *testing.T, p *rawPeer) {
	t.Helper()
	if _, err := io.Copy(io.Discard, p.br); !errors.Is(err, network.ErrReset) {
		t.Errorf("stream ended with %v", err)
	}
}

// idleConn is a conn that neither reads nor writes by itself, at an engine.
func idleConn(t *testing.T, at *testPeer) *conn {
	t.Helper()
	other := newPeer(t, Config{})
	if err := at.Connect(testContext(t), other.info()); err != nil {
		t.Fatal(err)
	}
	s, err := at.NewStream(testContext(t), other.ID(), wire.ID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Reset() })
	return newConn(at.Engine, s, false, 0)
}

// A stream that fails while a want is answered takes those that had just ended along.
func TestFailedAnswerClosesTheRest(t *testing.T) {
	c := newContent(34, 8, sizesOf(24, 20_000)...)
	closed := 0
	c.onClose = func() { closed++ }
	p := newPeer(t, Config{}, c)
	k := idleConn(t, p)
	if err := k.srv.want(wire.Want{Handle: 1, Root: c.root}); err != nil {
		t.Fatal(err)
	}
	if _, err := k.srv.step(); err != nil {
		t.Fatal(err)
	}
	k.srv.end(1)
	if err := k.srv.want(wire.Want{Handle: 2, Root: c.root}); err != nil {
		t.Fatal(err)
	}
	_ = k.s.Reset()
	if _, err := k.srv.step(); err == nil {
		t.Fatal("no error")
	}
	k.srv.close()
	p.swarms.mu.Lock()
	defer p.swarms.mu.Unlock()
	for _, s := range p.swarms.roots {
		if len(s.members) > 0 {
			t.Errorf("members are left: %v", s.members)
		}
	}
	if closed != 2 {
		t.Errorf("%d roots closed of 2", closed)
	}
}

// What a peer can pile up while the writer waits for it to read is bounded.
func TestPeerThatDoesNotReadIsBounded(t *testing.T) {
	const maxRoots, maxQueue = 8, 1000
	c := newContent(35, 8, sizesOf(24, 20_000)...)
	p := newPeer(t, Config{MaxRoots: maxRoots, MaxQueue: maxQueue}, c)
	t.Run("subscriptions", func(t *testing.T) {
		k := idleConn(t, p)
		for i := uint32(0); i < 1_000_000 && !k.isClosed(); i++ {
			_ = k.srv.want(wire.Want{Handle: i, Root: c.root})
			k.srv.askNodes(wire.Nodes{Handle: i})
			k.srv.end(i)
		}
		v := &k.srv
		if n := len(v.fresh) + len(v.dead) + len(v.nodes); n > 4*maxRoots {
			t.Errorf("%d fresh, %d dead, %d with nodes", len(v.fresh), len(v.dead), len(v.nodes))
		}
		if n := len(k.out.frames); n > maxControl+1000 || !k.isClosed() {
			t.Errorf("%d bytes to be read, closed %v", n, k.isClosed())
		}
	})
	t.Run("requests cut to pieces", func(t *testing.T) {
		k := idleConn(t, p)
		_ = k.srv.want(wire.Want{Root: c.root})
		for range 20 {
			k.srv.request(wire.Request{Runs: []wire.Run{{First: 0, Count: 1 << 31}}})
		}
		cuts := make([]wire.Run, wire.MaxRuns)
		for i := range cuts {
			cuts[i] = wire.Run{First: uint32(2 * i), Count: 1}
		}
		k.srv.cancel(wire.Cancel{Runs: cuts})
		if n := len(k.srv.serves[0].reqs); n > maxQueue || n != k.srv.queued {
			t.Errorf("%d runs, %d counted", n, k.srv.queued)
		}
	})
}

// A node or block that nobody has asked for is not waited for.
func TestUnaskedPayloadTakesNoBuffer(t *testing.T) {
	for _, kind := range []wire.Kind{wire.KindNode, wire.KindBlock} {
		log, seen := logOf("peer broke the protocol")
		p := dialRaw(t, newPeer(t, Config{Logger: log}))
		p.send(hello)
		b := wire.AppendHeader(nil, wire.Header{Length: wire.MaxPayload, Kind: kind})
		_, _ = p.s.Write(append(b, 0, 0, 0, 77))
		select {
		case <-seen:
		case <-time.After(10 * time.Second):
			t.Errorf("kind %d: still reading", kind)
		}
	}
}

// stuckStream is one whose muxer cannot send.
type stuckStream struct {
	network.Stream
	free chan struct{}
}

func (s stuckStream) Reset() error {
	<-s.free
	return s.Stream.Reset()
}

func TestFailDoesNotBlock(t *testing.T) {
	k := idleConn(t, newPeer(t, Config{}))
	stuck := stuckStream{k.s, make(chan struct{})}
	k.s = stuck
	k.fail(errors.New("peer does not read")) // the test ends only if this returns
	if !k.isClosed() {
		t.Error("still open")
	}
	close(stuck.free)
	k.ending.Wait()
}

// A leaf whose end cannot be read breaks the stream once; then it is gone.
func TestTornLeafIsGone(t *testing.T) {
	c := newContent(38, 8, sizesOf(3, 1<<20)...)
	c.torn = 1000
	to := newPeer(t, Config{}, c)
	ask := []wire.Message{hello, wire.Want{Root: c.root}, wire.Request{Runs: []wire.Run{{First: 1, Count: 1}}}}
	p := dialRaw(t, to)
	p.send(ask...)
	ended(t, p)
	p = dialRaw(t, to)
	p.send(ask...)
	if m, ok := until[wire.Gone](p); !ok || m.Code != wire.CodeRead || m.Runs[0] != (wire.Run{First: 1, Count: 1}) {
		t.Errorf("%+v", m)
	}
	if err := to.tornErr(leafOf{c.root, 1}, time.Now().Add(tornFor)); err != nil {
		t.Errorf("not forgotten: %v", err)
	}
}
