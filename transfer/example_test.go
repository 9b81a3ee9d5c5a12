package transfer

import (
	"context"
	"fmt"
	"sync"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Two engines in one program: one shares a root, the other one fetches it. The
// source and the job are the tests' own, in memory; in the daemon they are the store.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	start := func(src Source) (*Engine, peer.AddrInfo) {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
		if err != nil {
			panic(err)
		}
		e := New(h, src, Config{})
		wg.Go(func() {
			defer h.Close()
			_ = e.Run(ctx) // until ctx ends
		})
		return e, peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}
	}

	share := newContent(1, 16, 1<<20, 1<<20, 500) // three leaves
	src := new(memSource)
	src.put(share)
	_, provider := start(src)
	fetcher, _ := start(new(memSource))

	peers := make(chan peer.AddrInfo, 1)
	peers <- provider
	stats, err := fetcher.Fetch(ctx, newJob(share.root), peers, nil)
	fmt.Println(stats.Have, "leaves,", stats.From[provider.ID], "bytes,", err)
	// Output: 3 leaves, 2097652 bytes, <nil>
}
