package testnet_test

import (
	"fmt"
	"slices"
	"testing"

	"shoal/node/api"
	"shoal/testnet"
)

// TestSwarm has four peers fetch from one at once. They have to serve each other while they fetch.
func TestSwarm(t *testing.T) {
	size := int64(256 * chunk)
	if testing.Short() {
		size = 64 * chunk
	}
	lab := testnet.Start(t, 5, testnet.Options{})
	sharer, fetchers := lab.Peers[0], lab.Peers[1:]
	path := testnet.RandomFile(t, sharer.Path("original"), size, 1)
	shared := sharer.Share(path)
	var running []*testnet.Fetch
	for _, p := range fetchers {
		running = append(running, p.Fetch(shared.Link, p.Path("copy")))
	}
	var eachOther int64
	for i, f := range running {
		res := f.Done()
		lab.Same(path, fetchers[i].Path("copy"), false)
		if n := received(res.From); n != size {
			t.Errorf("peer %d: %d of %d bytes came from peers", fetchers[i].Index(), n, size)
		}
		eachOther += received(res.From) - res.From[sharer.ID()]
		t.Logf("peer %d: %s", fetchers[i].Index(), whence(lab, res))
	}
	if eachOther == 0 {
		t.Error("the fetchers served each other nothing")
	}
}

// whence tells where a fetch got its bytes, for the log.
func whence(lab *testnet.Lab, res api.GetResult) string {
	text := fmt.Sprintf("%.2f s, first chunk after %.0f ms", res.Seconds, res.FirstByte*1000)
	for _, p := range lab.Peers {
		if n := res.From[p.ID()]; n > 0 {
			text += fmt.Sprintf(", %d MiB from peer %d", n/chunk, p.Index())
		}
	}
	return text + fmt.Sprintf(", %d bytes twice", res.Duplicate)
}

// TestLatency prints how soon a fetch in a testnet of twenty receives its first chunk.
func TestLatency(t *testing.T) {
	big(t)
	const rounds = 21
	lab := testnet.Start(t, 20, testnet.Options{})
	var first []float64
	for i := range rounds {
		sharer, fetcher := lab.Peers[i%len(lab.Peers)], lab.Peers[(i*7+3)%len(lab.Peers)]
		shared := sharer.Share(testnet.RandomFile(t, sharer.Path(fmt.Sprint("file", i)), 4*chunk, byte(i)))
		res := fetcher.Get(shared.CID, fetcher.Path(fmt.Sprint("copy", i)))
		first = append(first, res.FirstByte*1000)
	}
	t.Logf("first chunk by CID alone among %d peers, %d fetches: median %.1f ms, slowest %.1f ms",
		len(lab.Peers), rounds, median(first), slices.Max(first))
}
