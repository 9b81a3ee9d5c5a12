package node

import (
	"context"
	"fmt"
	"path/filepath"
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
	report := newReporter(progress)
	imp := n.store.Import()
	defer imp.Abort()
	tree, err := chunker.Build(ctx, req.Path, chunker.Config{
		Exclude:  []string{n.set.home}, // it holds the private key, and changes all the time
		NoHidden: req.NoHidden,
		Preserve: req.Preserve,
		Skip: func(path string, err error) {
			issue := api.Issue{Path: path, Code: api.AsError(userError(err)).Code, Reason: err.Error()}
			result.SkippedCount++
			if len(result.Skipped) < api.MaxListed {
				result.Skipped = append(result.Skipped, issue)
			}
			report.now(api.Progress{State: api.StateIndexing, Warning: &issue})
		},
		Progress: func(files, bytes int64) {
			report.rate(api.Progress{State: api.StateIndexing, Files: files, Bytes: bytes})
		},
	}, imp.PutNode)
	if err != nil {
		return result, userError(err)
	}
	name := req.Name
	if name == "" {
		name = filepath.Base(req.Path)
	}
	share, err := imp.Commit(ctx, tree, req.Path, name)
	if err != nil {
		return result, userError(err)
	}
	n.forgetFailure(share.Root)
	if err := n.provide(ctx, share.Root); err != nil {
		return result, err
	}
	result.CID, result.Name, result.Size = share.Root.String(), share.Name, share.Size
	result.Files, result.Chunks = int64(share.Files), int64(share.Leaves)
	result.Link = n.link(share)
	result.Seconds = time.Since(start).Seconds()
	if req.Wait {
		report.now(api.Progress{State: api.StateAnnouncing, CID: result.CID, Name: result.Name, Bytes: share.Size, Total: share.Size})
		result.Findable, err = n.awaitFindable(ctx, share.Root)
	}
	return result, err
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

// provideShares announces what earlier runs shared: the DHT remembers roots for each
// network, and this may be another network than last time.
func (n *Node) provideShares(ctx context.Context) error {
	shares, err := n.store.Shares()
	if err != nil {
		return fmt.Errorf("list shares: %w", err)
	}
	var roots []cid.Cid
	for _, s := range shares {
		if s.Have > 0 {
			roots = append(roots, s.Root)
		}
	}
	if err := n.dht.Provide(ctx, roots...); err != nil && ctx.Err() == nil {
		return fmt.Errorf("announce shares: %w", err)
	}
	return nil
}

// link is what a person passes on: the CID, the name, and where this node is now.
func (n *Node) link(s store.Share) string {
	l := chunker.Link{Root: s.Root, Filename: s.Name}
	if n.host != nil {
		l.Providers = hintAddrs(n.addrs())
	}
	return l.String()
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
