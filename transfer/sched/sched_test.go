package sched

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// script feeds events at times and keeps what came out.
type script struct {
	t   *testing.T
	s   *State
	now time.Duration
	out []Action // since the last call of took
}

func newScript(t *testing.T, cfg Config, evs ...Event) *script {
	c := &script{t: t, s: New(cfg)}
	c.do(evs...)
	return c
}

func (c *script) do(evs ...Event) *script {
	for _, ev := range evs {
		c.out = append(c.out, c.s.Handle(simEpoch.Add(c.now), ev)...)
	}
	return c
}

// wait lets time pass, a tick every 100 ms.
func (c *script) wait(d time.Duration) *script {
	for end := c.now + d; c.now < end; {
		c.now += 100 * ms
		c.do(Tick{})
	}
	return c
}

// deliver makes a peer send n of the leaves that it owes, one every d.
func (c *script) deliver(id peer.ID, n int, d time.Duration) *script {
	for range n {
		c.now += d
		runs := c.s.Outstanding(id)
		if len(runs) == 0 {
			c.t.Fatalf("%q owes nothing", string(id))
		}
		c.do(Received{id, runs[0].First, int(c.s.t.size[runs[0].First])})
	}
	return c
}

func (c *script) took() []Action {
	out := c.out
	c.out = nil
	return out
}

// asked returns the leaves requested of a peer, in order.
func asked(as []Action, id peer.ID) []Leaf {
	var list []Leaf
	for _, a := range as {
		if r, ok := a.(Request); ok && r.Peer == id {
			for i := range r.Run.Count {
				list = append(list, r.Run.First+Leaf(i))
			}
		}
	}
	return list
}

func count[A Action](as []Action) (n int) {
	for _, a := range as {
		if _, ok := a.(A); ok {
			n++
		}
	}
	return n
}

func join(id peer.ID, haves ...Event) []Event { return append([]Event{Join{id}}, haves...) }

func seed(id peer.ID) []Event { return join(id, HaveAll{id}) }

func part(id peer.ID, runs ...Run) []Event { return join(id, HaveRuns{id, runs}) }

func events(lists ...[]Event) []Event { return slices.Concat(lists...) }

func grown(n int, size uint32) []Event { return []Event{Grow{equalLeaves(n, size)}, End{}} }

func TestFirstRequests(t *testing.T) {
	few := Config{MinWindow: 4 * mib}
	tests := []struct {
		name   string
		cfg    Config
		events []Event
		want   map[peer.ID][]Leaf
	}{
		{"one seed: one run from the start", few, events(seed("a"), grown(100, mib)),
			map[peer.ID][]Leaf{"a": {0, 1, 2, 3}}},
		{"two seeds: a region each", few, events(seed("a"), seed("b"), grown(100, mib)),
			map[peer.ID][]Leaf{"a": {0, 1, 2, 3}, "b": {52, 53, 54, 55}}},
		{"seed and nobody", few, events(seed("a"), join("b"), grown(100, mib)),
			map[peer.ID][]Leaf{"a": {0, 1, 2, 3}}},
		{"partial peers: what they have", few, events(part("a", Run{7, 1}), part("b", Run{90, 1}), grown(92, mib)),
			map[peer.ID][]Leaf{"a": {7}, "b": {90}}},
		{"haves before the leaves", few, events(part("a", Run{2, 2}), join("b", HaveBits{"b", 8, []byte{0x02}}), grown(10, mib)),
			map[peer.ID][]Leaf{"a": {2, 3}, "b": {9}}},
		{"rarest first", few, events(join("a", HaveRuns{"a", []Run{{0, 8}}}), join("b", HaveRuns{"b", []Run{{0, 5}, {6, 2}}}),
			[]Event{Choke{Peer: "b"}}, grown(8, 4*mib)),
			map[peer.ID][]Leaf{"a": {5}}},
		{"in order", Config{InOrder: true, MinWindow: 2 * mib}, events(part("a", Run{3, 10}), seed("b"), grown(20, mib)),
			map[peer.ID][]Leaf{"a": {3, 4}, "b": {0, 1}}},
		{"leaves not needed", few, events(seed("a"), []Event{
			Grow{[]LeafInfo{{Size: mib}, {Size: mib, Need: true}, {Size: mib}, {Size: mib, Need: true}}}, End{}}),
			map[peer.ID][]Leaf{"a": {1, 3}}},
		{"runs are cut", Config{MinWindow: 4 * mib, MaxRun: 3}, events(seed("a"), grown(100, mib)),
			map[peer.ID][]Leaf{"a": {0, 1, 2, 3}}},
		{"unknown size", Config{}, events(seed("a"), []Event{Grow{[]LeafInfo{{Need: true}}}, End{}}),
			map[peer.ID][]Leaf{"a": {0}}},
		{"choked", few, events(seed("a"), []Event{Choke{Peer: "a"}}, grown(9, mib)), map[peer.ID][]Leaf{}},
		{"busy", few, events(seed("a"), []Event{Busy{"a", time.Second}}, grown(9, mib)), map[peer.ID][]Leaf{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newScript(t, tt.cfg, tt.events...)
			as := c.took()
			got := map[peer.ID][]Leaf{}
			for _, p := range c.s.AppendPeers(nil) {
				if list := asked(as, p.Peer); list != nil {
					got[p.Peer] = list
				}
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("asked %v, want %v", got, tt.want)
			}
		})
	}
}

func TestFewRequestsForSmallLeaves(t *testing.T) {
	s := newSim(t, equalLeaves(10_000, 4096))
	f := s.fetcher(1e12, 1e12, 0, Config{})
	s.add(100e6, 1e12, ms, nil)
	s.run(time.Minute)
	t.Logf("10,000 leaves of 4 KiB: %d requests", f.requests)
	if f.requests > 100 {
		t.Error("too many requests")
	}
}

func TestTiesAreRandomAndRepeatable(t *testing.T) {
	first := func(seed uint64) Leaf {
		c := newScript(t, Config{Seed: seed, MinWindow: mib}, events(part("a", Run{0, 1000}), part("b", Run{0, 1000}), grown(1001, mib))...)
		return asked(c.took(), "a")[0]
	}
	seen := map[Leaf]bool{}
	for seed := range uint64(50) {
		l := first(seed)
		if again := first(seed); again != l {
			t.Fatalf("seed %d: leaf %d, then %d", seed, l, again)
		}
		seen[l] = true
	}
	if len(seen) < 40 {
		t.Errorf("50 seeds begin with only %d leaves", len(seen))
	}
}

func TestRunsRepeat(t *testing.T) {
	log := func() string {
		var b strings.Builder
		s := newSim(t, equalLeaves(200, mib))
		f := s.fetcher(1e12, 1e12, 0, Config{Seed: 9})
		for i := range 6 {
			s.add(float64(i+1)*1e6, 1e12, 10*ms, func(l int) bool { return i < 2 || l%6 != i })
		}
		s.run(time.Hour)
		fmt.Fprint(&b, f.doneAt, f.requests, f.cancels, f.st.AppendPeers(nil))
		return b.String()
	}
	if a, b := log(), log(); a != b {
		t.Errorf("two runs differ:\n%s\n%s", a, b)
	}
}

func TestWindowFor(t *testing.T) {
	cfg := Config{}.withDefaults()
	tests := []struct {
		name string
		rate float64
		rtt  time.Duration
		want int64
	}{
		{"a modem owes a leaf at a time", 10e3, 0, leastWindow},
		{"2 Mbit/s", 250e3, 20 * ms, 500_000},
		{"50 Mbit/s near", 6.25e6, ms, defaultMinWindow},
		{"100 Mbit/s over 200 ms", 12.5e6, 200 * ms, 8_125_000},
		{"loopback", 1e9, 0, defaultMaxWindow},
	}
	for _, tt := range tests {
		if got := windowFor(cfg, tt.rate, tt.rtt); got != tt.want {
			t.Errorf("%s: %d bytes, want %d", tt.name, got, tt.want)
		}
	}
}

func TestWindowStartsSlowly(t *testing.T) {
	c := newScript(t, Config{}, events(seed("a"), grown(2000, mib))...)
	var windows []int64
	for range 8 {
		p, _ := c.s.Peer("a")
		windows = append(windows, p.Window/mib)
		c.deliver("a", int(p.Window/mib), ms)
	}
	if want := []int64{2, 4, 8, 16, 32, 32, 32, 32}; !slices.Equal(windows, want) {
		t.Errorf("windows of %v MiB, want %v", windows, want)
	}
}

func TestNobodyHasIt(t *testing.T) {
	c := newScript(t, Config{}, events(part("a", Run{0, 3}), grown(4, mib))...)
	c.deliver("a", 3, 100*ms).took()
	if as := c.wait(10 * time.Second).took(); len(as) != 0 {
		t.Errorf("actions while nobody has the last leaf: %v", as)
	}
	if got := c.s.AppendMissing(nil, 10); !slices.Equal(got, []Leaf{3}) {
		t.Errorf("missing %v", got)
	}
	c.do(HaveRuns{"a", []Run{{3, 1}}})
	if got := asked(c.took(), "a"); !slices.Equal(got, []Leaf{3}) {
		t.Errorf("after the have asked for %v", got)
	}
	if c.deliver("a", 1, ms); count[Done](c.took()) != 1 {
		t.Error("not done")
	}
}

// TestHeld: leaves that come from elsewhere are waited for, and asked of peers when they do not come.
func TestHeld(t *testing.T) {
	held := LeafInfo{Size: mib, Need: true, Held: true}
	c := newScript(t, Config{}, Grow{[]LeafInfo{held, {Size: mib, Need: true}, held, held}}, End{}, Join{"a"}, HaveAll{"a"})
	if got := asked(c.took(), "a"); !slices.Equal(got, []Leaf{1}) {
		t.Errorf("asked at first for %v", got)
	}
	c.deliver("a", 1, ms).do(Received{Leaf: 2, Bytes: mib})
	if as := c.wait(10 * time.Second).took(); len(as) != 0 {
		t.Errorf("while leaves are held: %v", as)
	}
	c.do(Ask{[]Run{{2, 100}}})
	if got := asked(c.took(), "a"); !slices.Equal(got, []Leaf{3}) {
		t.Errorf("then asked for %v", got)
	}
	if c.deliver("a", 1, ms); count[Done](c.took()) != 0 {
		t.Error("done while a leaf is held")
	}
	if c.do(Received{Leaf: 0, Bytes: mib}); count[Done](c.took()) != 1 {
		t.Error("not done")
	}
}

func TestGivenBack(t *testing.T) {
	tests := []struct {
		name string
		ev   Event
		drop int
	}{
		{"leave", Leave{"a"}, 0},
		{"bad", Bad{"a", 0}, 1},
		{"choke", Choke{Peer: "a"}, 0},
		{"busy", Busy{"a", time.Second}, 0},
		{"lost", Lost{"a", []Run{{0, 1 << 31}}}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newScript(t, Config{}, events(part("a", Run{0, 2}), grown(2, mib))...)
			c.do(seed("b")...).took()
			c.do(tt.ev)
			as := c.took()
			got := asked(as, "b")
			slices.Sort(got)
			if !slices.Equal(got, []Leaf{0, 1}) || count[Drop](as) != tt.drop || count[Cancel](as) != 0 {
				t.Errorf("actions %v", as)
			}
			c.do(Received{"a", 0, mib}).deliver("b", 1, ms)
			if n := count[Done](c.took()); n != 1 {
				t.Errorf("done %d times", n)
			}
		})
	}
}

func TestBusyEnds(t *testing.T) {
	c := newScript(t, Config{}, events(seed("a"), grown(4, mib), []Event{Busy{"a", time.Hour}})...)
	c.took()
	if c.wait(59 * time.Second); len(c.took()) != 0 {
		t.Error("asked while busy")
	}
	if c.wait(2 * time.Second); len(asked(c.took(), "a")) == 0 {
		t.Error("not asked again after a minute")
	}
}

func TestSilentSoleSource(t *testing.T) {
	c := newScript(t, Config{}, events(seed("a"), grown(10, mib))...)
	c.took()
	c.wait(3 * time.Minute)
	as := c.took()
	if count[Drop](as) > 0 {
		t.Fatal("dropped the only source")
	}
	if n := count[Request](as); n < 3 || n > 12 {
		t.Errorf("asked again %d times in three minutes", n)
	}
	if p, _ := c.s.Peer("a"); !p.Stalled || p.Outstanding > mib {
		t.Errorf("not on probation: %+v", p)
	}
	for c.s.Stats().Outstanding == 0 {
		c.wait(100 * ms)
	}
	c.deliver("a", 1, ms)
	if p, _ := c.s.Peer("a"); p.Stalled || p.Outstanding < 2*mib {
		t.Errorf("did not recover: %+v", p)
	}
}

func TestSilentPeerIsDropped(t *testing.T) {
	tests := []struct {
		name string
		b    []Event
		drop int
	}{
		{"others have all", seed("b"), 1},
		{"others lack a leaf", part("b", Run{0, 99}), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newScript(t, Config{}, events(seed("a"), tt.b, grown(100, mib))...)
			for range 90 {
				c.wait(300 * ms)
				if len(c.s.Outstanding("b")) > 0 {
					c.deliver("b", 1, 0)
				}
			}
			if n := count[Drop](c.took()); n != tt.drop {
				t.Errorf("dropped %d, want %d", n, tt.drop)
			}
		})
	}
}

func TestProgressIsNotSilence(t *testing.T) {
	c := newScript(t, Config{}, events(seed("a"), seed("b"), grown(10, mib))...)
	c.took()
	for range 20 {
		c.do(Progress{"a", 10_000}, Progress{"b", 10_000}).wait(time.Second)
	}
	if as := c.took(); len(as) != 0 {
		t.Errorf("actions on slow peers: %v", as)
	}
}

func TestEndgameCopiesAndCancels(t *testing.T) {
	c := newScript(t, Config{MinWindow: 2 * mib}, events(seed("slow"), grown(200, mib))...)
	c.deliver("slow", 1, 4*time.Second)
	c.do(seed("fast")...)
	for c.s.Stats().Have < 199 && len(c.s.Outstanding("fast")) > 0 {
		c.deliver("fast", 1, 10*ms)
	}
	c.wait(100 * ms)
	left := c.s.Outstanding("slow")
	if len(left) != 1 || left[0].Count != 1 || !c.s.Owes("fast", left[0].First) {
		t.Fatalf("slow owes %v, fast %v", left, c.s.Outstanding("fast"))
	}
	c.took()
	as := c.deliver("fast", 1, 10*ms).took()
	want := []Action{Cancel{"slow", left[0]}, Done{}}
	if !reflect.DeepEqual(as, want) {
		t.Errorf("%v, want %v", as, want)
	}
	c.do(Received{"slow", left[0].First, mib}, Tick{}, Leave{"slow"})
	if len(c.took()) != 0 || c.s.Stats().Duplicate != mib {
		t.Errorf("after the end: %+v", c.s.Stats())
	}
}

func TestEdges(t *testing.T) {
	t.Run("nothing needed", func(t *testing.T) {
		c := newScript(t, Config{}, Grow{[]LeafInfo{{Size: mib}}}, Tick{})
		if len(c.took()) != 0 {
			t.Error("acted before the end")
		}
		if got := c.do(End{}, End{}, Tick{}).took(); !reflect.DeepEqual(got, []Action{Done{}}) {
			t.Errorf("%v", got)
		}
	})
	t.Run("too many peers", func(t *testing.T) {
		c := newScript(t, Config{MaxPeers: 1}, Join{"a"}, Join{"a"}, Join{"b"})
		if got := c.took(); len(got) != 1 || got[0].(Drop).Peer != "b" {
			t.Errorf("%v", got)
		}
	})
	t.Run("from elsewhere", func(t *testing.T) {
		c := newScript(t, Config{}, events(seed("a"), grown(1, mib))...)
		c.took()
		want := []Action{Cancel{"a", Run{0, 1}}, Done{}}
		if got := c.do(Received{"", 0, mib}).took(); !reflect.DeepEqual(got, want) {
			t.Errorf("%v", got)
		}
	})
	t.Run("haves taken back for ever", func(t *testing.T) {
		c := newScript(t, Config{}, events(join("a"), grown(1000, mib))...)
		all := []Run{{0, 1 << 31}}
		for i := 0; count[Drop](c.out) == 0; i++ {
			if c.do(HaveRuns{"a", all}, Lost{"a", all}); i > 1000 {
				t.Fatal("never dropped")
			}
		}
	})
	t.Run("hostile haves are bounded", func(t *testing.T) {
		c := newScript(t, Config{}, events(join("a"), grown(10, mib))...)
		c.do(HaveRuns{"a", []Run{{1<<32 - 1, 1<<32 - 1}, {5, 1<<32 - 1}}}, HaveBits{"a", 1<<32 - 1, make([]byte, 100)})
		if n := len(c.s.byID["a"].haves.pages); n > MaxLeaves/pageLeaves {
			t.Errorf("%d pages", n)
		}
		if p, _ := c.s.Peer("a"); p.Have != 5 {
			t.Errorf("has %d of the known leaves", p.Have)
		}
	})
	t.Run("a partial peer that has all is a seed", func(t *testing.T) {
		c := newScript(t, Config{}, events(part("a", Run{0, 10}), grown(10, mib))...)
		if p, _ := c.s.Peer("a"); !p.All || c.s.Availability(3) != 1 || c.s.Availability(11) != 0 {
			t.Errorf("%+v", p)
		}
	})
	t.Run("availability", func(t *testing.T) {
		c := newScript(t, Config{}, events(seed("a"), part("b", Run{0, 4}), seed("c"), grown(10, mib), []Event{Lost{"c", []Run{{9, 1}}}})...)
		if n, of := c.s.MinAvailability(); n != 1 || of != 1 {
			t.Errorf("%d leaves held by %d", of, n)
		}
		if !c.s.do(t, Received{"", 9, mib}).Has(9) || c.s.Has(8) {
			t.Error("Has")
		}
		if n, of := c.s.MinAvailability(); n != 2 || of != 5 {
			t.Errorf("%d leaves held by %d", of, n)
		}
	})
}

// do applies an event whose actions do not matter.
func (s *State) do(t *testing.T, ev Event) *State {
	t.Helper()
	s.Handle(simEpoch, ev)
	return s
}

func TestInOrderStream(t *testing.T) {
	s := newSim(t, equalLeaves(200, mib))
	f := s.fetcher(1e12, 1e12, 0, Config{InOrder: true})
	s.add(10e6, 1e12, 10*ms, nil)
	s.add(10e6, 1e12, 10*ms, nil)
	s.add(1e6, 1e12, 10*ms, nil)
	s.run(time.Minute)
	within(t, "in order", f.doneAt, seconds(200*mib/21e6), 0.06)
}

// Peers that send a byte now and then hold the last leaves no longer than others
// need to bring them, however many they are.
func TestTrickleDoesNotHoldTheEnd(t *testing.T) {
	const n = 20
	c := newScript(t, Config{}, grown(n, mib)...)
	for i := range n - 1 {
		id := peer.ID(fmt.Sprint("trickle", i))
		c.do(part(id, Run{Leaf(i), 1})...)
	}
	c.do(seed("s")...)
	for i := 0; i < 600 && !c.s.done; i++ {
		for k := range n - 1 {
			c.do(Progress{peer.ID(fmt.Sprint("trickle", k)), 1})
		}
		c.wait(100 * ms)
		for _, r := range c.s.Outstanding("s") {
			c.do(Received{"s", r.First, mib})
			break
		}
	}
	if !c.s.done {
		t.Errorf("not done: %+v", c.s.Stats())
	}
}
