package node

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/chunker"
	"shoal/node/api"
)

// A look for providers ends this long after it began, or, once somebody is found,
// after a while in which nobody else was.
const (
	findFor   = 5 * time.Second
	findQuiet = 2 * time.Second
)

// Find reports each peer that says it has a root, once.
func (n *Node) Find(ctx context.Context, ref string, found func(api.Provider)) error {
	if err := n.online(); err != nil {
		return err
	}
	link, err := parseLink(ref)
	if err != nil {
		return err
	}
	seen := map[peer.ID]bool{}
	report := func(p peer.AddrInfo, source string) {
		if !seen[p.ID] {
			seen[p.ID] = true
			found(api.Provider{ID: p.ID.String(), Addrs: withPeer(p.Addrs, p.ID), Source: source})
		}
	}
	if s, err := n.store.Share(link.Root); err == nil && s.Have > 0 {
		report(peer.AddrInfo{ID: n.host.ID(), Addrs: n.host.Addrs()}, "self")
	}
	hints, err := linkPeers(link)
	if err != nil {
		return err
	}
	for _, p := range hints {
		report(p, "link")
	}
	search, cancel := context.WithTimeout(ctx, findFor)
	defer cancel()
	quiet := time.AfterFunc(findFor, cancel)
	defer quiet.Stop()
	for f := range n.dht.Find(search, link.Root) {
		report(f.Peer, f.Source)
		quiet.Reset(findQuiet)
	}
	return ctx.Err()
}

// linkPeers reads the provider hints of a link. A multiaddr that names no peer, like that of
// an HTTP gateway, is a fair hint (IPIP-504) that helps other software: it is passed over.
func linkPeers(link chunker.Link) ([]peer.AddrInfo, error) {
	var ours []string
	for _, p := range link.Providers {
		a, err := ma.NewMultiaddr(p)
		if err != nil {
			return nil, api.Errorf(api.Invalid, "provider in the link: %w", err)
		}
		if _, err := a.ValueForProtocol(ma.P_P2P); err == nil {
			ours = append(ours, p)
		}
	}
	peers, err := parsePeers(ours)
	if err != nil {
		return nil, api.Errorf(api.Invalid, "provider in the link: %w", err)
	}
	return peers, nil
}

// parseLink reads any form of link, with an error that a user understands.
func parseLink(s string) (chunker.Link, error) {
	link, err := chunker.ParseLink(s)
	if err != nil {
		e := api.AsError(userError(err))
		if e.Code == api.Internal || e.Code == api.Damaged {
			e.Code = api.Invalid
			e.Hint = "A link looks like ipfs://CID?filename=…, /ipfs/CID/PATH, https://HOST/ipfs/CID/PATH or CID/PATH."
		}
		return link, e
	}
	return link, nil
}
