package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	"github.com/ipfs/go-datastore/query"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/chunker"
	"shoal/node/api"
)

// maxListed bounds the peers in the allow and ban lists together.
const maxListed = 10_000

// sweepFrom is how many connections are held at least before closed ones are looked for.
const sweepFrom = 256

// verdict is what the user has said of a peer; also its value on disk.
type verdict string

const (
	allowed verdict = "allow"
	banned  verdict = "ban"
)

// peerRules are the user's lists, and the open connections that they hold for: those of
// the host and those of the lanes that transfer opens beside it.
type peerRules struct {
	ds datastore.Batching // key: peer ID, value: verdict

	change sync.Mutex // one change at a time

	mu      sync.RWMutex
	said    map[peer.ID]verdict
	allowed int // of said
	conns   map[peer.ID][]network.Conn
	held    int // of conns, closed ones too
	sweepAt int // held that makes admit look for closed ones
}

// loadPeerRules reads the lists. What it cannot read is an error: a ban must not be lost
// by mistake.
func loadPeerRules(ds datastore.Batching) (*peerRules, error) {
	r := &peerRules{
		ds:   namespace.Wrap(ds, datastore.NewKey("/peerlists")),
		said: map[peer.ID]verdict{}, conns: map[peer.ID][]network.Conn{}, sweepAt: sweepFrom,
	}
	all, err := r.ds.Query(context.Background(), query.Query{})
	if err != nil {
		return nil, fmt.Errorf("read the peer lists: %w", err)
	}
	defer all.Close()
	for e := range all.Next() {
		if e.Error != nil {
			return nil, fmt.Errorf("read the peer lists: %w", e.Error)
		}
		id, err := peer.Decode(strings.TrimPrefix(e.Key, "/"))
		v := verdict(e.Value)
		if err != nil || v != allowed && v != banned {
			return nil, fmt.Errorf("read the peer lists: %q of %q is no verdict", e.Value, e.Key)
		}
		r.put(id, v)
	}
	return r, nil
}

// put notes a verdict, "" for none. mu is held, or nobody else knows r yet.
func (r *peerRules) put(id peer.ID, v verdict) {
	if r.said[id] == allowed {
		r.allowed--
	}
	if v == allowed {
		r.allowed++
	}
	if r.said[id] = v; v == "" {
		delete(r.said, id)
	}
}

// refusal says why a peer may not connect, "" if it may.
func (r *peerRules) refusal(id peer.ID) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.refusalLocked(id)
}

func (r *peerRules) refusalLocked(id peer.ID) string {
	switch v := r.said[id]; {
	case v == banned:
		return "is banned here"
	case r.allowed > 0 && v != allowed:
		return "is not on the allow list here"
	}
	return ""
}

// admit lets a new connection in and keeps it, so that a later ban closes it, or says no.
func (r *peerRules) admit(c network.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := c.RemotePeer()
	if r.refusalLocked(id) != "" {
		return false
	}
	r.conns[id] = append(r.conns[id], c)
	if r.held++; r.held >= r.sweepAt {
		r.sweep()
	}
	return true
}

// sweep lets go of closed connections. Looking again when there are twice as many makes
// that cheap. mu is held.
func (r *peerRules) sweep() {
	r.held = 0
	for id, cs := range r.conns {
		if cs = slices.DeleteFunc(cs, network.Conn.IsClosed); len(cs) == 0 {
			delete(r.conns, id)
		} else {
			r.conns[id] = cs
		}
		r.held += len(cs)
	}
	r.sweepAt = max(sweepFrom, 2*r.held)
}

// expel closes the connections of all who may not connect any more. Each may take seconds, where the other end does not read:
// nobody waits for the one before.
func (r *peerRules) expel() {
	var out []network.Conn
	r.mu.Lock()
	for id, cs := range r.conns {
		if r.refusalLocked(id) != "" {
			out = append(out, cs...)
			r.held -= len(cs)
			delete(r.conns, id)
		}
	}
	r.mu.Unlock()
	var closing sync.WaitGroup
	for _, c := range out {
		closing.Go(func() { _ = c.CloseWithError(network.ConnGated) }) // gone already, at worst
	}
	closing.Wait()
}

// set changes the lists on disk, then here, then among the connections.
func (r *peerRules) set(ctx context.Context, changes map[peer.ID]verdict) error {
	r.change.Lock()
	defer r.change.Unlock()
	r.mu.RLock()
	count := len(r.said)
	for id, v := range changes {
		if _, known := r.said[id]; !known && v != "" {
			count++
		}
	}
	r.mu.RUnlock()
	if count > maxListed {
		return api.Errorf(api.Invalid, "the lists would hold %d peers, %d is the most", count, maxListed)
	}
	if err := r.save(ctx, changes); err != nil {
		return fmt.Errorf("save the peer lists: %w", err)
	}
	r.mu.Lock()
	for id, v := range changes {
		r.put(id, v)
	}
	r.mu.Unlock()
	r.expel()
	return nil
}

// save writes all changes or none.
func (r *peerRules) save(ctx context.Context, changes map[peer.ID]verdict) error {
	b, err := r.ds.Batch(ctx)
	if err != nil {
		return err
	}
	for id, v := range changes {
		key := datastore.NewKey(id.String())
		if v == "" {
			err = errors.Join(err, b.Delete(ctx, key))
		} else {
			err = errors.Join(err, b.Put(ctx, key, []byte(v)))
		}
	}
	if err != nil {
		return err
	}
	if err := b.Commit(ctx); err != nil {
		return err
	}
	return r.ds.Sync(ctx, datastore.NewKey("/"))
}

// lists are the lists in the order of the IDs.
func (r *peerRules) lists() api.PeerLists {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := api.PeerLists{Allow: []string{}, Ban: []string{}}
	for id, v := range r.said {
		if v == allowed {
			out.Allow = append(out.Allow, id.String())
		} else {
			out.Ban = append(out.Ban, id.String())
		}
	}
	slices.Sort(out.Allow)
	slices.Sort(out.Ban)
	return out
}

// PeerLists tells whom the user allows and bans.
func (n *Node) PeerLists(context.Context) (api.PeerLists, error) { return n.rules.lists(), nil }

// SetPeerLists allows, bans and forgets peers. Who may not connect any more is cut off before it returns.
func (n *Node) SetPeerLists(ctx context.Context, req api.PeerListRequest) (api.PeerLists, error) {
	if err := req.Check(); err != nil {
		return api.PeerLists{}, err
	}
	self, err := Identity(n.set.home)
	if err != nil {
		return api.PeerLists{}, err
	}
	changes := map[peer.ID]verdict{}
	for _, part := range []struct {
		peers []string
		verdict
	}{{req.Allow, allowed}, {req.Ban, banned}, {req.Forget, ""}} {
		for _, text := range part.peers {
			id, err := parsePeerID(text)
			if err != nil {
				return api.PeerLists{}, api.Errorf(api.Invalid, "%w", err)
			}
			if v, twice := changes[id]; twice && v != part.verdict {
				return api.PeerLists{}, api.Errorf(api.Invalid, "%s is named for two lists", id)
			}
			if id == self {
				return api.PeerLists{}, api.Errorf(api.Invalid, "%s is this node itself", id)
			}
			changes[id] = part.verdict
		}
	}
	if err := n.rules.set(ctx, changes); err != nil {
		return api.PeerLists{}, userError(err)
	}
	return n.rules.lists(), nil
}

// parsePeerID reads a peer ID, or the one at the end of a multiaddr.
func parsePeerID(text string) (peer.ID, error) {
	if strings.HasPrefix(text, "/") {
		peers, err := parsePeers([]string{text})
		if err != nil {
			return "", fmt.Errorf("peer %w", err)
		}
		return peers[0].ID, nil
	}
	id, err := peer.Decode(text)
	if err != nil {
		return "", fmt.Errorf("%q is no peer ID (want e.g. 12D3Koo…): %w", text, err)
	}
	return id, nil
}

// hintsOf are the peers that a link names, without those that may not connect. If that leaves none of them, the link is
// refused: it asks for what the user has ruled out.
func (n *Node) hintsOf(link chunker.Link) ([]peer.AddrInfo, error) {
	peers, err := linkPeers(link)
	if err != nil {
		return nil, err
	}
	return n.welcome(peers)
}

func (n *Node) welcome(peers []peer.AddrInfo) ([]peer.AddrInfo, error) {
	var good []peer.AddrInfo
	for _, p := range peers {
		if n.rules.refusal(p.ID) == "" {
			good = append(good, p)
		}
	}
	if len(good) == 0 && len(peers) > 0 {
		id := peers[0].ID
		return nil, api.Errorf(api.Denied, "the provider in the link, %s, %s", id, n.rules.refusal(id)).
			WithHint("`shoal peers lists` shows who may connect; the CID alone is looked for among the others.")
	}
	return good, nil
}
