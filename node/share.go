package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"shoal/chunker"
	"shoal/node/api"
	"shoal/node/store"
)

// maxLinkAddrs bounds the provider hints in a link, so that it can be pasted.
const maxLinkAddrs = 4

// Share indexes a file or directory where it is and provides its root.
func (n *Node) Share(ctx context.Context, req api.ShareRequest, progress func(api.Progress)) (api.ShareResult, error) {
	start := time.Now()
	result := api.ShareResult{}
	if err := req.Check(); err != nil {
		return result, err
	}
	if err := checkTransfer(req.Limits); err != nil {
		return result, err
	}
	report := newReporter(progress)
	patterns, kept, err := n.excludes(req)
	if err != nil {
		return result, err
	}
	cfg, err := BuildConfig(n.set.home, req.Path, patterns)
	if err != nil {
		return result, userError(err)
	}
	imp := n.store.Import()
	defer imp.Abort()
	imp.SetExcludes(patterns)
	if cfg.Known, err = imp.Known(req.Path); err != nil {
		n.log.Warn("all files are hashed", "path", req.Path, "err", err)
	}
	var seen sensitive
	cfg.Preserve, cfg.Peek = req.Preserve, seen.Peek
	cfg.Dead = func(line string) { result.Unmatched = append(result.Unmatched, line) }
	cfg.Skip = func(path string, err error) { n.leftOut(&result, report, path, err) }
	cfg.Progress = func(files, bytes int64) {
		report.rate(api.Progress{State: api.StateIndexing, Files: files, Bytes: bytes})
	}
	tree, err := chunker.Build(ctx, req.Path, cfg, imp.PutNode)
	if err != nil {
		return result, userError(err)
	}
	seen.tell(tree, req.Path, &result)
	result.Exclude, result.KeptExclude = patterns, kept
	result.Unmatched = append(unmet(patterns[len(kept):], cfg.Ignore), result.Unmatched...)
	result.Unmatched = result.Unmatched[:min(len(result.Unmatched), api.MaxListed)]
	share, err := imp.Commit(ctx, tree, req.Path, req.Name)
	if err != nil {
		return result, userError(err)
	}
	result.Gone = imp.Gone()
	if c := imp.Changes(); c != nil && c.Replaced.Defined() {
		if req.Limits == nil {
			req.Limits = n.rooted.of(c.Replaced) // the path is still that share
		}
		if result.Changes, err = n.replaced(ctx, c); err != nil {
			return result, err
		}
	}
	n.forgetFailure(share.Root)
	n.sharedHere(share.Root)
	if err := n.rooted.share(ctx, share.Root, req.Limits); err != nil {
		return result, err
	}
	if err := n.provide(ctx, share.Root); err != nil {
		return result, err
	}
	result.CID, result.Name, result.Size = share.Root.String(), share.Name, share.Size
	result.Files, result.Chunks = int64(share.Files), int64(share.Leaves)
	result.Link = n.linker()(share)
	result.Seconds = time.Since(start).Seconds()
	if req.Wait {
		report.now(api.Progress{State: api.StateAnnouncing, CID: result.CID, Name: result.Name, Bytes: share.Size, Total: share.Size})
		result.Findable, err = n.awaitFindable(ctx, share.Root)
	}
	return result, err
}

// excludes are the patterns of the names that a request leaves out, and those of earlier requests that it leaves as they are: what was
// left out once stays so, also when more is, until the user says otherwise.
func (n *Node) excludes(req api.ShareRequest) (all, kept []string, err error) {
	given, err := Excludes(req)
	if err != nil || req.ForgetExclude {
		return given, nil, err
	}
	if kept, err = n.store.Excludes(req.Path); err != nil {
		return nil, nil, userError(err)
	}
	all = store.WithExcludes(kept, given)
	return all, all[:len(all)-len(given)], nil
}

// leftOut takes in a path that is left out of a tree. Homes of nodes and what the system shows always are; that is no fault of the tree.
func (n *Node) leftOut(result *api.ShareResult, report *reporter, path string, err error) {
	issue := api.Issue{Path: path, Code: api.AsError(userError(err)).Code, Reason: err.Error()}
	switch {
	case errors.Is(err, chunker.ErrExcluded):
		result.Homes = append(result.Homes, path)
	case errors.Is(err, ErrSystem):
		result.System = append(result.System, path)
	default:
		result.SkippedCount++
		if len(result.Skipped) < api.MaxListed {
			result.Skipped = append(result.Skipped, issue)
		}
	}
	report.now(api.Progress{State: api.StateIndexing, Warning: &issue})
}

// replaced tells what sharing a path again found. A root that lies nowhere any more is no longer announced: what is
// left of it is served to those who know.
func (n *Node) replaced(ctx context.Context, c *store.Changes) (*api.Changes, error) {
	out := &api.Changes{New: int64(c.New), Changed: int64(c.Changed), Gone: int64(c.Gone), Unchanged: int64(c.Unchanged)}
	out.IgnoreGone = c.IgnoreGone[:min(len(c.IgnoreGone), api.MaxListed)]
	out.Replaced = c.Replaced.String()
	if n.shares(c.Replaced) {
		return out, nil
	}
	if err := n.rooted.forget(ctx, c.Replaced); err != nil || n.dht == nil {
		return out, err
	}
	if err := n.dht.Unprovide(ctx, c.Replaced); err != nil {
		return out, fmt.Errorf("withdraw %s: %w", c.Replaced, err)
	}
	return out, nil
}

// provide announces a root, now and from then on.
func (n *Node) provide(ctx context.Context, root cid.Cid) error {
	if n.dht == nil {
		return nil
	}
	if err := n.dht.Provide(ctx, root); err != nil {
		return fmt.Errorf("announce %s: %w", root, err)
	}
	return nil
}

// provideShares announces what earlier runs shared, and takes back what was removed since:
// the DHT remembers roots for each network, and without a daemon or in another network
// nobody could tell it.
func (n *Node) provideShares(ctx context.Context) error {
	provided, err := n.dht.Provided(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	shares, err := n.store.Shares() // after provided: a share is stored before it is provided
	if err != nil {
		return fmt.Errorf("list shares: %w", err)
	}
	shared := make(map[string]struct{}, len(shares))
	for _, s := range shares {
		shared[string(s.Root.Hash())] = struct{}{}
	}
	removed := slices.DeleteFunc(provided, func(c cid.Cid) bool {
		_, still := shared[string(c.Hash())]
		return still
	})
	if len(removed) > 0 {
		if err := n.dht.Unprovide(ctx, removed...); err != nil {
			return ended(ctx, fmt.Errorf("withdraw what was removed: %w", err))
		}
		if shares, err = n.store.Shares(); err != nil { // one may be shared anew
			return fmt.Errorf("list shares: %w", err)
		}
	}
	var roots []cid.Cid
	for _, s := range shares {
		if s.Have > 0 {
			roots = append(roots, s.Root)
		}
	}
	if err := n.dht.Provide(ctx, roots...); err != nil {
		return ended(ctx, fmt.Errorf("announce shares: %w", err))
	}
	return nil
}

// ended is nil for an error that comes with the end.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// linker makes what a person passes on of a share: the CID, the name, and where this node is now.
// The last is asked once, as it costs more than all the rest of a list of shares.
func (n *Node) linker() func(store.Share) string {
	var providers []string
	if n.host != nil {
		providers = hintAddrs(n.addrs())
	}
	return func(s store.Share) string {
		l := chunker.Link{Root: s.Root, Filename: s.Name, Providers: providers}
		if s.Sub != "" {
			l.Filename = "" // the name is that of a part, the link means the whole
		}
		return l.String()
	}
}

// hintAddrs picks the addresses most likely to help whoever gets the link: TCP
// before the rest, loopback only if there is nothing else.
func hintAddrs(addrs []string) []string {
	var best, rest []string
	onlyLoopback := true
	for _, a := range addrs {
		if !isLoopback(a) {
			onlyLoopback = false
		}
	}
	for _, a := range addrs {
		switch {
		case isLoopback(a) && !onlyLoopback:
		case strings.Contains(a, "/tcp/"):
			best = append(best, a)
		default:
			rest = append(rest, a)
		}
	}
	if len(best) == 0 {
		best = rest
	}
	return best[:min(len(best), maxLinkAddrs)]
}

func isLoopback(addr string) bool {
	m, err := ma.NewMultiaddr(addr)
	return err == nil && manet.IsIPLoopback(m)
}
