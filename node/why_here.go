package node

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/node/api"
	"shoal/node/store"
)

// here takes in what the store knows of the root, and how its last fetch ended.
func (q *inquiry) here(ctx context.Context, e *api.Evidence, f *fetch) error {
	s, err := q.n.store.Share(q.root)
	if err == nil && s.State == store.Complete && f == nil {
		if err := q.n.store.Check(ctx, q.root); err != nil && ctx.Err() == nil {
			return userError(err)
		}
		s, err = q.n.store.Share(q.root)
	}
	failed := q.n.failure(q.root)
	if failed != nil && f == nil {
		e.State, e.Error = api.StateFailed, api.AsError(userError(failed))
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return userError(err)
	}
	q.name = s.Name
	e.Path, e.Chunks, e.Have, e.Known = s.Path, int64(s.Leaves), int64(s.Have), true
	if q.partly = f == nil && (len(s.Select) > 0 || s.Sub != ""); !q.partly {
		e.Missing = max(s.Size-s.HaveBytes, 0)
	}
	switch {
	case s.State == store.Complete && s.LeftOut != "":
		e.State, e.Reason, e.Missing = api.StatePartial, s.LeftOut, 0
	case s.State == store.Complete:
		e.State, e.Missing = api.StateComplete, 0
	case s.State == store.Changed:
		e.State, e.Reason, e.Missing, e.Gone = api.StateChanged, s.Reason, 0, gone(s.Path)
	case failed == nil:
		e.State = api.StatePaused
	}
	if free, err := store.FreeSpace(filepath.Dir(s.Path)); err == nil {
		e.Free = free
	}
	return nil
}

// remoteAddrs are where a connected peer is.
func (n *Node) remoteAddrs(id peer.ID) []string {
	var out []string
	for _, c := range n.host.Network().ConnsToPeer(id) {
		out = append(out, c.RemoteMultiaddr().String()+"/p2p/"+id.String())
	}
	return out
}

// complete adds to the evidence, at the end, what takes dials of our own: those whose
// error says only that libp2p waits before it dials again, and, where nobody is connected,
// those that are to lead into the network.
func (q *inquiry) complete(ctx context.Context, e *api.Evidence) {
	var lead []peer.AddrInfo
	for _, k := range q.n.dht.Peers() {
		if slices.Contains(k.Sources, "bootstrap") && len(lead) < reachAtOnce {
			lead = append(lead, peer.AddrInfo{ID: k.ID, Addrs: k.Addrs})
			e.Bootstrap = append(e.Bootstrap, api.Suspect{
				ID: k.ID.String(), Addrs: withPeer(k.Addrs, k.ID), Sources: k.Sources, Connected: k.Connected,
			})
		}
		i := slices.IndexFunc(e.Peers, func(s api.Suspect) bool { return s.ID == k.ID.String() })
		if i >= 0 && slices.Contains(k.Sources, "mdns") {
			e.Peers[i].Sources = withSource(e.Peers[i].Sources, "mdns")
		}
	}
	for i := range e.Peers {
		if s := &e.Peers[i]; s.Connected && !s.Answered && s.Trouble == "" {
			s.Trouble, s.Detail = api.CauseSilent, "asked for the root, it has not answered yet"
		}
	}
	var dials sync.WaitGroup
	dials.Go(func() { q.redial(ctx, q.dials, e.Peers, q.n.swap.Reach) })
	if e.Connected == 0 {
		q.leadIn(ctx, lead, e)
	}
	dials.Wait()
}

// leadIn dials the peers that are to lead into the network. It is enough that they answer: most of the public network does not
// speak swap. Who is connected only now has not been asked.
func (q *inquiry) leadIn(ctx context.Context, lead []peer.AddrInfo, e *api.Evidence) {
	q.redial(ctx, lead, e.Bootstrap, q.n.host.Connect)
	for i := range e.Bootstrap {
		s := &e.Bootstrap[i]
		s.Connected = s.Trouble == ""
	}
	if e.Connected = len(q.n.host.Network().Peers()); e.Connected > 0 {
		e.Searched = false
	}
}

// redial dials peers and notes at those suspects that are meant how it went.
func (q *inquiry) redial(ctx context.Context, peers []peer.AddrInfo, suspects []api.Suspect, connect func(context.Context, peer.AddrInfo) error) {
	var wg sync.WaitGroup
	for _, p := range peers {
		i := slices.IndexFunc(suspects, func(s api.Suspect) bool { return s.ID == p.ID.String() })
		if i < 0 {
			continue
		}
		wg.Go(func() {
			err := q.n.dialNow(ctx, p, connect)
			suspects[i].Trouble, suspects[i].Detail = q.n.troubleWith(p.ID, err)
		})
	}
	wg.Wait()
}
