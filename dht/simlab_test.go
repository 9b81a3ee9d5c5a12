package dht

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	simPeers = flag.String("sim.peers", "", "sizes of the simulated networks, as in 100,300,1000 (default: a small one)")
	simFinds = flag.Int("sim.finds", 0, "finds in each situation (default: 400, and few in a small network)")
	simSeed  = flag.Uint64("sim.seed", 0, "repeat the situation of this seed (default: a new one)")
)

// goals is what a situation asks of its finds.
type goals struct {
	share    float64       // of the finds that succeed
	p50, p99 time.Duration // 0: no goal
}

var (
	atRest  = goals{share: 0.995, p50: time.Second, p99: 5 * time.Second}
	damaged = goals{share: 0.99}
)

// TestSim runs this package in simulated networks: at rest, cut in two and healed, and after 30 % of the peers have left without a
// word. Times are virtual, one packet takes 25 ms one way. The full size, with the table:
//
//	go test ./dht -run 'TestSim$' -v -timeout 2h -sim.peers 100,300,1000
func TestSim(t *testing.T) {
	sizes, finds := []int{24}, 4
	if *simPeers != "" {
		sizes, finds = nil, 400
		for _, s := range strings.Split(*simPeers, ",") {
			n, err := strconv.Atoi(s)
			if err != nil || n < 20 || n > 1<<16 {
				t.Fatalf("-sim.peers %q: want numbers from 20 up, with commas", *simPeers)
			}
			sizes = append(sizes, n)
		}
		defer debug.SetGCPercent(debug.SetGCPercent(400)) // handshakes make much garbage
	}
	if *simFinds > 0 {
		finds = *simFinds
	}
	seed := *simSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	defer func() {
		if t.Failed() {
			t.Logf("repeat this with -sim.seed %d", seed)
		}
	}()
	t.Logf("seed %d", seed)
	t.Logf("%5s  %-22s %6s %7s %7s %7s %7s %5s %5s %6s %9s", "peers", "", "tried", "ok", "p50", "p99", "max", "hops", "p99",
		"asked", "/ log2 n")
	for _, n := range sizes {
		synctest.Test(t, func(t *testing.T) { runSim(t, seed, n, finds) })
	}
}

func runSim(t *testing.T, seed uint64, n, finds int) {
	w := newWorld(t, seed, n)
	defer w.close()
	time.Sleep(time.Second)
	w.acquaint()
	anyone := func(*simPeer, place) bool { return true }

	providers := max(2, min(finds/10, 30))
	places, provided := w.provideAll(w.some(providers), 0)
	report(t, n, "provide", provided, goals{share: 1})
	held := 0
	for _, p := range places {
		held += w.holders(p)
	}
	t.Logf("%5d  each record is held by %.1f others", n, float64(held)/float64(len(places)))
	report(t, n, "find", w.findMany(finds, places, anyone), atRest)

	// Odd numbers on one side, even ones on the other.
	w.lose(func(from, to int) bool { return from%2 != to%2 })
	together := func(from *simPeer, p place) bool { return from.num%2 == p.by.num%2 }
	apart := func(from *simPeer, p place) bool { return !together(from, p) }
	report(t, n, "find, cut in two", w.findMany(finds/2, places, together), damaged)
	news, provided := w.provideAll(w.some(providers/2), 1000)
	report(t, n, "provide, cut in two", provided, goals{share: 1})
	w.lose(nil)
	report(t, n, "find across, healed", w.findMany(finds/2, news, apart), damaged)

	gone := w.leavers(n*3/10, append(places, news...))
	w.lose(func(from, to int) bool { return gone[from] || gone[to] })
	left := func(from *simPeer, _ place) bool { return !gone[from.num] }
	report(t, n, "find, 30 % have left", w.findMany(finds, append(places, news...), left), damaged)
}

// some are n peers chosen at random.
func (w *world) some(n int) []*simPeer {
	out := make([]*simPeer, 0, n)
	for _, i := range w.rand.Perm(len(w.peers))[:n] {
		out = append(out, w.peers[i])
	}
	return out
}

// leavers are n peers chosen at random, by number, of those that provide none of the places.
func (w *world) leavers(n int, places []place) map[int]bool {
	gone := map[int]bool{}
	for _, p := range w.some(len(w.peers)) {
		if len(gone) < n && !slices.ContainsFunc(places, func(pl place) bool { return pl.by == p }) {
			gone[p.num] = true
		}
	}
	return gone
}

// report prints a row of the table and judges it.
func report(t *testing.T, n int, what string, trials []trial, want goals) {
	t.Helper()
	took := func(t trial) time.Duration { return t.took }
	asked := 0
	for _, t := range trials {
		asked += t.asked
	}
	mean := float64(asked) / float64(len(trials))
	share := float64(succeeded(trials)) / float64(len(trials))
	p50, p99 := quantile(trials, 0.5, took), quantile(trials, 0.99, took)
	hops := func(t trial) int { return t.hops }
	t.Logf("%5d  %-22s %6d %6.1f%% %7s %7s %7s %5d %5d %6.1f %9.2f", n, what, len(trials), 100*share,
		secs(p50), secs(p99), secs(quantile(trials, 1, took)), quantile(trials, 0.5, hops), quantile(trials, 0.99, hops),
		mean, mean/math.Log2(float64(n)))
	if share < want.share {
		t.Errorf("%d peers, %s: %.2f %% succeeded, want %.2f", n, what, 100*share, 100*want.share)
	}
	if want.p50 > 0 && p50 >= want.p50 || want.p99 > 0 && p99 >= want.p99 {
		t.Errorf("%d peers, %s: p50 %v and p99 %v, want less than %v and %v", n, what, p50, p99, want.p50, want.p99)
	}
}

func secs(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// TestSimReunion cuts a network in two for so long that each part forgets the other, and heals it: with nobody to tell them, they find
// together again. Each part is large enough that nobody in it needs more peers.
func TestSimReunion(t *testing.T) {
	seed := *simSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	defer func() {
		if t.Failed() {
			t.Logf("repeat this with -sim.seed %d", seed)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed, 2*(enoughPeers+2))
		defer w.close()
		time.Sleep(time.Second)
		w.acquaint()
		time.Sleep(15 * time.Minute) // a refresh connects everybody; known peers are saved
		w.lose(func(from, to int) bool { return from%2 != to%2 })
		time.Sleep(40 * time.Minute)
		for _, p := range w.peers {
			if n := p.Size(); n > len(w.peers)/2 {
				t.Fatalf("peer %d still has %d in its table", p.num, n)
			}
		}
		what := place{root(1), w.peers[0]}
		must(t, what.by.Provide(context.Background(), what.c))
		w.lose(nil)
		begin := time.Now()
		for !w.find(w.peers[1], what).ok {
			if time.Since(begin) > 4*lostPause {
				t.Fatalf("not found across %v after it healed", time.Since(begin))
			}
		}
		t.Logf("found across %v after it healed", time.Since(begin))
	})
}
