package sched

import (
	"testing"
	"time"
)

// simReader takes a fetcher's leaves in order, at once when they are here, and has
// the leaves of a window before it needed.
type simReader struct {
	n      *simNode
	next   int           // leaf it waits for
	asked  int           // leaves below are needed
	window int           // leaves
	since  time.Duration // it has waited for next
	wait   time.Duration // the longest it did, the first leaf aside
	end    time.Duration // it had all
}

// stream lets a reader start at a leaf of the fetcher's and run to the end.
func (s *sim) stream(f *simNode, from, window int, limit time.Duration) *simReader {
	s.t.Helper()
	r := &simReader{n: f, next: from, asked: from, window: window}
	f.moveOn = r.moveOn
	for _, m := range s.nodes {
		if m != f {
			f.meet(m)
		}
	}
	infos := append([]LeafInfo(nil), s.infos...)
	for i := range infos {
		infos[i].Need = false
	}
	f.handle(Grow{infos})
	f.handle(End{})
	r.moveOn()
	s.tick(f)
	for r.next < len(s.infos) {
		if len(s.events) == 0 || s.now > limit {
			s.t.Fatalf("at leaf %d after %v: %+v", r.next, s.now, f.st.AppendPeers(nil))
		}
		s.step()
	}
	f.doneAt, r.end = s.now, s.now
	return r
}

func (r *simReader) moveOn() {
	s := r.n.sim
	for r.next < len(s.infos) && r.n.has[r.next] {
		if r.n.firstLeaf != s.now {
			r.wait = max(r.wait, s.now-r.since)
		}
		r.next, r.since = r.next+1, s.now
	}
	if end := min(r.next+r.window, len(s.infos)); end > r.asked {
		first := r.asked
		r.asked = end
		r.n.handle(Need{[]Run{{Leaf(first), uint32(end - first)}}})
	}
}

// A reader sees its first leaf as soon as one peer can bring it, then all of them at
// work, and no slow or silent one for long.
func TestReader(t *testing.T) {
	type node struct {
		up     float64
		lat    time.Duration
		silent time.Duration // from then on, 0: never
		has    func(int) bool
	}
	fast, far := node{up: 10e6, lat: 5 * ms}, node{up: 10e6, lat: 50 * ms}
	slow, lame := node{up: 1e6, lat: 5 * ms}, node{up: 0.25e6, lat: 5 * ms}
	odd := node{up: 10e6, lat: 5 * ms, has: func(i int) bool { return i%2 == 1 }}
	even := node{up: 10e6, lat: 5 * ms, has: func(i int) bool { return i%2 == 0 }}
	dead, dies := node{up: 10e6, lat: 5 * ms, silent: 1}, node{up: 10e6, lat: 5 * ms, silent: 2 * time.Second}
	rows := []struct {
		name  string
		peers []node
		down  float64
		rate  float64       // B/s that can be had
		first time.Duration // the first leaf, at most
		wait  time.Duration // for any other, at most
	}{
		{"one", []node{fast}, 1e12, 10e6, 130 * ms, 150 * ms},
		{"one far away", []node{far}, 1e12, 10e6, 310 * ms, 150 * ms},
		{"four", []node{fast, fast, fast, fast}, 1e12, 40e6, 130 * ms, 150 * ms},
		{"sixteen over a narrow line", repeat(fast, 16), 5e6, 5e6, 260 * ms, 4 * time.Second},
		{"a slow one among fast ones", []node{fast, slow, fast}, 1e12, 20e6, 130 * ms, 900 * ms},
		{"a slow one first", []node{slow, fast, fast}, 1e12, 20e6, 450 * ms, 600 * ms},
		{"a lame one first", []node{lame, fast}, 1e12, 10e6, 450 * ms, 600 * ms},
		{"only slow ones", repeat(slow, 4), 1e12, 4e6, 1200 * ms, 1100 * ms},
		{"a dead one first", []node{dead, fast}, 1e12, 9e6, 450 * ms, 1200 * ms},
		{"one dies", []node{fast, dies, fast}, 1e12, 19e6, 130 * ms, 700 * ms},
		{"halves", []node{odd, even}, 1e12, 20e6, 130 * ms, 200 * ms},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := newSim(t, equalLeaves(256, mib))
			s.ticks, s.progress = 100*ms, true
			f := s.fetcher(1e12, row.down, 0, Config{InOrder: true, Stall: time.Second})
			for _, p := range row.peers {
				n := s.add(p.up, 1e12, p.lat, p.has)
				if p.silent > 0 {
					n.silent = p.silent
				}
			}
			r := s.stream(f, 0, 32, 10*time.Minute)
			t.Logf("first leaf after %v, longest wait %v, end after %v, %d copies", f.firstLeaf, r.wait, r.end, f.copies/mib)
			if f.firstLeaf > row.first {
				t.Errorf("first leaf after %v, want %v", f.firstLeaf, row.first)
			}
			if r.wait > row.wait {
				t.Errorf("waited %v for a leaf, want %v", r.wait, row.wait)
			}
			if ideal := seconds(float64(s.totalBytes()) / row.rate); r.end > ideal*5/4 {
				t.Errorf("end after %v, ideal %v", r.end, ideal)
			}
			if f.copies > s.totalBytes()/10 {
				t.Errorf("%d MiB came twice", f.copies/mib)
			}
		})
	}
}

func repeat[T any](v T, n int) []T {
	all := make([]T, n)
	for i := range all {
		all[i] = v
	}
	return all
}

// What no reader has come near is not asked for, and a reader may start anywhere.
func TestNeedBounds(t *testing.T) {
	s := New(Config{InOrder: true, MinWindow: 64 * mib, MaxWindow: 64 * mib})
	infos := equalLeaves(100, mib)
	for i := range infos {
		infos[i].Need = false
	}
	for _, ev := range []Event{Grow{infos}, Join{"a"}, HaveAll{"a"}} {
		if got := s.Handle(simEpoch, ev); len(got) != 0 {
			t.Fatalf("%T: %v, want nothing", ev, got)
		}
	}
	got := s.Handle(simEpoch, Need{[]Run{{50, 4}, {98, 10}, {1 << 31, 1 << 31}}})
	want := []Action{Request{"a", Run{50, 4}}, Request{"a", Run{98, 2}}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%v, want %v", got, want)
	}
	if got := s.Handle(simEpoch, Need{[]Run{{49, 3}}}); len(got) != 1 || got[0] != (Request{"a", Run{49, 1}}) {
		t.Errorf("one more: %v", got)
	}
}
