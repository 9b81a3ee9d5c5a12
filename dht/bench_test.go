package dht

import (
	"context"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
)

// BenchmarkFind is the time from Find to the first provider in a network of 20 nodes that know each other; each root is
// asked for once by a node that does not hold its record's provider.
func BenchmarkFind(b *testing.B) {
	nodes := startNetwork(b, 20)
	warm(b, nodes)
	for i := range b.N {
		provide(b, nodes[i%20], root(i))
	}
	for _, n := range nodes {
		await(b, "all to be announced", func() bool { return n.Status().Waiting == 0 })
	}
	b.ResetTimer()
	for i := range b.N {
		find(b, nodes[(i+7)%20], root(i), nodes[i%20].host.ID())
	}
}

// BenchmarkProvide is the time that one call takes for one root, announcing it not included.
func BenchmarkProvide(b *testing.B) {
	n := start(b, setup{})
	for i := range b.N {
		provide(b, n, root(i))
	}
}

// BenchmarkAnnounce is the time until each of N roots, given in one call, is known to another of 8 nodes; 100,000 roots:
//
//	go test ./dht -run='^$' -bench=Announce -benchtime=100000x -benchmem
func BenchmarkAnnounce(b *testing.B) {
	nodes := startNetwork(b, 8)
	warm(b, nodes)
	roots := make([]cid.Cid, b.N)
	for i := range roots {
		roots[i] = root(i)
	}
	b.ResetTimer()
	must(b, nodes[0].Provide(context.Background(), roots...))
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if nodes[0].Status().Waiting == 0 {
			break
		}
	}
}
