package transfer

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/transfer/wire"
)

// rawPeer speaks the protocol by hand, so that it can speak it badly.
type rawPeer struct {
	t  testing.TB
	s  network.Stream
	br *bufio.Reader
}

func newRaw(t testing.TB, s network.Stream) *rawPeer {
	return &rawPeer{t: t, s: s, br: bufio.NewReader(s)}
}

func (p *rawPeer) send(msgs ...wire.Message) {
	var b []byte
	for _, m := range msgs {
		b = wire.Append(b, m)
	}
	_, _ = p.s.Write(b)
}

func (p *rawPeer) frame(kind wire.Kind, body []byte) {
	b := wire.AppendHeader(nil, wire.Header{Length: uint32(len(body)), Kind: kind})
	_, _ = p.s.Write(append(b, body...))
}

// next reads a message; nil at the end of the stream, however it ends.
func (p *rawPeer) next() wire.Message {
	b := make([]byte, wire.HeaderSize)
	if _, err := io.ReadFull(p.br, b); err != nil {
		return nil
	}
	h := wire.ParseHeader(b)
	if err := h.Check(); err != nil {
		p.t.Error(err)
		return nil
	}
	body := make([]byte, h.Length)
	if _, err := io.ReadFull(p.br, body); err != nil {
		return nil
	}
	m, err := wire.Decode(h.Kind, body)
	if err != nil {
		p.t.Error(err)
	}
	return m
}

// until reads on until a message of type M.
func until[M wire.Message](p *rawPeer) (m M, ok bool) {
	for {
		switch v := p.next().(type) {
		case M:
			return v, true
		case nil:
			return m, false
		}
	}
}

var hello = wire.Hello{MinVersion: 1, MaxVersion: 1}

// start is a good provider up to the first request, and returns that.
func (p *rawPeer) start(c *content) wire.Request {
	p.send(hello)
	for {
		switch m := p.next().(type) {
		case wire.Want:
			p.send(wire.Info{Handle: m.Handle, Leaves: uint32(len(c.leaves)), Flags: wire.InfoComplete},
				wire.HaveAll{Handle: m.Handle})
		case wire.Nodes:
			for i, n := range c.nodes {
				p.send(wire.Node{Handle: m.Handle, Index: uint32(i), Block: n})
			}
		case wire.Request:
			return m
		case nil: // the fetch is over
			return wire.Request{Runs: []wire.Run{{First: 0, Count: 1}}}
		}
	}
}

// hostile are ways to be a bad provider. Another source is offered when run
// returns, at the latest when the stream has been reset.
var hostile = []struct {
	name string
	run  func(p *rawPeer, c *content)
}{
	{"silent", func(p *rawPeer, c *content) {}},
	{"silent after hello", func(p *rawPeer, c *content) { p.send(hello) }},
	{"closes at once", func(p *rawPeer, c *content) { _ = p.s.Close() }},
	{"garbage", func(p *rawPeer, c *content) { _, _ = p.s.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")) }},
	{"other versions only", func(p *rawPeer, c *content) { p.send(wire.Hello{MinVersion: 2, MaxVersion: 9}) }},
	{"message before hello", func(p *rawPeer, c *content) { p.send(wire.Choke{}) }},
	{"hello twice", func(p *rawPeer, c *content) { p.send(hello, hello) }},
	{"frame beyond its limit", func(p *rawPeer, c *content) {
		p.send(hello)
		_, _ = p.s.Write(wire.AppendHeader(nil, wire.Header{Length: 1 << 31, Kind: wire.KindHaveBits}))
	}},
	{"endless stream", func(p *rawPeer, c *content) {
		p.send(hello)
		for b := make([]byte, 1<<16); ; {
			if _, err := p.s.Write(b); err != nil {
				return
			}
		}
	}},
	{"endless unknown messages", func(p *rawPeer, c *content) {
		p.send(hello)
		b := []byte{}
		for range 10_000 {
			b = append(b, 0, 0, 0, 1, 99, 0)
		}
		for {
			if _, err := p.s.Write(b); err != nil {
				return
			}
		}
	}},
	{"malformed message", func(p *rawPeer, c *content) {
		p.send(hello)
		p.frame(wire.KindHaveRuns, []byte{0, 0, 0, 0, 0xff, 0xff})
	}},
	{"handle that was never bound", func(p *rawPeer, c *content) { p.send(hello, wire.HaveAll{Handle: 77}) }},
	{"data of a handle that was never bound", func(p *rawPeer, c *content) {
		p.send(hello, wire.Data{Handle: 77, Payload: make([]byte, 100)})
	}},
	{"data that was not asked", func(p *rawPeer, c *content) {
		r := p.start(c)
		leaf := uint32(len(c.leaves)) + 5
		p.send(wire.Data{Handle: r.Handle, Leaf: leaf, Payload: make([]byte, 100)})
	}},
	{"part of nothing", func(p *rawPeer, c *content) { p.start(c); p.send(wire.Part{Payload: []byte("abc")}) }},
	{"begins what was not asked", func(p *rawPeer, c *content) {
		r := p.start(c)
		p.send(wire.Begin{Handle: r.Handle, Leaf: uint32(len(c.leaves)) + 5, Size: 100})
	}},
	{"begins with another size", func(p *rawPeer, c *content) {
		r := p.start(c)
		p.send(wire.Begin{Handle: r.Handle, Leaf: r.Runs[0].First, Size: 20_001})
	}},
	{"begins a leaf within another", func(p *rawPeer, c *content) {
		r := p.start(c)
		begin := wire.Begin{Handle: r.Handle, Leaf: r.Runs[0].First, Size: 20_000}
		p.send(begin, begin)
	}},
	{"data within a leaf in parts", func(p *rawPeer, c *content) {
		r := p.start(c)
		leaf := r.Runs[0].First
		p.send(wire.Begin{Handle: r.Handle, Leaf: leaf, Size: 20_000}, wire.Part{Payload: c.data[leaf][:99]},
			wire.Data{Handle: r.Handle, Leaf: leaf, Payload: c.data[leaf]})
	}},
	{"more parts than the leaf has", func(p *rawPeer, c *content) {
		r := p.start(c)
		leaf := r.Runs[0].First
		p.send(wire.Begin{Handle: r.Handle, Leaf: leaf, Size: 20_000}, wire.Part{Payload: c.data[leaf][:19_999]},
			wire.Part{Payload: []byte("ab")})
	}},
	{"wrong bytes in parts", func(p *rawPeer, c *content) {
		r := p.start(c)
		p.send(wire.Begin{Handle: r.Handle, Leaf: r.Runs[0].First, Size: 20_000}, wire.Part{Payload: make([]byte, 19_000)},
			wire.Part{Payload: make([]byte, 1000)})
	}},
	{"begun and broken off", func(p *rawPeer, c *content) {
		r := p.start(c)
		p.send(wire.Begin{Handle: r.Handle, Leaf: r.Runs[0].First, Size: 20_000}, wire.Part{Payload: make([]byte, 99)}, wire.Part{})
	}},
	{"data without a header", func(p *rawPeer, c *content) { p.start(c); p.frame(wire.KindData, []byte{0}) }},
	{"leaf too long", func(p *rawPeer, c *content) {
		r := p.start(c)
		i := r.Runs[0].First
		p.send(wire.Data{Handle: r.Handle, Leaf: i, Payload: append(c.data[i][:len(c.data[i]):len(c.data[i])], 0)})
	}},
	{"leaf too short", func(p *rawPeer, c *content) {
		r := p.start(c)
		i := r.Runs[0].First
		p.send(wire.Data{Handle: r.Handle, Leaf: i, Payload: c.data[i][1:]})
	}},
	{"leaf with wrong bytes", func(p *rawPeer, c *content) {
		r := p.start(c)
		i := r.Runs[0].First
		p.send(wire.Data{Handle: r.Handle, Leaf: i, Payload: make([]byte, len(c.data[i]))})
	}},
	{"leaf of another place", func(p *rawPeer, c *content) {
		r := p.start(c)
		i := r.Runs[0].First
		p.send(wire.Data{Handle: r.Handle, Leaf: i, Payload: c.data[i+1]})
	}},
	{"stops within a leaf", func(p *rawPeer, c *content) {
		r := p.start(c)
		b := wire.Append(nil, wire.Data{Handle: r.Handle, Leaf: r.Runs[0].First, Payload: c.data[r.Runs[0].First]})
		_, _ = p.s.Write(b[:1000])
	}},
	{"asked and silent", func(p *rawPeer, c *content) { p.start(c) }},
	{"all requested leaves gone", func(p *rawPeer, c *content) {
		r := p.start(c)
		p.send(wire.Gone{Handle: r.Handle, Runs: []wire.Run{{First: 0, Count: uint32(len(c.leaves))}}})
	}},
	{"gone beyond the end", func(p *rawPeer, c *content) {
		r := p.start(c)
		p.send(wire.Gone{Handle: r.Handle, Runs: []wire.Run{{First: 1, Count: 1<<32 - 1}}})
	}},
	{"choked for ever", func(p *rawPeer, c *content) { r := p.start(c); p.send(wire.Choke{Handle: r.Handle}) }},
	{"busy for ever", func(p *rawPeer, c *content) {
		r := p.start(c)
		for range 3 {
			p.send(wire.Busy{Handle: r.Handle, RetryMillis: 1})
			r, _ = until[wire.Request](p)
		}
		p.send(wire.Busy{Handle: r.Handle, RetryMillis: 1<<32 - 1})
	}},
	{"refuses after a while", func(p *rawPeer, c *content) { r := p.start(c); p.send(wire.Refused{Handle: r.Handle}) }},
	{"have bitmap larger than the root", func(p *rawPeer, c *content) {
		r := p.start(c)
		p.send(wire.HaveBits{Handle: r.Handle, Bits: make([]byte, wire.MaxBitsBytes)},
			wire.HaveBits{Handle: r.Handle, First: uint32(8 * len(c.leaves)), Bits: []byte{1}})
	}},
	{"have runs larger than the root", func(p *rawPeer, c *content) {
		r := p.start(c)
		p.send(wire.HaveRuns{Handle: r.Handle, Runs: []wire.Run{{First: 1 << 31, Count: 1 << 31}}})
	}},
	{"huge have map before the nodes", func(p *rawPeer, c *content) {
		p.send(hello)
		want, _ := until[wire.Want](p)
		p.send(wire.Info{Handle: want.Handle, Leaves: 1<<32 - 1})
		for first := uint32(0); first < 1<<32-1<<20; first += 1 << 20 {
			p.send(wire.HaveBits{Handle: want.Handle, First: first, Bits: []byte{0xff}})
		}
	}},
	{"wrong node", func(p *rawPeer, c *content) {
		p.send(hello)
		want, _ := until[wire.Want](p)
		p.send(wire.Node{Handle: want.Handle, Block: []byte("not the root")})
	}},
	{"node of another place", func(p *rawPeer, c *content) {
		p.send(hello)
		want, _ := until[wire.Want](p)
		p.send(wire.Node{Handle: want.Handle, Index: 40, Block: c.nodes[0]})
	}},
	{"no nodes", func(p *rawPeer, c *content) {
		p.send(hello)
		for range 2 {
			n, _ := until[wire.Nodes](p)
			p.send(wire.Info{Handle: n.Handle}, wire.HaveAll{Handle: n.Handle}, wire.NoNode{Handle: n.Handle})
		}
	}},
	{"block that was not asked", func(p *rawPeer, c *content) { p.send(hello, wire.Block{ID: 3, Block: []byte("x")}) }},
	{"peers that are none", func(p *rawPeer, c *content) {
		p.send(hello)
		want, _ := until[wire.Want](p)
		p.send(wire.Peers{Handle: want.Handle, Peers: []wire.Peer{
			{ID: "not a peer ID"},
			{ID: string(p.s.Conn().RemotePeer()), Addrs: [][]byte{{4, 127, 0, 0, 1, 6, 0, 1}}}, // itself
			{ID: string(p.s.Conn().LocalPeer()), Addrs: [][]byte{{1, 2, 3}}},
		}})
	}},
}

// Whatever one peer does, the fetch is completed from another one.
func TestHostileProviders(t *testing.T) {
	cfg := Config{AnswerTimeout: 300 * time.Millisecond, StallTimeout: 300 * time.Millisecond, NodeTimeout: 300 * time.Millisecond}
	for _, tt := range hostile {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newContent(30, 8, sizesOf(24, 20_000)...)
			seed, leech, job := newPeer(t, Config{}, c), newPeer(t, cfg), newJob(c.root)
			h := newHost(t)
			peers := make(chan peer.AddrInfo, 2)
			peers <- peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}
			offerSeed := sync.OnceFunc(func() { peers <- seed.info() })
			h.SetStreamHandler(wire.ID, func(s network.Stream) {
				p := newRaw(t, s)
				tt.run(p, c)
				offerSeed()
				_, _ = io.Copy(io.Discard, p.br)
			})
			leech.src.put(job.content)
			stats, err := leech.Fetch(testContext(t), job, peers, nil)
			if err != nil {
				t.Fatal(err, stats)
			}
			check(t, job, c)
			if stats.From[h.ID()] > 0 {
				t.Errorf("%d bytes from the villain", stats.From[h.ID()])
			}
		})
	}
}

// Villains alone: wire violations get each of them reset, and none is dialled again.
func TestViolationsReset(t *testing.T) {
	lasting := map[string]bool{ // no violations
		"silent after hello": true, "asked and silent": true, "all requested leaves gone": true,
		"choked for ever": true, "busy for ever": true, "refuses after a while": true, "no nodes": true,
		"peers that are none": true, "closes at once": true, "silent": true, "stops within a leaf": true,
		"huge have map before the nodes": true, "begun and broken off": true,
		"leaf with wrong bytes": true, "leaf of another place": true, "wrong bytes in parts": true, // its copy is damaged, perhaps
	}
	c := newContent(30, 8, sizesOf(240, 20_000)...)
	var streams, resets atomic.Int32
	n := 0
	peers := make(chan peer.AddrInfo, len(hostile))
	for _, tt := range hostile {
		if lasting[tt.name] {
			continue
		}
		n++
		h := newHost(t)
		h.SetStreamHandler(wire.ID, func(s network.Stream) {
			streams.Add(1)
			p := newRaw(t, s)
			tt.run(p, c)
			if _, err := io.Copy(io.Discard, p.br); !errors.Is(err, network.ErrReset) {
				t.Errorf("%s: stream ended with %v", tt.name, err)
			}
			resets.Add(1)
		})
		peers <- peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}
	}
	leech, job := newPeer(t, Config{}), newJob(c.root)
	ctx, cancel := context.WithCancel(testContext(t))
	var last Stats
	ticks := 0
	_, err := leech.Fetch(ctx, job, peers, func(s Stats) {
		last = s
		if int(resets.Load()) >= n {
			if ticks++; ticks > 8 { // long enough for a retry, were it allowed
				cancel()
			}
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v; %d streams of %d, %d resets", err, streams.Load(), n, resets.Load())
	}
	if int(streams.Load()) != n || len(last.Peers) != 0 || last.Have != 0 {
		t.Errorf("%d streams of %d, %+v", streams.Load(), n, last)
	}
}
