package dht

import (
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	mh "github.com/multiformats/go-multihash"
)

// peerID makes distinct well-formed peer IDs.
func peerID(t testing.TB, i int) peer.ID {
	t.Helper()
	h, err := mh.Sum([]byte{byte(i), byte(i >> 8), byte(i >> 16)}, mh.SHA2_256, -1)
	must(t, err)
	return peer.ID(h)
}

func TestChoose(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	boot := target{id: "boot", sources: fromBootstrap}
	link := target{id: "link", sources: fromMDNS}
	old := target{id: "old", sources: fromSaved, seen: now.Add(-time.Hour)}
	older := target{id: "older", sources: fromSaved, seen: now.Add(-2 * time.Hour)}
	with := func(t target, f func(*target)) target { f(&t); return t }
	var many []target
	for i := range 20 {
		many = append(many, target{id: peerID(t, i), sources: fromSaved})
	}
	for _, tt := range []struct {
		name                 string
		targets              []target
		neighbours, dialling int
		want                 []peer.ID
		again                time.Duration // 0: after the next event
	}{
		{name: "nobody is known"},
		{name: "best first", targets: []target{older, boot, old, link}, want: []peer.ID{"link", "boot", "old", "older"}},
		{name: "busy ones are left", targets: []target{with(boot, func(t *target) { t.busy = true }), old}, want: []peer.ID{"old"}},
		{name: "enough: saved ones are left", targets: []target{old, boot, link}, neighbours: enoughPeers, want: []peer.ID{"link", "boot"}},
		{name: "not few: bootstrap is dialled once only", neighbours: fewPeers,
			targets: []target{with(boot, func(t *target) { t.dialled = true }), old}, want: []peer.ID{"old"}},
		{name: "few: bootstrap is dialled again", neighbours: fewPeers - 1,
			targets: []target{with(boot, func(t *target) { t.dialled = true })}, want: []peer.ID{"boot"}},
		{name: "many: even the link is left", targets: []target{link}, neighbours: manyPeers},
		{name: "not yet", again: time.Second, targets: []target{
			with(old, func(t *target) { t.next = now.Add(time.Second) }),
			with(older, func(t *target) { t.next = now.Add(2 * time.Second) }),
		}},
		{name: "some not yet", again: time.Second, want: []peer.ID{"older"}, targets: []target{
			with(old, func(t *target) { t.next = now.Add(time.Second) }), older,
		}},
		{name: "not wanted, so not waited for either", neighbours: enoughPeers,
			targets: []target{with(old, func(t *target) { t.next = now.Add(time.Second) })}},
		{name: "only so many at once", targets: many, dialling: dialsAtOnce - 1, want: []peer.ID{"*"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, again := choose(now, tt.targets, tt.neighbours, tt.dialling)
			if !slices.Equal(got, tt.want) && !(len(tt.want) == 1 && tt.want[0] == "*" && len(got) == 1) {
				t.Errorf("dial %q, want %q", got, tt.want)
			}
			if tt.again == 0 && !again.IsZero() || tt.again > 0 && again.Sub(now) != tt.again {
				t.Errorf("again at %v", again.Sub(now))
			}
		})
	}
}

func TestLost(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	inTable := func(p peer.ID) bool { return p == "table" }
	for _, tt := range []struct {
		name    string
		targets []target
		want    peer.ID
	}{
		{name: "nobody is known"},
		{name: "seen last", targets: []target{{id: "a", seen: now.Add(-2)}, {id: "b", seen: now.Add(-1)}, {id: "c"}}, want: "b"},
		{name: "failed least", targets: []target{{id: "a", fails: 2, seen: now}, {id: "b", fails: 1}}, want: "b"},
		{name: "not the connected, not yet, not lost", targets: []target{
			{id: "a", busy: true}, {id: "b", next: now.Add(1)}, {id: "table"}, {id: "d", reached: now.Add(-lostAfter + 1)},
		}},
		{name: "reached long ago", targets: []target{{id: "a", reached: now.Add(-lostAfter)}}, want: "a"},
	} {
		if got, ok := lost(now, tt.targets, inTable); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPauseAfter(t *testing.T) {
	for fails, want := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 3: 8 * time.Second, 6: time.Minute, 1000: time.Minute} {
		if p := pauseAfter(fails); p < want*4/5 || p > want*6/5 {
			t.Errorf("after %d failures: %v", fails, p)
		}
	}
}

func TestRetry(t *testing.T) {
	r := retry{pause: announcePause}
	now := time.Unix(1_000_000, 0)
	var at []time.Duration
	look := func(from, to time.Duration, wait int) {
		for d := from; d < to; d += announcePause {
			if r.due(now.Add(d), wait) {
				at = append(at, d)
			}
		}
	}
	look(0, 100*time.Second, 3) // nothing gets out: pauses double
	if want := []time.Duration{5 * time.Second, 15 * time.Second, 35 * time.Second, 75 * time.Second}; !slices.Equal(at, want) {
		t.Errorf("attempts at %v", at)
	}
	at = nil
	look(100*time.Second, 105*time.Second, 2) // progress: left alone
	look(105*time.Second, 115*time.Second, 2) // none: from the beginning
	look(115*time.Second, 200*time.Second, 0)
	if want := []time.Duration{110 * time.Second}; !slices.Equal(at, want) {
		t.Errorf("attempts at %v", at)
	}
}

func TestGrowth(t *testing.T) {
	r := renewal{k: 20}
	var at []int
	for _, size := range []int{1, 5, 5, 20, 20, 30, 38, 38, 38, 50, 50, 76, 76, 10, 90, 90, 152, 152} {
		if r.look(time.Time{}, size, nil); r.due(time.Time{}) != "" {
			at = append(at, size)
			r.done(time.Time{})
		}
	}
	if want := []int{38, 76, 152}; !slices.Equal(at, want) {
		t.Errorf("announced at %v", at)
	}
}

// TestMovedIsAnnounced: records hold addresses; when one of them is gone, and the others have stayed for a while, all are sent again.
func TestMovedIsAnnounced(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := renewal{last: announcement{Addrs: []string{"/a", "/b"}}}
	moved := func(after time.Duration, addrs ...string) bool {
		t.Helper()
		now = now.Add(after)
		r.look(now, 30, addrs)
		why := r.due(now)
		if why != "" {
			r.done(now)
		}
		return why != ""
	}
	if moved(0, "/a", "/b", "/c") || moved(addrsSettle, "/a", "/b", "/c") {
		t.Error("an address more is no reason")
	}
	if moved(0, "/c") || moved(addrsSettle-1, "/c") {
		t.Error("they may come back")
	}
	if moved(1) || moved(addrsSettle) {
		t.Error("nothing to announce")
	}
	r.size = 0
	r.look(now, 0, []string{"/c"})
	if now = now.Add(addrsSettle); r.due(now) != "" {
		t.Error("there is nobody to tell")
	}
	if moved(0, "/b") || moved(0, "/c") || !moved(addrsSettle, "/c") || moved(time.Hour, "/c") {
		t.Error("want one announcement")
	}
	r.last.Addrs = []string{"/c"}
	if moved(0, "/d") || !moved(addrsSettle, "/d") || moved(0, "/e") || moved(movedPause-1, "/e") || !moved(1, "/e") {
		t.Error("want one announcement, and the next after a pause")
	}
}
