package node

import (
	"context"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/node/api"
	"shoal/transfer/wire"
)

// ID tells who the node is and where it can be dialled.
func (n *Node) ID(context.Context) (api.Identity, error) {
	if n.host == nil {
		id, err := Identity(n.set.home)
		return api.Identity{ID: id.String(), Addrs: []string{}}, err
	}
	return api.Identity{ID: n.host.ID().String(), Addrs: n.addrs()}, nil
}

// addrs are the node's dialable addresses, each ending in its peer ID.
func (n *Node) addrs() []string { return withPeer(n.host.Addrs(), n.host.ID()) }

func withPeer(addrs []ma.Multiaddr, id peer.ID) []string {
	out := make([]string, 0, len(addrs))
	for _, a := range addrs {
		out = append(out, a.String()+"/p2p/"+id.String())
	}
	return out
}

// Version tells which build this is.
func (n *Node) Version(context.Context) (api.Version, error) {
	return api.Version{Version: Version(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, Transient: n.set.transient}, nil
}

// Status is the node at a glance.
func (n *Node) Status(ctx context.Context) (api.Status, error) {
	shares, listErr := n.store.Shares()
	id, err := n.ID(ctx)
	if err != nil {
		return api.Status{}, err
	}
	s := api.Status{
		ID: id.ID, Addrs: id.Addrs, Version: Version(), Home: n.set.home, Network: n.set.profile.Name,
		Uptime: time.Since(n.started).Seconds(), Memory: residentBytes(), Shares: len(shares),
		Transfers: []api.Progress{}, Limits: n.limits.get(time.Now()).Rates(),
	}
	s.Troubles = n.troubles(listErr)
	for _, share := range shares {
		if err := n.store.Away(share); err != nil {
			e := api.AsError(userError(err))
			s.Troubles = append(s.Troubles, api.Trouble{Code: e.Code, Text: e.Message, Next: e.Hint})
		}
	}
	for _, share := range shares {
		s.SharedBytes += share.HaveBytes
	}
	if n.host != nil {
		total := n.traffic.GetBandwidthTotals()
		s.Peers, s.Routing = len(n.host.Network().Peers()), n.dht.Size()
		s.Reach, s.Caps = n.reachability(), n.caps()
		announced := n.dht.Status()
		s.Provided, s.Waiting, s.RecordsSent = announced.Provided, announced.Waiting, announced.Sent
		s.Received, s.ReceivedRate = total.TotalIn, total.RateIn
		s.Sent, s.SentRate = total.TotalOut, total.RateOut
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, f := range n.fetches {
		s.Transfers = append(s.Transfers, f.progress())
	}
	sort.Slice(s.Transfers, func(i, j int) bool { return s.Transfers[i].CID < s.Transfers[j].CID })
	return s, nil
}

// troubles are what keeps the node from working as it should.
func (n *Node) troubles(list error) []api.Trouble {
	out := []api.Trouble{}
	for _, err := range []error{list, n.store.Trouble()} {
		if err == nil || list != nil && len(out) > 0 {
			continue
		}
		e := api.AsError(userError(err))
		out = append(out, api.Trouble{Code: e.Code, Text: e.Message, Next: e.Hint})
	}
	return out
}

// residentBytes is what the process holds in memory, where the platform tells.
func residentBytes() int64 {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(statm))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// Peers lists the connected peers by ID.
func (n *Node) Peers(context.Context) ([]api.Peer, error) {
	out := []api.Peer{}
	if n.host == nil {
		return out, nil
	}
	for _, id := range n.host.Network().Peers() {
		conns := n.host.Network().ConnsToPeer(id)
		if len(conns) > 0 {
			out = append(out, n.apiPeer(id, conns))
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out, nil
}

func (n *Node) apiPeer(id peer.ID, conns []network.Conn) api.Peer {
	book := n.host.Peerstore()
	traffic := n.traffic.GetBandwidthForPeer(id)
	p := api.Peer{
		ID: id.String(), Direction: "in", Latency: book.LatencyEWMA(id).Seconds(),
		Received: traffic.TotalIn, Sent: traffic.TotalOut,
	}
	if agent, err := book.Get(id, "AgentVersion"); err == nil {
		p.Agent, _ = agent.(string)
	}
	speaks, err := book.SupportsProtocols(id, wire.ID)
	p.Shoal = err == nil && len(speaks) > 0
	for _, c := range conns {
		p.Addrs = append(p.Addrs, c.RemoteMultiaddr().String())
		p.Connected = max(p.Connected, time.Since(c.Stat().Opened).Seconds())
		if c.Stat().Direction == network.DirOutbound {
			p.Direction = "out"
		}
	}
	return p
}
