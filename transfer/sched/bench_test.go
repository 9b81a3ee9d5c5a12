package sched

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// feeder keeps a queue of requests for each peer and answers them in turn.
type feeder struct {
	s      *State
	now    time.Time
	queues [][]Run
	at     map[peer.ID]int
	ids    []peer.ID
	turn   int
}

func (f *feeder) handle(ev Event) {
	for _, a := range f.s.Handle(f.now, ev) {
		if r, ok := a.(Request); ok {
			f.queues[f.at[r.Peer]] = append(f.queues[f.at[r.Peer]], r.Run)
		}
	}
}

// next delivers one leaf, or lets time pass if nobody owes any.
func (f *feeder) next(size int) bool {
	for range f.queues {
		f.turn = (f.turn + 1) % len(f.queues)
		q := f.queues[f.turn]
		if len(q) == 0 {
			continue
		}
		l := q[0].First
		if q[0].First, q[0].Count = l+1, q[0].Count-1; q[0].Count == 0 {
			copy(q, q[1:])
			f.queues[f.turn] = q[:len(q)-1]
		}
		f.handle(Received{f.ids[f.turn], l, size})
		return true
	}
	f.handle(Tick{})
	return false
}

// newFeeder makes a download of leaves from full and partial peers, of whom
// each has a random half of the runs of 256 leaves.
func newFeeder(leaves int, size uint32, full, partial int) *feeder {
	f := &feeder{s: New(Config{Seed: 1}), now: simEpoch, at: map[peer.ID]int{}}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range full + partial {
		id := peer.ID(fmt.Sprintf("peer%02d", i))
		f.at[id] = i
		f.ids, f.queues = append(f.ids, id), append(f.queues, nil)
		f.handle(Join{id})
		if i < full {
			f.handle(HaveAll{id})
			continue
		}
		bits := make([]byte, leaves/8)
		for j := 0; j < len(bits); j += 32 {
			if rng.IntN(2) == 0 {
				for k := j; k < min(j+32, len(bits)); k++ {
					bits[k] = 0xff
				}
			}
		}
		f.handle(HaveBits{id, 0, bits})
	}
	f.handle(Grow{equalLeaves(leaves, size)})
	f.handle(End{})
	return f
}

// BenchmarkReceived is the cost of one leaf, all of its share of the work that
// it causes included: picking, requests, windows.
func BenchmarkReceived(b *testing.B) {
	for _, bb := range []struct {
		name          string
		size          uint32
		full, partial int
	}{
		{"mixed 50 peers, 4 KiB", 4096, 10, 40},
		{"mixed 50 peers, 1 MiB", 1 << 20, 10, 40},
		{"1 seed, 1 MiB", 1 << 20, 1, 0},
		{"50 seeds, 4 KiB", 4096, 50, 0},
	} {
		b.Run(bb.name, func(b *testing.B) {
			const leaves = 1 << 20
			f := newFeeder(leaves, bb.size, bb.full, bb.partial)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; {
				if f.s.done {
					b.StopTimer()
					f = newFeeder(leaves, bb.size, bb.full, bb.partial)
					b.StartTimer()
				}
				f.now = f.now.Add(10 * time.Microsecond)
				if f.next(int(bb.size)) {
					i++
				}
			}
		})
	}
}

func BenchmarkHave(b *testing.B) {
	const leaves = 1 << 20
	b.Run("one leaf", func(b *testing.B) {
		f := newFeeder(leaves, 1<<20, 10, 40)
		runs := make([]Run, 1)
		b.ReportAllocs()
		for i := range b.N {
			runs[0] = Run{Leaf(i*7919) % leaves, 1}
			f.s.Handle(f.now, HaveRuns{f.ids[10+i%40], runs})
		}
	})
	b.Run("all, 1M leaves", func(b *testing.B) {
		f := newFeeder(leaves, 1<<20, 1, 0)
		for range b.N {
			f.s.Handle(f.now, Join{"x"})
			f.s.Handle(f.now, HaveAll{"x"})
			f.s.Handle(f.now, Leave{"x"})
		}
	})
}

// TestMemory holds the tables to what the package promises.
func TestMemory(t *testing.T) {
	var before, after runtime.MemStats
	infos := equalLeaves(1<<20, 1<<20)
	bits := make([]byte, 1<<17)
	for i := range bits {
		bits[i] = 0x55
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := New(Config{})
	for i := 0; i < len(infos); i += 1024 {
		s.Handle(simEpoch, Grow{infos[i : i+1024]})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	leaves := after.HeapAlloc - before.HeapAlloc
	for i := range 50 {
		id := peer.ID(fmt.Sprint(i))
		s.Handle(simEpoch, Join{id})
		if i%2 == 0 {
			s.Handle(simEpoch, HaveAll{id})
		} else {
			s.Handle(simEpoch, HaveBits{id, 0, bits})
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	peers := after.HeapAlloc - before.HeapAlloc - leaves
	t.Logf("1M leaves: %.1f MiB; 25 full and 25 partial peers: %.1f MiB", float64(leaves)/mib, float64(peers)/mib)
	if leaves > 16*mib || peers > 8*mib {
		t.Error("tables are too large")
	}
	runtime.KeepAlive(s)
	runtime.KeepAlive(infos)
	runtime.KeepAlive(bits)
}
