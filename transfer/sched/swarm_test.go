package sched

import (
	"testing"
	"time"
)

const (
	mib = 1 << 20
	ms  = time.Millisecond
)

func within(t *testing.T, what string, got, ideal time.Duration, part float64) {
	t.Helper()
	t.Logf("%s: %.2f s, ideal %.2f s, %.3f of it", what, got.Seconds(), ideal.Seconds(), got.Seconds()/ideal.Seconds())
	if got.Seconds() > ideal.Seconds()*(1+part) {
		t.Errorf("%s: over by more than %.0f %%", what, part*100)
	}
}

// fewCopies checks that at most 1 % of the bytes came twice, or one leaf.
func fewCopies(t *testing.T, n *simNode) {
	t.Helper()
	total := n.sim.totalBytes()
	if n.copies > 0 {
		t.Logf("%s: %d bytes twice, %.2f %%", n.id, n.copies, float64(n.copies)*100/float64(total))
	}
	if n.copies*100 > max(total, 100*int64(n.sim.infos[0].Size)) {
		t.Errorf("%s: duplicates over 1 %%", n.id)
	}
}

func TestSeedsAddUp(t *testing.T) {
	tests := []struct {
		name  string
		rates []float64 // B/s
		lat   time.Duration
		size  uint32
		n     int
	}{
		{"four equal", []float64{10e6, 10e6, 10e6, 10e6}, 5 * ms, mib, 256},
		{"eight mixed", []float64{20e6, 10e6, 10e6, 5e6, 5e6, 2e6, 1e6, 1e6}, 10 * ms, mib, 512},
		{"one alone, 200 ms", []float64{12.5e6}, 100 * ms, mib, 256},
		{"two far, one near", []float64{30e6, 10e6, 10e6}, 50 * ms, mib, 512},
		{"loopback, 1 GB/s", []float64{1e9, 1e9}, 20 * time.Microsecond, mib, 2048},
		{"small files", []float64{10e6, 10e6, 20e6}, 5 * ms, 4096, 20_000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSim(t, equalLeaves(tt.n, tt.size))
			f := s.fetcher(1e12, 1e12, 0, Config{Seed: 1})
			sum := 0.0
			for _, r := range tt.rates {
				s.add(r, 1e12, tt.lat, nil)
				sum += r
			}
			s.run(time.Hour)
			ideal := seconds(float64(s.totalBytes())/sum) + 2*tt.lat
			within(t, tt.name, f.doneAt, ideal, 0.05)
			t.Logf("%d requests, %d cancels", f.requests, f.cancels)
			fewCopies(t, f)
		})
	}
}

func TestSlowSeedCostsLittle(t *testing.T) {
	for _, progress := range []bool{false, true} {
		run := func(slow bool) *simNode {
			s := newSim(t, equalLeaves(512, mib))
			s.progress = progress
			f := s.fetcher(1e12, 1e12, 0, Config{Seed: 2})
			for i := range 7 {
				// Each leaf is held by six of the seven.
				s.add(50*mbit, 1e12, 10*ms, func(l int) bool { return l%7 != i })
			}
			if slow {
				s.add(2*mbit, 1e12, 10*ms, nil)
			}
			s.run(time.Hour)
			return f
		}
		without, with := run(false), run(true)
		within(t, "slow seed and seven fast partial peers", with.doneAt, without.doneAt, 0.05)
		fewCopies(t, with)
	}
}

func TestSilentPeerCostsAboutStall(t *testing.T) {
	run := func(silent time.Duration) *simNode {
		s := newSim(t, equalLeaves(512, mib))
		f := s.fetcher(1e12, 1e12, 0, Config{Seed: 3})
		for i := range 4 {
			n := s.add(10e6, 1e12, 10*ms, nil)
			if i == 1 {
				n.silent = silent
			}
		}
		s.run(time.Hour)
		return f
	}
	for _, at := range []time.Duration{time.Second, 6 * time.Second, 12 * time.Second, 13 * time.Second} {
		f := run(at)
		bytes := 512.0 * mib
		ideal := seconds(at.Seconds() + (bytes-40e6*at.Seconds())/30e6)
		t.Logf("silent at %v: %.2f s, %.2f s more than without its share, dropped %v", at, f.doneAt.Seconds(), (f.doneAt - ideal).Seconds(), f.dropped)
		if f.doneAt > ideal+3*time.Second+500*ms {
			t.Errorf("silent at %v: cost more than the stall time", at)
		}
		fewCopies(t, f)
	}
}

func TestFlashCrowd(t *testing.T) {
	tests := []struct {
		name  string
		n     int
		slow  int
		limit float64       // of the fluid limit
		fast  time.Duration // the last fast one is done
		most  float64       // copies from the seeder
	}{
		{"8", 8, 0, 1.22, time.Minute, 1.15},
		{"16", 16, 0, 1.35, time.Minute, 1.25},
		{"8, 4 of them slow", 8, 4, 1.1, 22 * time.Second, 1.6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSim(t, equalLeaves(64, mib))
			s.progress = true
			u := 50 * mbit
			seed := s.add(u, u, ms/2, nil)
			seed.spread = new(Spread)
			var fs []*simNode
			sum := u
			low := u
			for i := range tt.n {
				r := u
				if i < tt.slow {
					r = u / 4
				}
				low = min(low, r)
				sum += r
				fs = append(fs, s.fetcher(r, r, ms/2, Config{Seed: uint64(i)}))
			}
			s.run(time.Hour)
			total := float64(s.totalBytes())
			fluid := max(total/low, float64(tt.n)*total/sum)
			last, fast, dup := time.Duration(0), time.Duration(0), int64(0)
			for i, f := range fs {
				if last = max(last, f.doneAt); i >= tt.slow {
					fast = max(fast, f.doneAt)
				}
				dup += f.copies
				fewCopies(t, f)
			}
			t.Logf("last done %.2f s, fluid limit %.2f s, %.3f of it; seeder sent %.2f copies; %.2f %% twice",
				last.Seconds(), fluid, last.Seconds()/fluid, float64(seed.sent)/total, 100*float64(dup)/total/float64(tt.n))
			if last.Seconds() > fluid*tt.limit {
				t.Errorf("over %.2f of the fluid limit", tt.limit)
			}
			if fast > tt.fast {
				t.Errorf("a fast one is done after %v: it waits for slow ones", fast)
			}
			if float64(seed.sent) > total*tt.most {
				t.Errorf("the seeder sent over %.2f copies", tt.most)
			}
		})
	}
}
