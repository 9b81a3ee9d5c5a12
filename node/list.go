package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/ipfs/go-cid"

	"shoal/chunker"
	"shoal/node/api"
	"shoal/node/store"
)

// List gives every share, oldest first, unfinished downloads included. It looks at
// the files first, so that one that was edited or deleted shows.
func (n *Node) List(ctx context.Context) ([]api.Share, error) {
	shares, err := n.store.Survey(ctx)
	if err != nil {
		return nil, userError(err)
	}
	link := n.linker()
	out := make([]api.Share, 0, len(shares))
	for _, s := range shares {
		out = append(out, n.apiShare(s, link))
	}
	return out, nil
}

// apiShare is a share as the API tells it, its link made by link.
func (n *Node) apiShare(s store.Share, link func(store.Share) string) api.Share {
	state, reason := api.State(s.State.String()), s.Reason
	if state == api.StateFetching && n.fetching(s.Root) == nil {
		state = api.StatePaused // its fetch failed, or waits for a daemon or its disk
		if err := n.store.Away(s); err != nil {
			reason = err.Error()
		}
	}
	if s.LeftOut != "" && s.State == store.Complete {
		state, reason = api.StatePartial, s.LeftOut
	}
	return api.Share{
		CID: s.Root.String(), Name: s.Name, Path: s.Path, Dir: s.Dir,
		Size: s.Size, Files: int64(s.Files), Chunks: int64(s.Leaves),
		Have: int64(s.Have), HaveBytes: s.HaveBytes,
		State: state, Reason: reason, Gone: s.State == store.Changed && gone(s.Path),
		Select: s.Select, Link: link(s), Added: s.Added, Places: apiPlaces(s),
		Limits: n.rooted.of(s.Root),
	}
}

func apiPlaces(s store.Share) (out []api.Place) {
	for _, p := range s.Places {
		if p.Name == s.Name {
			p.Name = ""
		}
		out = append(out, api.Place{
			Path: p.Path, Name: p.Name, State: api.State(p.State.String()), Reason: p.Reason,
			Have: int64(p.Have), HaveBytes: p.HaveBytes,
		})
	}
	return out
}

// gone tells whether nothing is at path.
func gone(path string) bool {
	_, err := chunker.LstatPath(path)
	return errors.Is(err, fs.ErrNotExist)
}

// find returns the share that ref names, as the API and as the store knows it. A CID
// is looked up; for a path or a name it goes through the records once, without a look
// at any file but those of the share it finds.
func (n *Node) find(ref string) (api.Share, cid.Cid, error) {
	s, err := store.Share{}, error(store.ErrNotFound)
	if root, bad := cid.Decode(api.RefCID(ref)); bad == nil {
		s, err = n.store.Share(root)
	}
	if errors.Is(err, store.ErrNotFound) {
		root, err := n.shareNamed(ref)
		if err != nil {
			return api.Share{}, cid.Undef, err
		}
		if s, err = n.store.Share(root); err != nil {
			return api.Share{}, cid.Undef, userError(err)
		}
		return n.apiShare(s, n.linker()), s.Root, nil
	}
	if err != nil {
		return api.Share{}, cid.Undef, userError(err)
	}
	return n.apiShare(s, n.linker()), s.Root, nil
}

// shareNamed is the root whose path or name is ref.
func (n *Node) shareNamed(ref string) (cid.Cid, error) {
	if root, _, err := n.store.RootAt(ref); err == nil {
		return root, nil
	}
	shares, err := n.store.Names()
	if err != nil {
		return cid.Undef, userError(err)
	}
	known := make([]api.Share, 0, len(shares))
	for _, s := range shares {
		known = append(known, api.Share{CID: s.Root.KeyString(), Name: s.Name, Path: s.Path, Places: apiPlaces(s)})
	}
	s, err := api.MatchShare(known, ref)
	if err == nil {
		return cid.Cast([]byte(s.CID))
	}
	for i := range known { // for the hint
		known[i].CID = shares[i].Root.String()
	}
	_, err = api.MatchShare(known, ref)
	return cid.Undef, err
}

// Entries lists what is in a share, in the order of its leaves.
func (n *Node) Entries(_ context.Context, ref string) ([]api.Entry, error) {
	if err := api.CheckRef(ref); err != nil {
		return nil, err
	}
	share, root, err := n.find(ref)
	if err != nil {
		return nil, err
	}
	layout, err := n.store.Layout(root)
	if err != nil {
		return nil, userError(err)
	}
	r, err := n.store.OpenRoot(root)
	if err != nil {
		return nil, userError(err)
	}
	defer r.Close()
	have := r.Have()
	var out []api.Entry
	for _, e := range layout.Entries() {
		entry := api.Entry{
			Path: e.Path, Kind: kinds[e.Kind], Size: e.Size, Chunks: int64(e.Leaves),
			Have: int64(countBits(have, e.First, e.Leaves)), Target: e.Target, Mtime: e.ModTime,
		}
		if entry.Size < 0 {
			entry.Size = share.Size // a raw root does not tell its own
		}
		if e.HasMode {
			entry.Mode = fmt.Sprintf("%04o", e.Mode.Perm())
		}
		out = append(out, entry)
	}
	return out, nil
}

var kinds = map[chunker.Kind]api.Kind{
	chunker.File: api.KindFile, chunker.Dir: api.KindDir, chunker.Symlink: api.KindSymlink,
}

// countBits counts the leaves of [first, first+count) in a bitmap; nil has all.
func countBits(bits []byte, first, count int) int {
	if bits == nil {
		return count
	}
	have := 0
	for i := first; i < first+count && i/8 < len(bits); i++ {
		have += int(bits[i/8] >> (i % 8) & 1)
	}
	return have
}

// Remove forgets a share; an unfinished download is stopped first. The path of one place of several forgets that alone.
func (n *Node) Remove(ctx context.Context, ref string) (api.Share, error) {
	if err := api.CheckRef(ref); err != nil {
		return api.Share{}, err
	}
	s, root, err := n.find(ref)
	if err != nil {
		return api.Share{CID: api.RefCID(ref), State: api.StateChanged}, n.removeVersion(ref, err)
	}
	i := slices.IndexFunc(s.Places, func(p api.Place) bool { return p.Path == ref })
	if i < 0 {
		if i = slices.IndexFunc(s.Places, func(p api.Place) bool { return api.LeadsTo(p.Path, ref) }); i >= 0 {
			ref = s.Places[i].Path
		}
	}
	if i >= 0 && len(s.Places) > 1 {
		if err := n.store.RemovePlace(ref); err != nil {
			return s, userError(err)
		}
		s.Path, s.Places = ref, s.Places[i:i+1]
		return s, nil
	}
	stopped := false
	if f := n.fetching(root); f != nil {
		stopped = true
		f.stop()
		select {
		case <-f.done:
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
	if n.dht != nil {
		err := n.dht.Unprovide(ctx, root)
		if home := (*store.HomeError)(nil); err != nil && !errors.As(err, &home) { // what is announced and not shared is withdrawn at the next start
			return s, fmt.Errorf("withdraw %s: %w", root, err)
		}
	}
	removed := n.store.Remove(root)
	if errors.Is(removed, store.ErrNotFound) && stopped {
		removed = nil // one that held nothing is gone once it is stopped
	}
	if removed != nil && !errors.Is(removed, store.ErrPartStays) {
		return s, userError(removed)
	}
	n.forgetFailure(root)
	return s, userError(cmp.Or(removed, n.rooted.forget(ctx, root)))
}

// removeVersion forgets an older version, which only its CID names. notFound is the error if there is none.
func (n *Node) removeVersion(ref string, notFound error) error {
	root, err := cid.Decode(api.RefCID(ref))
	if err == nil {
		err = n.store.Remove(root)
	}
	if home := (*store.HomeError)(nil); err != nil && !errors.As(err, &home) {
		return notFound
	}
	return userError(err)
}
