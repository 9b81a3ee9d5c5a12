package dht

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Status is the state of a node's part in its network.
type Status struct {
	Network   string // the profile's name
	Ready     bool   // the routing table has had a peer
	Table     int    // peers in the routing table
	Connected int    // connected peers that speak this network's DHT
	Provided  int    // roots that this node provides
	Waiting   int    // of these, roots that too few other peers hold our record of yet
	Sent      int64  // provider records that other peers took from us since the start
	Records   int    // provider records kept for others
	Asked     int    // DHT messages sent since the start, also those that did not get through
}

// Peer is a peer that the DHT knows.
type Peer struct {
	ID        peer.ID
	Addrs     []ma.Multiaddr
	Sources   []string  // where it was met: bootstrap, saved, mdns, dht
	Connected bool      //
	InTable   bool      // it is in the routing table
	Seen      time.Time // when it was last in the routing table, zero: not since the start
}

// Ready is closed once the routing table has had its first peer.
func (d *DHT) Ready() <-chan struct{} { return d.ready }

// Size is the number of peers in the routing table.
func (d *DHT) Size() int {
	if !isClosed(d.started) {
		return 0
	}
	return d.kad.RoutingTable().Size()
}

// Status is zero but for the name before Run has started.
func (d *DHT) Status() Status {
	s := Status{Network: d.profile.Name, Ready: isClosed(d.ready)}
	if !isClosed(d.started) {
		return s
	}
	s.Table = d.kad.RoutingTable().Size()
	s.Connected = len(d.neighbours())
	s.Provided, s.Waiting = d.roots.size()
	s.Sent = d.roots.sent.Load()
	s.Records = int(max(d.records.n.Load(), 0))
	s.Asked = int(d.send.asked.Load())
	return s
}

// Peers lists the peers that the DHT knows, connected ones first.
func (d *DHT) Peers() []Peer {
	if !isClosed(d.started) {
		return nil
	}
	inTable := map[peer.ID]bool{}
	for _, p := range d.kad.RoutingTable().ListPeers() {
		inTable[p] = true
	}
	peers := d.book.list()
	for i := range peers {
		p := &peers[i]
		p.Connected, p.InTable = d.connected(p.ID), inTable[p.ID]
		delete(inTable, p.ID)
	}
	for id := range inTable {
		info := peer.AddrInfo{ID: id}
		peers = append(peers, Peer{ID: id, Addrs: d.addrsOf(info), Sources: []string{"dht"}, Connected: d.connected(id), InTable: true})
	}
	slices.SortFunc(peers, func(a, b Peer) int {
		if a.Connected != b.Connected {
			if a.Connected {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return peers
}

func (d *DHT) connected(p peer.ID) bool {
	return d.host.Network().Connectedness(p) == network.Connected
}

func (d *DHT) inTable(p peer.ID) bool { return d.kad.RoutingTable().Find(p) != "" }

// neighbours are the connected peers that answer this network's DHT queries.
func (d *DHT) neighbours() []peer.ID {
	return slices.DeleteFunc(d.host.Network().Peers(), func(p peer.ID) bool {
		has, err := d.host.Peerstore().FirstSupportedProtocol(p, d.proto)
		return err != nil || has == "" || !d.connected(p)
	})
}

// addrsOf are the addresses of a peer that may be dialled: those given, else those known.
func (d *DHT) addrsOf(p peer.AddrInfo) []ma.Multiaddr {
	addrs := d.profile.Dialable(p.Addrs, maxAddrs)
	if d.profile.PublicOnly {
		addrs = ma.FilterAddrs(addrs, manet.IsPublicAddr)
	}
	if len(addrs) == 0 {
		addrs = d.profile.Dialable(d.host.Peerstore().Addrs(p.ID), maxAddrs)
	}
	return addrs
}

// watch turns what happens in the host into the signals wake and table, and closes ready. kad-dht has no event for a
// change of its routing table: it follows a successful query to a new peer, so after each event about a peer the size is
// looked at often for a moment, and rarely otherwise.
func (d *DHT) watch(ctx context.Context) error {
	sub, err := d.host.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted),
		new(event.EvtPeerProtocolsUpdated),
		new(event.EvtPeerConnectednessChanged),
	}, eventbus.BufSize(256), eventbus.Name("shoal/dht"))
	if err != nil {
		return fmt.Errorf("watch the host: %w", err)
	}
	defer sub.Close()
	const often, rarely, moment = 5 * time.Millisecond, time.Second, time.Second
	timer := time.NewTimer(0)
	defer timer.Stop()
	var until time.Time
	empty := true
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-sub.Out():
			d.wake.fire()
			until = time.Now().Add(moment)
		case <-timer.C:
		}
		if now := d.kad.RoutingTable().Size() == 0; now != empty {
			empty = now
			d.table.fire()
			if !empty && !isClosed(d.ready) {
				close(d.ready)
			}
		}
		if empty && time.Now().Before(until) {
			timer.Reset(often)
		} else {
			timer.Reset(rarely)
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
