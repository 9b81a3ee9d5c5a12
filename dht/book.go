package dht

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	maxMDNS    = 256       // peers known from the local link
	forgetMDNS = time.Hour // a peer is no longer counted as one of the link when nothing was heard of it for so long; see dialled
)

// source says where a peer was met; a peer may have several.
type source uint8

const (
	fromBootstrap source = 1 << iota
	fromSaved
	fromMDNS
	fromTable
)

func (s source) names() []string {
	var out []string
	for i, name := range []string{"bootstrap", "saved", "mdns", "dht"} {
		if s&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}

// known is a peer in the book.
type known struct {
	addrs   []ma.Multiaddr
	sources source
	seen    time.Time // last in the routing table
	heard   time.Time // last announced on the link
	reached time.Time // last dialled with success
	dialled bool
	fails   int       // failed dials in a row
	next    time.Time // not dialled before
}

// book holds the peers that this node may dial to get into its network. It is safe for concurrent use.
type book struct {
	profile Profile
	self    peer.ID
	changed signal // there is somebody new to dial

	mu    sync.Mutex
	peers map[peer.ID]*known
}

func newBook(p Profile, self peer.ID) *book {
	return &book{profile: p, self: self, peers: map[peer.ID]*known{}}
}

// meet notes a peer. Addresses beyond the network's reach are left out, but for those the user gave: these are only
// refused where the network is this machine.
func (b *book) meet(info peer.AddrInfo, from source) {
	addrs := info.Addrs
	if from != fromBootstrap || b.profile.Reach == Loopback {
		addrs = b.profile.Dialable(addrs, maxAddrs)
	}
	if info.ID == b.self || info.ID.Validate() != nil || len(addrs) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.peers[info.ID]
	if from == fromMDNS && (k == nil || k.sources&fromMDNS == 0) && b.countLocked(fromMDNS) >= maxMDNS && !b.evictLocked(fromMDNS) {
		return
	}
	if k == nil {
		k = &known{}
		b.peers[info.ID] = k
	}
	if k.sources&fromBootstrap == 0 || from == fromBootstrap {
		k.addrs = addrs
	}
	k.sources |= from
	switch from {
	case fromTable:
		k.seen = time.Now()
		return
	case fromMDNS: // somebody who speaks is there, perhaps at a new address
		k.heard, k.fails = time.Now(), 0
		if soon := k.heard.Add(firstDialPause); k.next.After(soon) {
			k.next = soon
		}
	}
	b.changed.fire()
}

func (b *book) countLocked(from source) int {
	n := 0
	for _, k := range b.peers {
		if k.sources&from != 0 {
			n++
		}
	}
	return n
}

// evictLocked drops the peer of a source that has failed most often, if one has.
func (b *book) evictLocked(from source) bool {
	var worst peer.ID
	most := 0
	for id, k := range b.peers {
		if k.sources&from != 0 && k.fails > most {
			worst, most = id, k.fails
		}
	}
	if most == 0 {
		return false
	}
	b.dropLocked(worst, from)
	return true
}

// dialled notes how a dial went. A peer of the local link is kept for a time while it fails: our mDNS tells of each announcement once, so who
// was forgotten while a cable was out would not be heard of again when it is back.
func (b *book) dialled(p peer.ID, err error, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.peers[p]
	if k == nil {
		return
	}
	k.dialled = true
	if err == nil {
		k.fails, k.next, k.reached = 0, now.Add(pauseAfter(0)), now
		return
	}
	k.fails++
	k.next = now.Add(pauseAfter(k.fails))
	if k.sources&fromMDNS != 0 && now.Sub(later(k.heard, k.reached)) >= forgetMDNS {
		b.dropLocked(p, fromMDNS)
	}
}

// dropLocked takes a source from a peer, and forgets the peer when it has no other.
func (b *book) dropLocked(p peer.ID, from source) {
	k := b.peers[p]
	if k.sources &^= from; k.sources == 0 {
		delete(b.peers, p)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// targets is a snapshot for choose.
func (b *book) targets(connected func(peer.ID) bool, dialling map[peer.ID]struct{}) []target {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]target, 0, len(b.peers))
	for id, k := range b.peers {
		_, busy := dialling[id]
		out = append(out, target{
			id: id, sources: k.sources, seen: k.seen, dialled: k.dialled, next: k.next, fails: k.fails, reached: k.reached,
			busy: busy || connected(id),
		})
	}
	return out
}

func (b *book) addrs(p peer.ID) []ma.Multiaddr {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.peers[p]; k != nil {
		return slices.Clone(k.addrs)
	}
	return nil
}

func (b *book) list() []Peer {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Peer, 0, len(b.peers))
	for id, k := range b.peers {
		out = append(out, Peer{ID: id, Addrs: slices.Clone(k.addrs), Sources: k.sources.names(), Seen: k.seen})
	}
	return out
}

// trim leaves the newest peers that a later start may use, and forgets the others seen in the table. It returns those
// to save, newest first.
func (b *book) trim(now time.Time) []savedPeer {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []savedPeer
	for id, k := range b.peers {
		if k.seen.IsZero() || now.Sub(k.seen) > maxSavedAge {
			continue
		}
		if addrs := b.profile.Dialable(k.addrs, maxSavedAddrs); len(addrs) > 0 {
			out = append(out, savedPeer{ID: id, Seen: k.seen, Addrs: addrs})
		}
	}
	slices.SortFunc(out, func(a, b savedPeer) int { return b.Seen.Compare(a.Seen) })
	out = out[:min(len(out), maxSaved)]
	keep := make(map[peer.ID]struct{}, len(out))
	for _, s := range out {
		keep[s.ID] = struct{}{}
	}
	maps.DeleteFunc(b.peers, func(id peer.ID, k *known) bool {
		_, ok := keep[id]
		return !ok && k.sources&(fromBootstrap|fromMDNS) == 0
	})
	return out
}

// restore takes in the peers that an earlier run saved.
func (b *book) restore(peers []savedPeer, now time.Time) {
	for _, s := range peers {
		if now.Sub(s.Seen) > maxSavedAge {
			continue
		}
		b.meet(peer.AddrInfo{ID: s.ID, Addrs: s.Addrs}, fromSaved)
		b.mu.Lock()
		if k := b.peers[s.ID]; k != nil {
			k.seen = s.Seen
			if k.seen.After(now) { // the clock was wrong then, or is now
				k.seen = now
			}
		}
		b.mu.Unlock()
	}
}

// savedRow holds the saved peers.
var savedRow = datastore.NewKey("/peers")

// loadPeers fills the book at the start. Damaged rows cost the memory of peers, not the start.
func (d *DHT) loadPeers(ctx context.Context) error {
	for _, info := range d.bootstrap {
		d.book.meet(info, fromBootstrap)
	}
	data, err := d.state.Get(ctx, savedRow)
	if errors.Is(err, datastore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("saved peers: %w", err)
	}
	saved, err := decodeSaved(data)
	if err != nil {
		d.log.Warn("saved peers are damaged, starting without them", "err", err)
		return nil
	}
	d.book.restore(saved, time.Now())
	return nil
}

// keepSaved writes down the peers of the routing table soon after there are some, and then now and again.
func (d *DHT) keepSaved(ctx context.Context) error {
	const soon, later = 3 * time.Second, 5 * time.Minute
	select {
	case <-d.ready:
	case <-ctx.Done():
		return nil
	}
	timer := time.NewTimer(soon)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			d.savePeers()
			timer.Reset(later)
		}
	}
}

// savePeers writes the newest peers down. It runs at the end too, when no context is alive any more.
func (d *DHT) savePeers() {
	for _, p := range d.kad.RoutingTable().ListPeers() {
		d.book.meet(peer.AddrInfo{ID: p, Addrs: d.lastingAddrs(p)}, fromTable)
	}
	peers := d.book.trim(time.Now())
	if len(peers) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	if err := d.state.Put(ctx, savedRow, encodeSaved(peers)); err != nil {
		d.log.Warn("peers could not be saved", "err", err)
	}
}

// lastingAddrs are the addresses of a peer that may still hold after a restart, the one we dialled first: that a peer
// dialled us says nothing about the port it listens on.
func (d *DHT) lastingAddrs(p peer.ID) []ma.Multiaddr {
	var addrs []ma.Multiaddr
	for _, c := range d.host.Network().ConnsToPeer(p) {
		if c.Stat().Direction == network.DirOutbound {
			addrs = append(addrs, c.RemoteMultiaddr())
		}
	}
	for _, a := range d.host.Peerstore().Addrs(p) {
		if !slices.ContainsFunc(addrs, a.Equal) {
			addrs = append(addrs, a)
		}
	}
	return addrs
}
