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
