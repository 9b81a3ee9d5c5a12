package node

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/ipfs/go-cid"

	"shoal/chunker"
	"shoal/node/api"
	"shoal/node/store"
)

// List gives every share, oldest first, unfinished downloads included. It looks at
// the files first, so that one that was edited or deleted shows.
func (n *Node) List(ctx context.Context) ([]api.Share, error) {
	shares, err := n.store.Shares()
	if err != nil {
		return nil, userError(err)
	}
	for _, s := range shares {
		if s.State != store.Complete {
			continue
		}
		if err := n.store.Check(ctx, s.Root); err != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	if shares, err = n.store.Shares(); err != nil {
		return nil, userError(err)
	}
	out := make([]api.Share, 0, len(shares))
	for _, s := range shares {
		out = append(out, n.apiShare(s))
	}
	return out, nil
}

func (n *Node) apiShare(s store.Share) api.Share {
	state, reason := api.State(s.State.String()), s.Reason
	if state == api.StateFetching && n.fetching(s.Root) == nil {
		state = api.StatePaused // its fetch failed, or waits for a daemon
	}
	return api.Share{
		CID: s.Root.String(), Name: s.Name, Path: s.Path, Dir: s.Dir,
		Size: s.Size, Files: int64(s.Files), Chunks: int64(s.Leaves),
		Have: int64(s.Have), HaveBytes: s.HaveBytes,
		State: state, Reason: reason,
		Select: s.Select, Link: n.link(s), Added: s.Added,
	}
}

// find returns the share that ref names, as the API and as the store knows it.
func (n *Node) find(ref string) (api.Share, cid.Cid, error) {
	shares, err := n.store.Shares()
	if err != nil {
		return api.Share{}, cid.Undef, userError(err)
	}
	known := make([]api.Share, 0, len(shares))
	for _, s := range shares {
		known = append(known, n.apiShare(s))
	}
	s, err := api.MatchShare(known, ref)
	if err != nil {
		return s, cid.Undef, err
	}
	root, err := cid.Decode(s.CID)
	return s, root, err
}

// Entries lists what is in a share, in the order of its leaves.
func (n *Node) Entries(_ context.Context, ref string) ([]api.Entry, error) {
	_, root, err := n.find(ref)
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

// Remove forgets a share; an unfinished download is stopped first.
func (n *Node) Remove(ctx context.Context, ref string) (api.Share, error) {
	s, root, err := n.find(ref)
	if err != nil {
		return s, err
	}
	if f := n.fetching(root); f != nil {
		f.stop()
		select {
		case <-f.done:
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
	if n.dht != nil {
		if err := n.dht.Unprovide(ctx, root); err != nil {
			return s, fmt.Errorf("withdraw %s: %w", root, err)
		}
	}
	if err := n.store.Remove(root); err != nil {
		return s, userError(err)
	}
	n.forgetFailure(root)
	return s, nil
}

// Verify compares a share with its files and serves what fits again.
func (n *Node) Verify(ctx context.Context, req api.VerifyRequest, progress func(api.Progress)) (api.VerifyResult, error) {
	s, root, err := n.find(req.Ref)
	if err != nil {
		return api.VerifyResult{}, err
	}
	start, report := time.Now(), newReporter(progress)
	checked, err := n.store.Verify(ctx, root, req.Full, func(bytes int64) {
		report.rate(api.Progress{State: api.StateChecking, CID: s.CID, Name: s.Name, Bytes: bytes, Total: s.HaveBytes})
	})
	if err != nil {
		return api.VerifyResult{}, userError(err)
	}
	result := verifyResult(s, checked)
	result.Seconds = time.Since(start).Seconds()
	return result, nil
}

var fileCodes = map[store.FileStatus]api.Code{
	store.FileDamaged: api.Damaged, store.FileChanged: api.Changed, store.FileMissing: api.NotFound,
}

func verifyResult(s api.Share, checked store.VerifyReport) api.VerifyResult {
	r := api.VerifyResult{
		CID: s.CID, Name: s.Name, OK: len(checked.Bad) == 0,
		Files: int64(checked.Files), Bytes: s.HaveBytes, Checked: checked.Bytes,
		IssueCount: int64(len(checked.Bad)),
	}
	for _, bad := range checked.Bad[:min(len(checked.Bad), api.MaxListed)] {
		path := filepath.Join(s.Path, filepath.FromSlash(bad.Path))
		r.Issues = append(r.Issues, api.Issue{Path: path, Code: fileCodes[bad.Status], Reason: bad.Reason})
	}
	return r
}
