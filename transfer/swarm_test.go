package transfer

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// The seed gives each leaf away once, and the fetchers know of the seed only: they
// can finish only if they are told of each other and trade while they fetch.
func TestFetchersTrade(t *testing.T) {
	c := newContent(10, 16, sizesOf(64, 100_000)...)
	c.once = true
	seed := newPeer(t, Config{}, c)
	const n = 4
	var jobs [n]*memJob
	var stats [n]Stats
	var leeches [n]*testPeer
	var wg sync.WaitGroup
	for i := range n {
		leeches[i], jobs[i] = newPeer(t, Config{}), newJob(c.root)
	}
	for i := range n {
		wg.Go(func() { stats[i] = leeches[i].get(t, jobs[i], seed) })
	}
	wg.Wait()
	fromSeed := int64(0)
	for i := range n {
		check(t, jobs[i], c)
		fromSeed += stats[i].From[seed.ID()]
	}
	if want := int64(64 * 100_000); fromSeed > want {
		t.Errorf("seed sent %d bytes, want at most %d", fromSeed, want)
	}
}

// Each of four seeds waits with its first leaf until all four have been asked.
func TestAllSourcesAreUsed(t *testing.T) {
	c := newContent(11, 16, sizesOf(64, 1<<20)...)
	var seeds []*testPeer
	var asked sync.WaitGroup
	asked.Add(4)
	for range 4 {
		share := c.only(func(int) bool { return true })
		share.onRead = func() func(int) {
			first := sync.OnceFunc(asked.Done)
			return func(int) { first(); asked.Wait() }
		}()
		seeds = append(seeds, newPeer(t, Config{}, share))
	}
	leech, job := newPeer(t, Config{}), newJob(c.root)
	stats := leech.get(t, job, seeds...)
	check(t, job, c)
	for i, s := range seeds {
		if stats.From[s.ID()] == 0 {
			t.Errorf("nothing from seed %d", i)
		}
	}
}

func TestPartialPeersTogether(t *testing.T) {
	c := newContent(12, 16, sizesOf(60, 50_000)...)
	var peers []*testPeer
	for k := range 3 {
		peers = append(peers, newPeer(t, Config{}, c.only(func(i int) bool { return i%3 == k })))
	}
	leech, job := newPeer(t, Config{}), newJob(c.root)
	stats := leech.get(t, job, peers...)
	check(t, job, c)
	for _, p := range peers {
		if stats.From[p.ID()] != 20*50_000 {
			t.Errorf("%d bytes from %v", stats.From[p.ID()], p.ID())
		}
	}
	if stats.Duplicate != 0 {
		t.Errorf("%d bytes twice", stats.Duplicate)
	}
}

func TestSelectedLeavesOnly(t *testing.T) {
	c := newContent(13, 16, sizesOf(50, 10_000)...)
	seed, leech, job := newPeer(t, Config{}, c), newPeer(t, Config{}), newJob(c.root)
	job.want = func(i int) bool { return i%5 == 2 }
	stats := leech.get(t, job, seed)
	check(t, job, c)
	if stats.Leaves != 10 || stats.Total != 100_000 || stats.Bytes != 100_000 {
		t.Errorf("%+v", stats)
	}
	for i := range c.leaves {
		if (c.reads[i] > 0) != (i%5 == 2) {
			t.Errorf("leaf %d was read %d times", i, c.reads[i])
		}
	}
}

// Leaves that turn up by themselves, as repeats and copies from other shares do,
// are not fetched.
func TestLeavesThatAppear(t *testing.T) {
	c := newContent(14, 16, sizesOf(40, 10_000)...)
	seed := newPeer(t, Config{}, c.only(func(i int) bool { return i < 20 }))
	leech, job := newPeer(t, Config{}), newJob(c.root)
	job.onWrite = func(i int) error {
		job.mu.Lock()
		defer job.mu.Unlock()
		job.data[i+20] = c.data[i+20] // nobody else has it
		return nil
	}
	stats := leech.get(t, job, seed)
	check(t, job, c)
	if stats.Bytes != 200_000 || stats.Have != 40 || stats.Missing != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestSeederLeaves(t *testing.T) {
	c := newContent(15, 16, sizesOf(48, 1<<20)...)
	first := c.only(func(int) bool { return true })
	seed1, seed2 := newPeer(t, Config{}, first), newPeer(t, Config{}, c)
	left := make(chan struct{})
	var reads atomic.Int32
	first.onRead = func(int) {
		if reads.Add(1) == 10 {
			go func() {
				_ = seed1.Close()
				close(left)
			}()
		}
	}
	peers := make(chan peer.AddrInfo, 2)
	peers <- seed1.info()
	go func() {
		<-left
		peers <- seed2.info()
		close(peers)
	}()
	leech, job := newPeer(t, Config{}), newJob(c.root)
	leech.src.put(job.content)
	stats, err := leech.Fetch(testContext(t), job, peers, nil)
	if err != nil {
		t.Fatal(err)
	}
	check(t, job, c)
	if stats.From[seed1.ID()]+stats.From[seed2.ID()] != 48<<20 || stats.From[seed2.ID()] < 38<<20 {
		t.Errorf("from %v", stats.From)
	}
}

func TestCorruptingPeerIsDropped(t *testing.T) {
	c := newContent(16, 16, sizesOf(32, 100_000)...)
	bad := c.only(func(int) bool { return true })
	for i := 3; i < 32; i++ {
		bad.data[i] = append([]byte{^bad.data[i][0]}, bad.data[i][1:]...)
	}
	villain, seed := newPeer(t, Config{}, bad), newPeer(t, Config{}, c)
	peers := make(chan peer.AddrInfo, 2)
	peers <- villain.info()
	bad.onRead = func() func(int) {
		once := sync.OnceFunc(func() { peers <- seed.info() })
		return func(int) { once() }
	}()
	leech, job := newPeer(t, Config{}), newJob(c.root)
	leech.src.put(job.content)
	stats, err := leech.Fetch(testContext(t), job, peers, nil)
	if err != nil {
		t.Fatal(err)
	}
	check(t, job, c)
	if stats.From[villain.ID()] > 300_000 || stats.Corrupt < 1 || stats.Corrupt > 100_000 {
		t.Errorf("%+v", stats)
	}
	for _, p := range stats.Peers {
		if p.ID == villain.ID() {
			t.Error("villain is still in use")
		}
	}
}

func TestChangedFile(t *testing.T) {
	c := newContent(17, 16, sizesOf(40, 10_000)...)
	changed := c.only(func(int) bool { return true })
	changed.changed[7], changed.changed[8], changed.changed[30] = true, true, true
	a, b := newPeer(t, Config{}, changed), newPeer(t, Config{}, c.only(func(i int) bool { return i < 10 || i == 30 }))
	leech, job := newPeer(t, Config{}), newJob(c.root)
	stats := leech.get(t, job, a, b)
	check(t, job, c)
	if stats.From[b.ID()] < 30_000 {
		t.Errorf("%+v", stats)
	}
}

func TestWriteError(t *testing.T) {
	c := newContent(18, 16, sizesOf(40, 10_000)...)
	seed, leech, job := newPeer(t, Config{}, c), newPeer(t, Config{}), newJob(c.root)
	full := errors.New("disk full")
	job.onWrite = func(i int) error {
		if i >= 9 {
			return full
		}
		return nil
	}
	stats, err := leech.Fetch(testContext(t), job, offer(seed), nil)
	if !errors.Is(err, full) || strings.Count(err.Error(), full.Error()) != 1 { // said once, not once a chunk
		t.Fatalf("%v, %+v", err, stats)
	}
	job.onWrite = nil
	leech.get(t, job, seed)
	check(t, job, c)
}

// Two peers fetch from each other at once, over the stream that one has opened.
func TestBothDirectionsOnOneStream(t *testing.T) {
	x, y := newContent(19, 16, sizesOf(40, 1<<20)...), newContent(20, 16, sizesOf(40, 1<<20)...)
	a, b := newPeer(t, Config{}, x), newPeer(t, Config{}, y)
	jobY, jobX := newJob(y.root), newJob(x.root)
	begun, done := make(chan struct{}), make(chan struct{})
	jobY.onWrite = func() func(int) error {
		once := sync.OnceFunc(func() { close(begun) })
		return func(i int) error {
			once()
			if i == 39 {
				<-done // a is not done before b is
			}
			return nil
		}
	}()
	var wg sync.WaitGroup
	wg.Go(func() { a.get(t, jobY, b) })
	<-begun
	b.get(t, jobX, a)
	b.mu.Lock()
	if n := len(b.conns[a.ID()]); n != 1 {
		t.Errorf("%d streams", n)
	}
	b.mu.Unlock()
	close(done)
	wg.Wait()
	check(t, jobY, y)
	check(t, jobX, x)
}

// A fetcher gets nodes and leaves from another one that has not all nodes itself.
func TestNodesFromFetcher(t *testing.T) {
	c := newContent(21, 8, sizesOf(32, 20_000)...)
	var released atomic.Bool
	c.noNode = func(i int) bool { return i >= 2 && !released.Load() }
	seed, a, b := newPeer(t, Config{}, c), newPeer(t, Config{}), newPeer(t, Config{})
	jobA, jobB := newJob(c.root), newJob(c.root)
	begun := make(chan struct{})
	jobA.onWrite = func() func(int) error {
		once := sync.OnceFunc(func() { close(begun) })
		return func(int) error { once(); return nil }
	}()
	jobB.onWrite = func(int) error { released.Store(true); return nil }
	var wg sync.WaitGroup
	wg.Go(func() { a.get(t, jobA, seed) })
	<-begun
	b.get(t, jobB, a)
	wg.Wait()
	check(t, jobA, c)
	check(t, jobB, c)
}

// Many roots at once between the same two peers.
func TestManyRoots(t *testing.T) {
	seed, leech := newPeer(t, Config{}), newPeer(t, Config{})
	var wg sync.WaitGroup
	for i := range 30 {
		c := newContent(uint64(100+i), 4, sizesOf(1+i%7, 30_000)...)
		seed.src.put(c)
		wg.Go(func() {
			job := newJob(c.root)
			leech.get(t, job, seed)
			check(t, job, c)
		})
	}
	wg.Wait()
}

func TestFetchBlock(t *testing.T) {
	c := newContent(22, 16, sizesOf(20, 100_000)...)
	other, seed, leech := newPeer(t, Config{}), newPeer(t, Config{}, c), newPeer(t, Config{})
	for _, want := range [][]byte{c.nodes[0], c.nodes[1], c.data[11]} {
		k := rawCID(want)
		if want[0] == 'R' || want[0] == 'S' && len(want) < 1000 {
			k = sumCID(0x70, want)
		}
		got, err := leech.FetchBlock(testContext(t), k, offer(other, seed))
		if err != nil || string(got) != string(want) {
			t.Errorf("%v: %d bytes, %v", k, len(got), err)
		}
	}
	peers := make(chan peer.AddrInfo, 2)
	peers <- other.info()
	peers <- seed.info()
	close(peers)
	if _, err := leech.FetchBlock(testContext(t), rawCID([]byte("nobody has it")), peers); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := leech.FetchBlock(ctx, c.root, offer()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestNobodyHasIt(t *testing.T) {
	other, leech := newPeer(t, Config{}), newPeer(t, Config{})
	job := newJob(rawCID([]byte("nobody has it")))
	ctx, cancel := context.WithCancel(testContext(t))
	seen := make(chan Stats, 100)
	go func() {
		for s := range seen {
			if len(s.Peers) == 0 && s.Candidates == 1 { // asked, and refused
				cancel()
			}
		}
	}()
	_, err := leech.Fetch(ctx, job, offer(other), func(s Stats) {
		select {
		case seen <- s:
		default:
		}
	})
	close(seen)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// When its engine is closed, a fetch ends, and nothing of either stays behind.
func TestNothingIsLeftBehind(t *testing.T) {
	c := newContent(23, 16, sizesOf(64, 1<<20)...)
	seed, leech, job := newPeer(t, Config{}, c), newPeer(t, Config{}), newJob(c.root)
	job.onWrite = func(i int) error {
		if i == 20 {
			go leech.Engine.Close()
		}
		return nil
	}
	if _, err := leech.Fetch(testContext(t), job, offer(seed), nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	for _, p := range []*testPeer{leech, seed} {
		_ = p.Engine.Close()
		if len(p.conns)+len(p.opening) > 0 {
			t.Errorf("left: %v %v", p.conns, p.opening)
		}
		for _, s := range p.swarms.roots {
			if len(s.members)+len(s.sessions) > 0 {
				t.Errorf("left: %+v", s)
			}
		}
	}
	buf := make([]byte, 1<<20)
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		for _, part := range []string{"transfer.(*conn)", "transfer.(*session)", "transfer.(*server)"} {
			if strings.Contains(g, part) {
				t.Errorf("goroutine is left:\n%s", g)
			}
		}
	}
}

// A leaf that only one peer has, and that it could not read for a while, is asked
// of it again.
func TestReadErrorThatPasses(t *testing.T) {
	c := newContent(36, 16, sizesOf(8, 10_000)...)
	var tries atomic.Int32
	c.onRead = func(i int) {
		if i == 5 {
			bad := tries.Add(1) == 1
			c.mu.Lock()
			c.changed[5] = bad
			c.mu.Unlock()
		}
	}
	seed, leech, job := newPeer(t, Config{}, c), newPeer(t, Config{GoneTimeout: 200 * time.Millisecond}), newJob(c.root)
	leech.get(t, job, seed)
	check(t, job, c)
}

// Peers that have nothing do not hold the places of those who do.
func TestUselessPeersMakeRoom(t *testing.T) {
	c := newContent(37, 16, sizesOf(8, 10_000)...)
	nothing := func(int) bool { return false }
	idle1, idle2 := newPeer(t, Config{}, c.only(nothing)), newPeer(t, Config{}, c.only(nothing))
	seed := newPeer(t, Config{}, c)
	leech, job := newPeer(t, Config{MaxPeers: 2, SlotTimeout: 200 * time.Millisecond}), newJob(c.root)
	leech.get(t, job, idle1, idle2, seed)
	check(t, job, c)
}
