package node

import (
	"context"
	"errors"

	"github.com/ipfs/go-cid"

	"shoal/transfer"
)

// maxFailures bounds the roots whose last fetch is remembered to have failed.
const maxFailures = 256

// failures are the roots whose last fetch failed, and how. The zero value is ready.
type failures struct{ byRoot map[cid.Cid]error }

// note takes in how a fetch ended. To be paused, or stopped with the node, is no failure.
func (f *failures) note(root cid.Cid, err error) {
	delete(f.byRoot, root)
	if err == nil || errors.Is(err, errPaused) || errors.Is(err, errAdjusted) || errors.Is(err, context.Canceled) || errors.Is(err, transfer.ErrClosed) {
		return
	}
	if f.byRoot == nil {
		f.byRoot = map[cid.Cid]error{}
	}
	for old := range f.byRoot {
		if len(f.byRoot) < maxFailures {
			break
		}
		delete(f.byRoot, old) // any
	}
	f.byRoot[root] = err
}

// forgetFailure says that how the last fetch of a root ended does not count any more.
func (n *Node) forgetFailure(root cid.Cid) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.failures.byRoot, root)
}

// failure is why the last fetch of a root failed; nil if it did not.
func (n *Node) failure(root cid.Cid) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failures.byRoot[root]
}

// withSource adds where a peer was heard of.
func withSource(sources []string, source string) []string {
	for _, s := range sources {
		if s == source {
			return sources
		}
	}
	return append(sources, source)
}
