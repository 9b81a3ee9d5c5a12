package testnet_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"shoal/node/api"
	"shoal/testnet"
)

// The labs of this file are LANs of network namespaces: daemons with no configuration, who know nothing of each other. What happens
// is told in sentences with times: `testnet.sh lab lan`, and partition and roam.

// unconfigured is a place where a daemon runs as on a new user's machine: on the network lan, told of nobody.
func unconfigured(at *testnet.Namespace, args ...string) testnet.Place {
	return testnet.Place{Namespace: at, Alone: true, Args: args, Env: []string{"SHOAL_NETWORK=", "SHOAL_LISTEN="}}
}

// tell logs a sentence about what has taken so long.
func tell(t *testing.T, begin time.Time, format string, args ...any) {
	t.Helper()
	t.Logf("%6.1f s: %s", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
}

// TestLabLAN has three machines on one switch. They find each other by mDNS and fetch by bare CID.
func TestLabLAN(t *testing.T) {
	net := testnet.NewTopology(t, "lan")
	sw := net.Switch("switch")
	lab := testnet.Start(t, 0, testnet.Options{})
	begin := time.Now()
	for i := range 3 {
		host := net.Host(fmt.Sprint("host", i+1))
		net.Plug(host, sw, fmt.Sprintf("10.0.0.%d/24", i+1))
		lab.AddAt(unconfigured(host))
	}
	tell(t, begin, "three daemons run on one switch, with no configuration")
	path := testnet.RandomFile(t, lab.Peers[0].Path("original"), 16*chunk, 1)
	shared := lab.Peers[0].Share(path)
	for _, p := range lab.Peers[1:] {
		asked := time.Now()
		res := p.Get(shared.CID, p.Path("copy"))
		lab.Same(path, p.Path("copy"), false)
		tell(t, asked, "daemon %d has fetched 16 MiB by bare CID, the first chunk after %.2f s", p.Index(), res.FirstByte)
	}
	for i, p := range lab.Peers {
		lab.Meet(p, lab.Peers[(i+1)%3])
	}
	tell(t, begin, "all three are connected with each other")
}

// TestLabPartition cuts the cable between two switches, with two machines on each, until the halves have noticed. Both go on working,
// and find together again.
func TestLabPartition(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it takes minutes until a cut is noticed and healed")
	}
	net := testnet.NewTopology(t, "cut")
	left, right := net.Switch("left"), net.Switch("right")
	end, port := net.Plug(right, left, "")
	right.IP("link set dev " + end + " master br0")
	lab := testnet.Start(t, 0, testnet.Options{})
	for i := range 4 {
		host := net.Host(fmt.Sprint("host", i+1))
		net.Plug(host, []*testnet.Namespace{left, right}[i/2], fmt.Sprintf("10.0.0.%d/24", i+1))
		lab.AddAt(unconfigured(host))
	}
	for _, p := range lab.Peers[1:] {
		lab.Meet(lab.Peers[0], p)
	}
	t.Log("daemons 1 and 2 are on the left switch, 3 and 4 on the right one; all have met")

	left.IP("link set dev " + port + " down")
	cut := time.Now()
	var shared []api.ShareResult
	for i := 0; i < 4; i += 2 { // each half works
		a, b := lab.Peers[i], lab.Peers[i+1]
		path := testnet.RandomFile(t, a.Path("original"), 4*chunk, byte(i))
		shared = append(shared, a.Share(path))
		asked := time.Now()
		b.Get(shared[i/2].CID, b.Path("copy"))
		lab.Same(path, b.Path("copy"), false)
		tell(t, asked, "the cable is cut, and daemon %d has fetched what daemon %d has shared since", b.Index(), a.Index())
	}
	across := lab.Peers[1].Fetch(shared[1].CID, lab.Peers[1].Path("across"))
	for _, pair := range [][2]int{{0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 0}, {3, 0}} {
		until(t, 3*time.Minute, "the halves lose each other", func() bool { return !connected(t, lab.Peers[pair[0]], lab.Peers[pair[1]]) })
	}
	tell(t, cut, "the halves have lost each other; daemon 2 looks for what daemon 3 has")

	left.IP("link set dev " + port + " up")
	healed := time.Now()
	across.Done()
	lab.Same(lab.Peers[2].Path("original"), lab.Peers[1].Path("across"), false)
	tell(t, healed, "the cable is back, and daemon 2 has fetched from the other half")
	lab.Peers[3].Get(shared[0].CID, lab.Peers[3].Path("across"))
	lab.Same(lab.Peers[0].Path("original"), lab.Peers[3].Path("across"), false)
	tell(t, healed, "daemon 4 too")
}

// TestLabRoam changes the address of a fetching machine in the middle of a fetch, and then that of the machine that it fetches from.
func TestLabRoam(t *testing.T) {
	const size = 192 * chunk
	net := testnet.NewTopology(t, "roam")
	sw := net.Switch("switch")
	lab := testnet.Start(t, 0, testnet.Options{})
	hosts := []*testnet.Namespace{net.Host("seeder"), net.Host("fetcher")}
	for i, host := range hosts {
		net.Plug(host, sw, fmt.Sprintf("10.0.0.%d/24", i+1))
		lab.AddAt(unconfigured(host, "--limit-up", "16MiB/s"))
	}
	seeder, fetcher := lab.Peers[0], lab.Peers[1]
	path := testnet.RandomFile(t, seeder.Path("original"), size, 1)
	shared := seeder.Share(path)
	f := fetcher.Fetch(shared.CID, fetcher.Path("copy"))
	for i, who := range []string{"fetcher", "seeder"} {
		host := hosts[1-i]
		f.UntilBytes(size * int64(i+1) / 4)
		host.IP(fmt.Sprintf("addr del 10.0.0.%d/24 dev eth0", 2-i), fmt.Sprintf("addr add 10.0.0.%d/24 dev eth0", 52-i))
		changed, had := time.Now(), f.Progress().Bytes
		f.UntilBytes(had + 8*chunk)
		tell(t, changed, "the %s has changed its address from 10.0.0.%d to 10.0.0.%d, and 8 MiB more have come", who, 2-i, 52-i)
	}
	res := f.Done()
	lab.Same(path, fetcher.Path("copy"), false)
	if res.Duplicate > size/10 {
		t.Errorf("%d bytes have come twice: what was there before the change was not kept", res.Duplicate)
	}
	t.Logf("%d MiB have come in %.1f s, %d bytes of them twice", size/chunk, res.Seconds, res.Duplicate)
}

// connected says whether a peer is connected with another.
func connected(t *testing.T, a, b *testnet.Peer) bool {
	t.Helper()
	peers, err := a.Client().Peers(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(peers, func(p api.Peer) bool { return p.ID == b.ID() })
}

// until waits for what may take long.
func until(t *testing.T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	end := time.After(limit)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
