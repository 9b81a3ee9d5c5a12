package dht_test

import (
	"context"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/dht"
)

// Two nodes on this machine: one provides a root, the other finds it.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	join := func(bootstrap ...peer.AddrInfo) (*dht.DHT, peer.AddrInfo) {
		network := dht.Local()
		h, err := libp2p.New(libp2p.ListenAddrStrings(network.Listen...), libp2p.AddrsFactory(network.Advertise))
		if err != nil {
			panic(err)
		}
		d, err := dht.New(dht.Config{
			Host:      h,
			Profile:   network,
			Bootstrap: bootstrap,
			Datastore: sync.MutexWrap(datastore.NewMapDatastore()),
		})
		if err != nil {
			panic(err)
		}
		go func() {
			defer h.Close()
			if err := d.Run(ctx); err != nil {
				panic(err)
			}
		}()
		return d, peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}
	}
	alice, aliceInfo := join()
	defer alice.Close()
	bob, _ := join(aliceInfo)
	defer bob.Close()

	root := cid.MustParse("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi")
	if err := alice.Provide(ctx, root); err != nil {
		panic(err)
	}
	for found := range bob.Find(ctx, root) {
		fmt.Println("found alice:", found.Peer.ID == aliceInfo.ID)
		break
	}
	// Output: found alice: true
}

func ExampleProfile_AllowDial() {
	lan := dht.LAN()
	info, err := peer.AddrInfoFromString("/ip4/203.0.113.9/tcp/4474/p2p/12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf")
	if err != nil {
		panic(err)
	}
	fmt.Println(lan.AllowDial(info.Addrs[0]))
	// Output: false
}
