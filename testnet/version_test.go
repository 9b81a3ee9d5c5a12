package testnet_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"shoal/testnet"
)

// TestVersion fetches version 2 of a file where version 1 is shared: what they have in common does not cross the wire.
func TestVersion(t *testing.T) {
	chunks := 400
	if testing.Short() {
		chunks = 200
	}
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	one := testnet.RandomFile(t, fetcher.Path("one"), int64(chunks)*chunk, 1)
	two := secondVersion(t, one, sharer.Path("two"), chunks)
	fetcher.Share(one)
	shared := sharer.Share(two)

	before := receivedBytes(t, fetcher)
	got := fetcher.Get(shared.Link, fetcher.Path("two"))
	wire := receivedBytes(t, fetcher) - before
	lab.Same(two, fetcher.Path("two"), false)
	changed := int64(chunks/100) * chunk
	if n := got.From[sharer.ID()]; n != changed {
		t.Errorf("%d bytes of chunks were fetched, %d differ", n, changed)
	}
	// Inner nodes are 50 bytes a chunk. The rest is the room for connections and their upkeep.
	if limit := changed + int64(chunks)*64 + 256<<10; wire > limit {
		t.Errorf("%d bytes crossed the wire, at most %d are right", wire, limit)
	}
	t.Logf("%.2f %% of the bytes crossed the wire", 100*float64(wire)/float64(shared.Size))
}

// secondVersion copies a file and changes one chunk in a hundred.
func secondVersion(t *testing.T, one, two string, chunks int) string {
	t.Helper()
	data, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, i := range rng.Perm(chunks)[:chunks/100] {
		data[i*chunk+rng.IntN(chunk)] ^= 1
	}
	if err := os.WriteFile(two, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return two
}

// receivedBytes is all that has come to a peer since it started.
func receivedBytes(t *testing.T, p *testnet.Peer) int64 {
	t.Helper()
	s, err := p.Client().Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s.Received
}

// TestRepeats fetches files that are the same few chunks over and over: each crosses the wire once.
func TestRepeats(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	dir := sharer.Path("tree")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	pattern, err := os.ReadFile(testnet.RandomFile(t, sharer.Path("pattern"), 2*chunk, 3))
	if err != nil {
		t.Fatal(err)
	}
	for name, order := range map[string]string{"a": "0101", "b": "1", "c": "00000000000", "d": "10"} {
		var data []byte
		for _, k := range order {
			data = append(data, pattern[int(k-'0')*chunk:][:chunk]...)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shared := sharer.Share(dir)
	got := fetcher.Get(shared.Link, fetcher.Path("copy"))
	lab.Same(dir, fetcher.Path("copy"), false)
	if n := received(got.From); n != 2*chunk {
		t.Errorf("%d bytes were fetched of 2 chunks", n)
	}
}
