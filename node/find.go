package node

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/chunker"
	"shoal/node/api"
)

const (
	// A look for providers ends this long after it began, or, once somebody is found,
	// after a while in which nobody else was.
	findFor   = 5 * time.Second
	findQuiet = 2 * time.Second

	reachFor    = 8 * time.Second // for one dial: QUIC takes 5 s to notice that nothing listens, and what TCP says comes with that
	reachAtOnce = 16              // dials of one look
)

// Find reports each peer that says it has a root, once, as soon as it is known
// whether it can be reached.
func (n *Node) Find(ctx context.Context, ref string, found func(api.Provider)) error {
	if err := api.CheckRef(ref); err != nil {
		return err
	}
	if err := n.online(); err != nil {
		return err
	}
	link, err := parseLink(ref)
	if err != nil {
		return err
	}
	hints, err := n.hintsOf(link)
	if err != nil {
		return err
	}
	n.named.add(hints)
	if s, err := n.store.Share(link.Root); err == nil && s.Have > 0 {
		found(api.Provider{ID: n.host.ID().String(), Addrs: n.addrs(), Source: "self", Reached: true})
	}
	r := &reacher{n: n, found: found, seen: map[peer.ID]bool{n.host.ID(): true}, room: make(chan struct{}, reachAtOnce)}
	for _, p := range hints {
		r.try(ctx, p, "link")
	}
	search, cancel := context.WithTimeout(ctx, findFor)
	defer cancel()
	quiet := time.AfterFunc(findFor, cancel)
	defer quiet.Stop()
	for f := range n.dht.Find(search, link.Root) {
		if n.rules.refusal(f.Peer.ID) != "" {
			continue
		}
		r.try(ctx, f.Peer, f.Source)
		quiet.Reset(findQuiet)
	}
	r.dials.Wait() // before the question of whether they were let finish
	return ctx.Err()
}

// reacher dials the peers that a look finds, some at a time, and reports them.
type reacher struct {
	n     *Node
	seen  map[peer.ID]bool
	dials sync.WaitGroup
	room  chan struct{}

	mu    sync.Mutex
	found func(api.Provider)
}

// try dials a peer and reports it, unless it has been.
func (r *reacher) try(ctx context.Context, p peer.AddrInfo, source string) {
	if r.seen[p.ID] {
		return
	}
	r.seen[p.ID] = true
	r.dials.Go(func() {
		r.room <- struct{}{}
		defer func() { <-r.room }()
		err := r.n.dial(ctx, p)
		if ctx.Err() != nil {
			return // not its fault
		}
		trouble, detail := r.n.troubleWith(p.ID, err)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.found(api.Provider{
			ID: p.ID.String(), Addrs: withPeer(p.Addrs, p.ID), Source: source,
			Reached: err == nil, Trouble: trouble, Detail: detail,
		})
	})
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
