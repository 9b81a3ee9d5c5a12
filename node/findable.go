package node

import (
	"context"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"shoal/node/api"
)

// How long Share waits until others can find what is shared, and how long for the first peer to announce it to.
const (
	findableWithin = 30 * time.Second
	aloneWithin    = 5 * time.Second
)

// awaitFindable waits until enough peers hold the record of root, and says why if that takes too long.
func (n *Node) awaitFindable(ctx context.Context, root cid.Cid) (*api.Findable, error) {
	if n.dht == nil {
		return &api.Findable{Reason: "this node is offline; a daemon started later announces it"}, nil
	}
	start := time.Now()
	alone := time.NewTimer(aloneWithin)
	defer alone.Stop()
	wait, cancel := context.WithTimeout(ctx, findableWithin)
	defer cancel()
	go func() {
		select {
		case <-n.dht.Ready():
		case <-alone.C:
			cancel()
		case <-wait.Done():
		}
	}()
	f, err := n.dht.AwaitFindable(wait, root)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	out := &api.Findable{OK: f.OK, Holders: f.Holders, Needed: f.Needed, Seconds: time.Since(start).Seconds()}
	switch {
	case f.OK:
	case f.Table == 0:
		out.Reason = fmt.Sprintf("no other peer of network %q has been met; it is announced as soon as one is", n.set.profile.Name)
	default:
		out.Reason = fmt.Sprintf("%d peers hold the record so far, of %d needed; it is announced further", f.Holders, f.Needed)
	}
	return out, nil
}
