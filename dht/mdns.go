package dht

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
)

// keepMDNS announces this node on the local link and meets the others there. It starts anew when the host's addresses
// change (a laptop joins a network), since the service keeps the interfaces and addresses it began with.
func (d *DHT) keepMDNS(ctx context.Context) error {
	sub, err := d.host.EventBus().Subscribe(new(event.EvtLocalAddressesUpdated), eventbus.Name("shoal/dht/mdns"))
	if err != nil {
		return fmt.Errorf("mdns: watch addresses: %w", err)
	}
	defer sub.Close()
	const settle, retry = time.Second, 30 * time.Second
	for {
		service := mdns.NewMdnsService(d.host, d.profile.ServiceTag, met(func(info peer.AddrInfo) {
			d.book.meet(info, fromMDNS)
		}))
		var again <-chan time.Time
		if err := service.Start(); err != nil { // no network yet, most likely
			d.log.Debug("mdns did not start, trying again", "err", err)
			again = time.After(retry)
		}
		select {
		case <-ctx.Done():
		case <-again:
		case <-sub.Out():
			wait(ctx, settle)
		}
		if err := service.Close(); err != nil {
			d.log.Debug("mdns did not close", "err", err)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// wait lets time pass: address changes come in bursts.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// met is called for each peer heard of on the local link.
type met func(peer.AddrInfo)

func (f met) HandlePeerFound(info peer.AddrInfo) { f(info) }
