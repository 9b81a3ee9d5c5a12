package transfer

import (
	"slices"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/transfer/wire"
)

// subscribed is a raw requester that has said hello and wants c.
func subscribed(t *testing.T, to *testPeer, c *content) *rawPeer {
	p := dialRaw(t, to)
	p.send(hello, wire.Want{Handle: 1, Root: c.root})
	if _, ok := until[wire.HaveAll](p); !ok {
		t.Fatal("no have-map")
	}
	return p
}

func ask(p *rawPeer, first, count uint32) {
	p.send(wire.Request{Handle: 1, Runs: []wire.Run{{First: first, Count: count}}})
}

func wantData(t *testing.T, p *rawPeer, leaf uint32) {
	t.Helper()
	if m, ok := until[wire.Data](p); !ok || m.Leaf != leaf {
		t.Fatalf("leaf %d came, want %d", m.Leaf, leaf)
	}
}

// elsewhere reads on until so many leaves are said to be with others.
func elsewhere(t *testing.T, p *rawPeer, n uint32) (runs []wire.Run) {
	t.Helper()
	for n > 0 {
		m, ok := until[wire.Gone](p)
		if !ok || m.Code != wire.CodeElsewhere {
			t.Fatalf("gone: %+v", m)
		}
		for _, r := range m.Runs {
			runs, n = append(runs, r), n-r.Count
		}
	}
	return runs
}

// A seed gives each leaf to one requester, tells the others, and begins anew when
// nobody asks for more.
func TestLeavesAreDealt(t *testing.T) {
	c := newContent(61, 8, sizesOf(16, 100_000)...)
	seed := newPeer(t, Config{}, c)
	a := subscribed(t, seed, c)
	ask(a, 0, 1) // alone: nobody is told, but those who come later
	wantData(t, a, 0)
	b := subscribed(t, seed, c)
	if got := elsewhere(t, b, 1); !slices.Equal(got, []wire.Run{{First: 0, Count: 1}}) {
		t.Errorf("the second is told of %v", got)
	}
	for _, p := range []*rawPeer{a, b} { // a round is over when nobody asks
		if _, ok := until[wire.HaveAll](p); !ok {
			t.Fatal("no second round")
		}
	}
	ask(a, 3, 2)
	wantData(t, a, 3)
	wantData(t, a, 4)
	if got := elsewhere(t, b, 2); !slices.Equal(got, []wire.Run{{First: 3, Count: 2}}) {
		t.Errorf("the second is told of %v", got)
	}
	if _, ok := until[wire.HaveAll](b); !ok {
		t.Fatal("no third round")
	}
	ask(b, 3, 1)
	wantData(t, b, 3)
}

func TestDealtLeavesComeBack(t *testing.T) {
	c := newContent(62, 8, sizesOf(16, 100_000)...)
	seed := newPeer(t, Config{}, c)
	a, b := subscribed(t, seed, c), subscribed(t, seed, c)
	ask(a, 7, 1)
	wantData(t, a, 7)
	elsewhere(t, b, 1)
	a.send(wire.Unwant{Handle: 1})
	for {
		switch m := b.next().(type) {
		case wire.HaveRuns:
			if !slices.Equal(m.Runs, []wire.Run{{First: 7, Count: 1}}) {
				t.Errorf("back came %v", m.Runs)
			}
			return
		case wire.HaveAll: // the round was over before
			return
		case nil:
			t.Fatal("the leaf did not come back")
		}
	}
}

// What several fetchers get of a seed is little more than one copy.
func TestCrowdTrades(t *testing.T) {
	c := newContent(63, 16, sizesOf(96, 256<<10)...)
	seed := newPeer(t, Config{}, c)
	const n = 4
	var jobs [n]*memJob
	var stats [n]Stats
	var wg sync.WaitGroup
	for i := range n {
		jobs[i] = newJob(c.root)
		leech := newPeer(t, Config{})
		wg.Go(func() { stats[i] = leech.get(t, jobs[i], seed) })
	}
	wg.Wait()
	var fromSeed int64
	for i := range n {
		check(t, jobs[i], c)
		fromSeed += stats[i].From[seed.ID()]
	}
	if most := int64(96*256<<10) * 2; fromSeed > most {
		t.Errorf("the seed sent %d bytes, want at most %d", fromSeed, most)
	}
	t.Logf("the seed sent %.2f copies to %d fetchers", float64(fromSeed)/(96*256<<10), n)
}

// A requester tells what has got through when it is asked, and not otherwise.
func TestPace(t *testing.T) {
	c := newContent(64, 8, sizesOf(8, 200_000)...)
	leech, job := newPeer(t, Config{}), newJob(c.root)
	rawHost := newHost(t)
	got := make(chan []uint64, 1)
	rawHost.SetStreamHandler(wire.ID, rawServe(t, c, got))
	leech.get(t, job, &testPeer{Host: rawHost})
	check(t, job, c)
	_ = leech.Close()
	totals := <-got
	if len(totals) < 2 || totals[0] != 200_000 {
		t.Fatalf("totals %v, want one at once and then more", totals)
	}
	if !slices.IsSorted(totals) || totals[len(totals)-1] > 1_600_000 {
		t.Errorf("totals %v", totals)
	}
}

// A leaf that its sender ends before it is whole is asked of another peer, and not waited for until it is taken back.
func TestBrokenLeafIsAskedElsewhere(t *testing.T) {
	c := newContent(66, 8, sizesOf(3, 700_000)...)
	h := newHost(t)
	broken := make(chan struct{})
	h.SetStreamHandler(wire.ID, func(s network.Stream) {
		p := newRaw(t, s)
		breakOff := func(r wire.Request) {
			for _, run := range r.Runs {
				for l := run.First; l < run.First+run.Count; l++ {
					p.send(wire.Begin{Handle: r.Handle, Leaf: l, Size: 700_000}, wire.Part{Payload: c.data[l][:99_999]}, wire.Part{})
				}
			}
		}
		breakOff(p.start(c))
		close(broken)
		for m := p.next(); m != nil; m = p.next() {
			switch m := m.(type) {
			case wire.Request:
				breakOff(m)
			case wire.Cancel:
				t.Errorf("%v is taken back: it was waited for", m.Runs)
			}
		}
	})
	leech, job, seed := newPeer(t, Config{}), newJob(c.root), newPeer(t, Config{}, c)
	found := make(chan peer.AddrInfo, 2)
	found <- peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}
	go func() {
		<-broken
		found <- peer.AddrInfo{ID: seed.ID(), Addrs: seed.Addrs()}
	}()
	if _, err := leech.Fetch(t.Context(), job, found, nil); err != nil {
		t.Fatal(err)
	}
	check(t, job, c)
}

// Other messages come between the parts of a leaf, which is thrown away if it is not
// wanted any more.
func TestParts(t *testing.T) {
	c := newContent(65, 8, sizesOf(3, 700_000)...)
	h := newHost(t)
	h.SetStreamHandler(wire.ID, func(s network.Stream) {
		p := newRaw(t, s)
		r := p.start(c)
		for ok := true; ok; r, ok = until[wire.Request](p) {
			for _, run := range r.Runs {
				for l := run.First; l < run.First+run.Count; l++ {
					p.send(wire.Begin{Handle: r.Handle, Leaf: l, Size: 700_000})
					for part := range slices.Chunk(c.data[l], 99_999) {
						p.send(wire.Part{Payload: part}, wire.HaveAll{Handle: r.Handle})
					}
				}
			}
		}
	})
	leech, job := newPeer(t, Config{}), newJob(c.root)
	leech.get(t, job, &testPeer{Host: h})
	check(t, job, c)
}

// A subscription that ends within a leaf gets no more of it, and others of the conn do.
func TestPartsBreakOff(t *testing.T) {
	a, b, x := newContent(66, 8, sizesOf(4, 1<<20)...), newContent(67, 8, sizesOf(4, 1<<20)...), newContent(68, 8, sizesOf(4, 1<<20)...)
	seed := newPeer(t, Config{}, a, b, x)
	p := dialRaw(t, seed)
	p.send(hello, wire.Want{Handle: 1, Root: a.root}, wire.Want{Handle: 2, Root: b.root})
	other := subscribed(t, seed, x) // with another peer there, what is sent is paced
	ask(p, 0, 1)
	for paced := false; !paced; {
		switch m := p.next().(type) {
		case wire.Pace:
			p.send(wire.Got{})
			paced = m.Every > 0
		case wire.Data:
			ask(other, 0, 1)
			if _, ok := until[wire.Data](other); !ok {
				t.Fatal("nothing for the other")
			}
			ask(p, 0, 1)
		case nil:
			t.Fatal("no pace")
		}
	}
	ask(p, 0, 4)
	begun, total, broken := false, 0, false
	for !broken {
		switch m := p.next().(type) {
		case wire.Begin:
			begun = true
		case wire.Part:
			if total += len(m.Payload); len(m.Payload) == 0 {
				broken = true
			}
			p.send(wire.Unwant{Handle: 1})
		case wire.Pace: // the other has asked for nothing for a while
			ask(other, 0, 1)
			p.send(wire.Got{})
		case wire.Data:
			ask(p, 0, 4)
		case nil:
			t.Fatalf("the stream ended; begun %v, %d bytes in parts", begun, total)
		}
	}
	p.send(wire.Request{Handle: 2, Runs: []wire.Run{{First: 1, Count: 1}}})
	for {
		switch m := p.next().(type) {
		case wire.Begin:
			if m.Handle == 2 && m.Leaf == 1 {
				return
			}
		case wire.Data:
			if m.Handle == 2 && m.Leaf == 1 {
				return
			}
		case nil:
			t.Fatal("nothing of the other root")
		}
	}
}

// rawServe serves c, and asks for Got messages after the first leaf. What they said
// is sent when the stream has ended.
func rawServe(t *testing.T, c *content, got chan<- []uint64) network.StreamHandler {
	return func(s network.Stream) {
		p := newRaw(t, s)
		var totals []uint64
		defer func() { got <- totals }()
		first := true
		data := func(m wire.Request) {
			for _, r := range m.Runs {
				for l := r.First; l < r.First+r.Count; l++ {
					p.send(wire.Data{Handle: m.Handle, Leaf: l, Payload: c.data[l]})
					if first {
						first = false
						p.send(wire.Pace{Every: 1}) // less than it need heed
					}
				}
			}
		}
		data(p.start(c))
		for {
			switch m := p.next().(type) {
			case wire.Request:
				data(m)
			case wire.Got:
				totals = append(totals, m.Total)
			case nil:
				return
			}
		}
	}
}

// What has been dealt is told before it is offered again, even if the writer has to
// wait meanwhile: else it would never be.
func TestRoundEndsWhileOneJoins(t *testing.T) {
	c := newContent(65, 8, sizesOf(4, 10_000)...)
	seed := newPeer(t, Config{}, c)
	a := subscribed(t, seed, c)
	ask(a, 0, 1)
	wantData(t, a, 0)
	seed.SetLimits(Limits{Up: 100}) // the answer to the want has to wait
	b := subscribed(t, seed, c)
	elsewhere(t, b, 1)
	if _, ok := until[wire.HaveAll](b); !ok {
		t.Fatal("the leaf is not offered again")
	}
}
