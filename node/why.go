package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	"shoal/chunker"
	"shoal/node/api"
	"shoal/transfer"
)

const (
	whyFor     = 10 * time.Second // evidence is gathered at most, unless the caller says else
	mostWhyFor = 10 * time.Minute
	dialsShare = 4               // one part in so many of that is kept for the dials at the end, reachFor at most; they have what the look leaves, too
	aloneFor   = 3 * time.Second // of looking are enough where nobody is connected who could be asked
	settledAge = 5 * time.Second // a rate is taken over 3 s, and a search has asked everybody near by then
)

// Why gathers evidence about a root, from the fetch that runs or by asking around
// itself, and reads off it what is the matter (diagnose).
func (n *Node) Why(ctx context.Context, req api.WhyRequest, progress func(api.Progress)) (api.Diagnosis, error) {
	if err := req.Check(); err != nil {
		return api.Diagnosis{}, err
	}
	if err := n.online(); err != nil {
		return api.Diagnosis{}, err
	}
	link, err := n.whyRef(req.Ref)
	if err != nil {
		return api.Diagnosis{}, err
	}
	hints, err := linkPeers(link)
	if err != nil {
		return api.Diagnosis{}, err
	}
	n.named.add(hints)
	limit := whyFor
	if req.Timeout > 0 {
		limit = min(time.Duration(req.Timeout*float64(time.Second)), mostWhyFor)
	}
	q := &inquiry{n: n, root: link.Root, hints: hints, noDaemon: req.NoDaemon, name: link.Filename}
	whole, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	look, cancel := context.WithTimeout(whole, limit-min(reachFor, limit/dialsShare))
	defer cancel()
	defer q.stop()
	e, err := q.watch(look, progress)
	if err != nil {
		return api.Diagnosis{}, err
	}
	switch {
	case ctx.Err() != nil:
		return api.Diagnosis{}, ctx.Err()
	case !n.runs():
		return api.Diagnosis{}, api.Errorf(api.Stopped, "the node is not running")
	}
	q.complete(whole, &e)
	causes := diagnose(e)
	return api.Diagnosis{CID: q.root.String(), Name: q.name, Cause: causes[0], Also: causes[1:], Evidence: e}, nil
}

// whyRef reads what is asked about: a link of any form, or what names a share.
func (n *Node) whyRef(ref string) (chunker.Link, error) {
	link, err := parseLink(ref)
	if err == nil || api.AsError(err).Code == api.Unsupported || strings.Contains(ref, "://") {
		return link, err
	}
	s, root, findErr := n.find(ref)
	switch {
	case findErr == nil:
		return chunker.Link{Root: root, Filename: s.Name}, nil
	case api.AsError(findErr).Code == api.Conflict:
		return link, findErr
	}
	return link, api.Errorf(api.NotFound, "%q is neither a link nor the name of a share", ref).
		WithHint("A link looks like ipfs://CID?filename=…; `shoal ls` lists the shares.")
}

// inquiry is one call of Why.
type inquiry struct {
	n        *Node
	root     cid.Cid
	hints    []peer.AddrInfo
	noDaemon bool
	name     string
	partly   bool // only a part of the root is wanted, and no fetch runs that knows which

	probe  *probe // nil: none was needed so far
	cancel context.CancelFunc
	ran    sync.WaitGroup
	dials  []peer.AddrInfo // whose error says only that libp2p waits, or that we did: to be dialled at the end
}

// watch gathers evidence until it is enough, or ctx ends.
func (q *inquiry) watch(ctx context.Context, progress func(api.Progress)) (api.Evidence, error) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for enough := 0; ; {
		e, settled, err := q.gather(ctx)
		if err != nil {
			return e, err
		}
		if !settled {
			enough = 0
		} else if enough++; enough > 1 || !q.asks(e) {
			return e, nil // peers that answer tell their chunks with that, or right after
		}
		if progress != nil {
			progress(api.Progress{State: api.StateSearching, CID: q.root.String(), Name: q.name, Found: len(e.Peers), Message: "looking for peers that have it"})
		}
		select {
		case <-ctx.Done():
			return e, nil
		case <-tick.C:
		}
	}
}

// asks tells whether the evidence is of peers.
func (q *inquiry) asks(e api.Evidence) bool {
	return e.State == api.StateFetching || e.State == api.StatePaused || e.State == api.StateAbsent || e.State == api.StateFailed
}

// gather takes the evidence of now, and tells whether more is to be expected soon.
func (q *inquiry) gather(ctx context.Context) (e api.Evidence, settled bool, err error) {
	e = api.Evidence{State: api.StateAbsent, NoDaemon: q.noDaemon, Free: -1, Peers: []api.Suspect{}, Bootstrap: []api.Suspect{}}
	e.Network, e.Connected = q.n.set.profile.Name, len(q.n.host.Network().Peers())
	e.Limits = q.n.limits.get(time.Now()).Rates()
	f := q.n.fetching(q.root)
	if err := q.here(ctx, &e, f); err != nil {
		return e, true, err
	}
	switch {
	case f != nil:
		settled = q.running(&e, f)
	case q.asks(e):
		settled, err = q.asked(ctx, &e)
	default:
		settled = true
	}
	return e, settled, err
}

// running takes what a fetch knows.
func (q *inquiry) running(e *api.Evidence, f *fetch) (settled bool) {
	f.mu.Lock()
	stats, state, found, d := f.stats, f.state, cloneSources(f.found), f.d
	f.mu.Unlock()
	e.State = api.StateFetching
	if state == api.StateChecking || state == api.StateFinishing {
		e.State = state
		return true
	}
	e.Path = f.target.Dir
	if d != nil {
		if name, _, _ := d.Summary(); name != "" {
			q.name = name
		}
	}
	e.Chunks, e.Have, e.Missing, e.Known = int64(stats.Leaves), int64(stats.Have), stats.Missing, stats.Complete
	e.Rate = stats.Rate
	q.swarm(e, stats, found)
	age := time.Duration(0)
	if !stats.Started.IsZero() {
		age = time.Since(stats.Started)
	}
	e.Seconds, e.Searched = age.Seconds(), age >= findQuiet
	return age >= settledAge && (e.Rate > 0 || !pending(e.Peers))
}

// asked takes what a probe has found out; it begins one if there is none.
func (q *inquiry) asked(ctx context.Context, e *api.Evidence) (settled bool, err error) {
	if q.probe == nil {
		if q.probe, err = q.n.newProbe(ctx, q.root); err != nil {
			return true, userError(err)
		}
		ctx, q.cancel = context.WithCancel(ctx)
		q.ran.Go(func() { q.probe.run(ctx, q.n, q.hints) })
	}
	p := q.probe
	p.mu.Lock()
	stats, found, failed, last := p.stats, cloneSources(p.found), p.err, p.last
	l := p.walker.Layout()
	known, size := l.Leaves(), l.Size()
	e.Known = l.Complete()
	p.mu.Unlock()
	if failed != nil {
		e.State, e.Error = api.StateFailed, api.AsError(userError(failed))
	}
	if e.State == api.StateAbsent {
		e.Chunks, e.Missing = int64(known), max(size, 0)
	}
	nobody := len(found) == 0
	q.swarm(e, stats, found)
	age := time.Since(p.started)
	e.Seconds, e.Searched = age.Seconds(), age >= findQuiet
	switch {
	case failed != nil || p.full():
		return true, nil
	case nobody && len(e.Peers) == 0:
		return age >= findFor || e.Connected == 0 && age >= aloneFor, nil
	}
	return time.Since(last) >= findQuiet && !pending(e.Peers), nil
}

// stop ends the probe.
func (q *inquiry) stop() {
	if q.cancel != nil {
		q.cancel()
	}
	q.ran.Wait()
}

// pending tells whether it will show soon how it stands with a peer.
func pending(peers []api.Suspect) bool {
	return slices.ContainsFunc(peers, func(p api.Suspect) bool { return p.Trouble == "" && !p.Answered })
}

func cloneSources(m map[peer.ID][]string) map[peer.ID][]string {
	out := make(map[peer.ID][]string, len(m))
	for id, sources := range m {
		out[id] = slices.Clone(sources)
	}
	return out
}

// swarm takes in the peers that a session knows, and those found that it has not
// taken yet.
func (q *inquiry) swarm(e *api.Evidence, stats transfer.Stats, found map[peer.ID][]string) {
	e.Lost, e.Corrupt = int64(stats.Lost), stats.Corrupt
	if q.partly {
		e.Lost = 0 // the session cannot tell which are wanted
	}
	e.Peers, q.dials = q.n.suspects(stats, found)
}

// suspects are the peers that a session knows, and those found that it has not taken yet. Of some of them
// the error says only that libp2p waits, or that we did: they are to be dialled for it to say more.
func (n *Node) suspects(stats transfer.Stats, found map[peer.ID][]string) (out []api.Suspect, dials []peer.AddrInfo) {
	out = []api.Suspect{}
	for _, p := range stats.Peers {
		out = append(out, n.suspect(stats, p, sourcesOf(found, p.ID)))
		delete(found, p.ID)
	}
	for _, c := range stats.Known {
		trouble, detail := n.troubleWith(c.ID, c.Err)
		if errors.Is(c.Err, swarm.ErrDialBackoff) || trouble == api.CausePaced {
			dials = append(dials, peer.AddrInfo{ID: c.ID, Addrs: c.Addrs})
		}
		out = append(out, api.Suspect{
			ID: c.ID.String(), Addrs: withPeer(c.Addrs, c.ID), Sources: sourcesOf(found, c.ID),
			Trouble: trouble, Detail: detail, Bytes: stats.From[c.ID], Damaged: int64(c.Damaged),
		})
		delete(found, c.ID)
	}
	if len(stats.Known) < stats.Candidates {
		return out, dials // there are more than we are told of
	}
	for id := range found {
		out = append(out, api.Suspect{ID: id.String(), Sources: sourcesOf(found, id)})
	}
	return out, dials
}

// suspect is a peer that a session uses. One that gives all it has is still to blame for chunks that nobody else has, where
// it has said why it does not give those, or has sent them damaged.
func (n *Node) suspect(stats transfer.Stats, p transfer.PeerStats, sources []string) api.Suspect {
	err := p.Err
	switch {
	case err != nil || stats.Lost == 0:
	case p.Damaged > 0:
		err = transfer.ErrCorrupt
	default:
		err = p.Lacks
	}
	trouble, detail := n.troubleWith(p.ID, err)
	s := api.Suspect{
		ID: p.ID.String(), Addrs: n.remoteAddrs(p.ID), Sources: sources, Connected: true,
		Trouble: trouble, Detail: detail, Answered: p.Answered,
		All: p.Have < 0, Have: int64(max(p.Have, 0)), Choked: p.Choked, Waiting: p.Waiting,
		Bytes: p.Bytes, Rate: p.Rate, RTT: p.RTT.Seconds(), Damaged: int64(p.Damaged),
	}
	if stats.Rate <= 0 {
		s.Rate = 0 // the last one known, of a while ago
	}
	return s
}

// sourcesOf tells where a peer was heard of. Those that nobody found for us were named by
// other peers of the swarm, or came to us for the root.
func sourcesOf(found map[peer.ID][]string, id peer.ID) []string {
	if s := found[id]; len(s) > 0 {
		return s
	}
	return []string{"swarm"}
}
