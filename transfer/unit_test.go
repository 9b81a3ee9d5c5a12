package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/transfer/wire"
)

func TestSubtract(t *testing.T) {
	for _, tt := range []struct {
		name string
		runs []wire.Run
		cut  wire.Run
		want []wire.Run
	}{
		{"nothing", nil, wire.Run{First: 0, Count: 5}, []wire.Run{}},
		{"apart", []wire.Run{{First: 0, Count: 5}}, wire.Run{First: 5, Count: 5}, []wire.Run{{First: 0, Count: 5}}},
		{"all", []wire.Run{{First: 2, Count: 5}, {First: 0, Count: 1}}, everything, []wire.Run{}},
		{"head", []wire.Run{{First: 2, Count: 5}}, wire.Run{First: 0, Count: 3}, []wire.Run{{First: 3, Count: 4}}},
		{"tail", []wire.Run{{First: 2, Count: 5}}, wire.Run{First: 6, Count: 9}, []wire.Run{{First: 2, Count: 4}}},
		{"middle", []wire.Run{{First: 2, Count: 5}}, wire.Run{First: 4, Count: 1}, []wire.Run{{First: 2, Count: 2}, {First: 5, Count: 2}}},
		{"last leaf there can be", []wire.Run{{First: 1<<32 - 2, Count: 2}}, wire.Run{First: 1<<32 - 1, Count: 1}, []wire.Run{{First: 1<<32 - 2, Count: 1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := subtract(tt.runs, []wire.Run{tt.cut}, 10); !ok || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%v", got)
			}
		})
	}
	cuts := []wire.Run{{First: 1, Count: 1}, {First: 3, Count: 2}, {First: 9, Count: 9}}
	want := []wire.Run{{First: 5, Count: 1}, {First: 0, Count: 1}, {First: 2, Count: 1}, {First: 5, Count: 4}}
	runs := []wire.Run{{First: 4, Count: 2}, {First: 0, Count: 12}}
	if got, ok := subtract(runs, cuts, 4); !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	if got, ok := subtract(runs, cuts, 3); ok {
		t.Errorf("over the limit: %v", got)
	}
}

func TestMergeRuns(t *testing.T) {
	var runs []wire.Run
	for _, leaf := range []uint32{7, 8, 3, 9, 2, 20, 8, 1<<32 - 1, 1<<32 - 2} {
		runs = addLeaf(runs, leaf)
	}
	want := []wire.Run{{First: 2, Count: 2}, {First: 7, Count: 3}, {First: 20, Count: 1}, {First: 1<<32 - 2, Count: 2}}
	if got := mergeRuns(runs); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}

func TestAppendHave(t *testing.T) {
	have := make([]byte, 3*wire.MaxBitsBytes)
	have[5], have[6], have[2*wire.MaxBitsBytes+1] = 1, 2, 4
	want := wire.Append(nil, wire.HaveBits{Handle: 9, First: 40, Bits: []byte{1, 2}})
	want = wire.Append(want, wire.HaveBits{Handle: 9, First: 8 * (2*wire.MaxBitsBytes + 1), Bits: []byte{4}})
	if got := appendHave(nil, 9, have); !bytes.Equal(got, want) {
		t.Errorf("%x", got)
	}
}

func TestDigestOf(t *testing.T) {
	v1 := rawCID([]byte("x"))
	for _, tt := range []struct {
		name string
		c    cid.Cid
		ok   bool
	}{
		{"raw", v1, true},
		{"dag-pb", cid.NewCidV1(cid.DagProtobuf, v1.Hash()), true},
		{"version 0", cid.NewCidV0(v1.Hash()), true},
		{"undefined", cid.Undef, false},
		{"identity", mustParse(t, "bafkqaaa"), false},
		{"blake2b", mustParse(t, "bafk2bzaceaswza5ss4iu2ia3galz6pyo6dfm5f4dmiw2lf2de22dmf4k533ba"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, ok := digestOf(tt.c)
			if ok != tt.ok || ok && !bytes.Equal(d[:], v1.Hash()[2:]) {
				t.Errorf("%x %v", d, ok)
			}
		})
	}
}

func mustParse(t *testing.T, s string) cid.Cid {
	t.Helper()
	c, err := cid.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTellableAddresses(t *testing.T) {
	addrs := func(ss ...string) (out []ma.Multiaddr) {
		for _, s := range ss {
			out = append(out, ma.StringCast(s))
		}
		return out
	}
	all := addrs("/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1", "/ip4/192.168.1.2/tcp/1", "/ip4/8.8.8.8/tcp/1",
		"/ip6/fe80::1/tcp/1", "/ip4/0.0.0.0/tcp/1", "/dns4/example.org/tcp/1")
	for _, tt := range []struct {
		name, to string
		want     []ma.Multiaddr
	}{
		{"same machine", "/ip4/127.0.0.1/tcp/9", addrs("/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1",
			"/ip4/192.168.1.2/tcp/1", "/ip4/8.8.8.8/tcp/1", "/dns4/example.org/tcp/1")},
		{"same network", "/ip4/192.168.1.9/udp/9/quic-v1", addrs("/ip4/192.168.1.2/tcp/1", "/ip4/8.8.8.8/tcp/1", "/dns4/example.org/tcp/1")},
		{"far away", "/ip4/1.2.3.4/tcp/9", addrs("/ip4/8.8.8.8/tcp/1", "/dns4/example.org/tcp/1")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var want [][]byte
			for _, a := range tt.want {
				want = append(want, a.Bytes())
			}
			if got := tellable(all, ma.StringCast(tt.to)); !reflect.DeepEqual(got, want) {
				t.Errorf("%x, want %x", got, want)
			}
		})
	}
	if n := len(tellable(append(append(all, all...), all...), ma.StringCast("/ip4/127.0.0.1/tcp/9"))); n != wire.MaxAddrs {
		t.Errorf("%d addresses", n)
	}
}

func TestCandidates(t *testing.T) {
	var k candidates
	k.init(Config{MaxCandidates: 3, MaxPeers: 2, MaxDials: 1})
	now := time.Unix(0, 0)
	at := func(ss ...string) (out []ma.Multiaddr) {
		for _, s := range ss {
			out = append(out, ma.StringCast(s))
		}
		return out
	}
	pick := func(now time.Time, want peer.ID) {
		t.Helper()
		if ai, ok := k.pick(now); ok != (want != "") || ai.ID != want {
			t.Fatalf("picked %q, want %q", ai.ID, want)
		}
	}
	k.add("me", peer.AddrInfo{ID: "me"}, false)
	for _, id := range []peer.ID{"a", "a", "b", "c", "d"} {
		k.add("me", peer.AddrInfo{ID: id, Addrs: at("/ip4/127.0.0.1/tcp/1")}, false)
	}
	pick(now, "a")
	pick(now, "") // one dial at a time
	k.failed("a", now)
	pick(now, "b")
	k.active("b")
	pick(now, "c")
	k.active("c")
	pick(now.Add(time.Hour), "") // two in use
	k.ban("c", now)
	pick(now, "") // a has just failed
	k.add("me", peer.AddrInfo{ID: "a", Addrs: at("/ip4/127.0.0.1/tcp/2")}, false)
	pick(now, "a") // but has a new address
	k.active("a")
	for i, wait := range []time.Duration{1, 2, 4, 8, 16, 16, 16, 16} {
		then := []func(peer.ID, time.Time){k.retry, k.refused}[i%2]
		then("a", now)
		pick(now.Add(wait*time.Second*3/4-1), "")
		now = now.Add(wait * time.Second * 5 / 4)
		pick(now, "a")
		if k.active("a"); i == 7 {
			k.proved("a")
		}
	}
	k.refused("a", now)
	pick(now.Add(firstRetry*3/4-1), "")
	k.add("me", peer.AddrInfo{ID: "e"}, false) // in the place of a, which has failed
	pick(now, "e")
	if len(k.order) != 3 || k.byID["a"] != nil || k.byID["d"] != nil {
		t.Errorf("%v", k.byID)
	}
}

// Peers that make up others, or are many and banned, do not keep real ones out.
func TestCandidatesKeepRoom(t *testing.T) {
	var k candidates
	k.init(Config{MaxCandidates: 10, MaxPeers: 20, MaxDials: 20})
	now := time.Unix(0, 0)
	for i := range 100 {
		k.add("me", peer.AddrInfo{ID: peer.ID(fmt.Sprint("hint", i))}, true)
	}
	for i := range 5 {
		k.add("me", peer.AddrInfo{ID: peer.ID(fmt.Sprint("real", i))}, false)
	}
	if len(k.order) != 10 || k.hinted != 5 || k.byID["real4"] == nil {
		t.Fatalf("%d known, %d hinted", len(k.order), k.hinted)
	}
	for ai, ok := k.pick(now); ok; ai, ok = k.pick(now) {
		k.active(ai.ID)
		k.ban(ai.ID, now)
	}
	k.add("me", peer.AddrInfo{ID: "a hint"}, true)
	k.add("me", peer.AddrInfo{ID: "real5"}, false)
	if k.byID["a hint"] != nil || k.byID["real5"] == nil || len(k.order) != 10 {
		t.Errorf("%v", k.byID)
	}
}

func TestTally(t *testing.T) {
	var y tally
	now := time.Unix(100, 0)
	y.init(now)
	y.want(-1, false)
	y.want(500, true)
	y.arrived(now, "p", 1000, false)
	y.arrived(now, "p", 30, true)
	if y.total != 1500 || y.missing != 0 || y.have != 2 || y.duplicate != 30 || y.from["p"] != 1000 {
		t.Errorf("%+v", y)
	}
	for range 100 { // 10 s at 10,000 bytes a second
		now = now.Add(tickEvery)
		y.bytes += 1000
		y.tick(now)
	}
	if r := y.rate(now); r < 9_999 || r > 10_001 {
		t.Errorf("rate %v", r)
	}
}

// A leaf that takes 10 s counts while it comes, and not once more when it is whole.
func TestTallyOfSlowLeaves(t *testing.T) {
	var y tally
	now := time.Unix(100, 0)
	y.init(now)
	for i := range 1000 {
		now = now.Add(tickEvery)
		y.progressed("p", 1000)
		if i%100 == 99 {
			y.arrived(now, "p", 100_000, false)
		}
		y.tick(now)
		if r := y.rate(now); r < 9_999 || r > 10_001 {
			t.Fatalf("rate %v after %d ticks", r, i+1)
		}
	}
	y.progressed("p", 1000)
	y.arrived(now, "p", 2000, true)
	if y.bytes != 1_000_000 || y.duplicate != 2000 || y.partial["p"] != 0 {
		t.Errorf("%+v", y)
	}
}

// Nothing comes from a peer whose leaves are damaged, however slowly they come.
func TestTallyOfDamagedLeaves(t *testing.T) {
	var y tally
	now := time.Unix(100, 0)
	y.init(now)
	for range 10 {
		now = now.Add(tickEvery)
		y.progressed("p", 1000)
		y.tick(now)
	}
	y.damaged("p", 10_000)
	if r := y.rate(now); r != 0 || y.corrupt != 10_000 {
		t.Errorf("rate %v, %+v", r, y)
	}
}

func TestInboxMakesReadersWait(t *testing.T) {
	var in inbox
	in.init()
	in.post(note{progress: 1}, maxInbox+1)
	posted := make(chan struct{})
	go func() {
		in.post(note{progress: 2}, 1)
		close(posted)
	}()
	in.post(note{err: errors.New("never waits")}, 0)
	total := 0
	for total < 3 {
		<-in.signal
		notes, _ := in.take(nil, nil)
		total += len(notes)
	}
	<-posted
	in.post(note{}, maxInbox+1)
	in.close()
	in.post(note{}, 1) // does not wait
	if n, _ := in.take(nil, nil); len(n) != 0 {
		t.Error("closed inbox has notes")
	}
}
