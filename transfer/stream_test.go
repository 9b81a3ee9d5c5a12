package transfer

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// streamJob is a content read in order: window leaves ahead of the reader are asked.
type streamJob struct {
	*memJob
	needs  Needs
	window int

	mu    sync.Mutex
	asked int         // leaves below have been asked for
	next  int         // the reader waits for this one
	until int         // the reader stops here, 0: at the end
	early map[int]int // by leaf, how far ahead of the reader it came
	end   func()      // the reader has had enough
}

func newStream(c *content, window int) *streamJob {
	return &streamJob{memJob: newJob(c.root), window: window, early: map[int]int{}}
}

func (j *streamJob) Wanted(int) bool { return false }
func (j *streamJob) Has(int) bool    { return false }

func (j *streamJob) AddNode(b []byte) error {
	err := j.memJob.AddNode(b)
	j.moveOn()
	return err
}

func (j *streamJob) Write(i int, b []byte) error {
	if err := j.memJob.Write(i, b); err != nil {
		return err
	}
	j.mu.Lock()
	j.early[i] = i - j.next
	j.mu.Unlock()
	j.moveOn()
	return nil
}

// moveOn lets the reader take what is here and asks for what it comes near to.
func (j *streamJob) moveOn() {
	known, complete := j.Leaves()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.until > 0 {
		known = min(known, j.until)
		complete = complete || known == j.until
	}
	for j.next < known && j.memJob.Has(j.next) {
		j.next++
	}
	for ; j.asked < min(known, j.next+j.window); j.asked++ {
		j.needs.Add(j.asked)
	}
	if complete && j.next == known {
		j.end()
	}
}

func (j *streamJob) run(t *testing.T, p *testPeer, from ...*testPeer) Stats {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	j.end = cancel
	stats, err := p.Stream(ctx, j, &j.needs, offer(from...), nil)
	if !errors.Is(err, context.Canceled) || j.next < j.until || j.next == 0 {
		t.Fatalf("at leaf %d: %v", j.next, err)
	}
	return stats
}

// What a reader comes to is fetched, from many, never farther ahead than its window.
func TestStream(t *testing.T) {
	c := newContent(1, 16, sizesOf(200, 64<<10)...)
	rows := []struct {
		name  string
		until int
		peers []*content
	}{
		{"one peer", 0, []*content{c}},
		{"three peers", 0, []*content{c, c, c}},
		{"halves", 0, []*content{c.only(func(i int) bool { return i%2 == 0 }), c.only(func(i int) bool { return i%2 == 1 })}},
		{"the beginning", 10, []*content{c, c}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var from []*testPeer
			for _, p := range row.peers {
				from = append(from, newPeer(t, Config{}, p))
			}
			me := newPeer(t, Config{})
			j := newStream(c, 8)
			j.until = row.until
			stats := j.run(t, me, from...)
			want := row.until
			if want == 0 {
				want = len(c.leaves)
			}
			for i := range want {
				if rawCID(j.data[i]) != c.leaves[i].c {
					t.Fatalf("leaf %d differs", i)
				}
			}
			for i, far := range j.early {
				if far >= j.window || i >= want+j.window {
					t.Errorf("leaf %d came %d leaves ahead of the reader", i, far)
				}
			}
			if stats.Bytes > int64(want+j.window)<<16 {
				t.Errorf("%d bytes fetched for %d leaves", stats.Bytes, want)
			}
		})
	}
}

// Peers that stop within a leaf, or send no nodes, do not stop a reader.
func TestStreamStuckPeers(t *testing.T) {
	c := newContent(4, 16, sizesOf(64, 64<<10)...)
	all := func(int) bool { return true }
	stuck, mute := c.only(all), c.only(all)
	hold := make(chan struct{})
	stuck.onRead = func(int) { <-hold }
	mute.noNode = func(int) bool { return true }
	from := []*testPeer{newPeer(t, Config{}, stuck), newPeer(t, Config{}, mute), newPeer(t, Config{}, c)}
	defer close(hold)
	stats := newStream(c, 8).run(t, newPeer(t, Config{}), from...)
	if stats.From[from[0].ID()] > 0 {
		t.Error("what was never sent has come")
	}
}

// A share that is one leaf has no nodes to wait for.
func TestStreamLoneLeaf(t *testing.T) {
	c := newContent(2, 1, 100)
	j := newStream(c, 8)
	j.needs.Add(0)
	j.asked = 1
	j.run(t, newPeer(t, Config{}), newPeer(t, Config{}, c))
}

// A reader's peers are not told that it has what it only read, nor others of it.
func TestStreamTellsNobody(t *testing.T) {
	c := newContent(3, 16, sizesOf(32, 1<<10)...)
	seed, me := newPeer(t, Config{}, c), newPeer(t, Config{})
	mine := c.only(func(int) bool { return false }) // a download of the same root, which has nothing yet
	me.src.put(mine)
	other := newJob(c.root)
	ctx, stop := context.WithCancel(testContext(t))
	done := make(chan error, 1)
	go func() {
		_, err := newPeer(t, Config{}).Fetch(ctx, other, offer(me), nil)
		done <- err
	}()
	newStream(c, 8).run(t, me, seed)
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	mine.mu.Lock()
	defer mine.mu.Unlock()
	if len(mine.reads) != 0 {
		t.Errorf("leaves %v were asked of a reader", mine.reads)
	}
	seed.swarms.mu.Lock()
	defer seed.swarms.mu.Unlock()
	if s := seed.swarms.roots[c.root]; s != nil && (s.moved || len(s.left) > 0) {
		t.Errorf("a reader counts as one who will have it: %+v", s)
	}
}
