package dht

import (
	"context"
	"fmt"

	"github.com/ipfs/go-cid"
)

// Findable says how far the announcing of a root has come.
type Findable struct {
	OK      bool // enough peers hold our record: whoever looks it up in the network finds us
	Holders int  // peers that took it in this run, as far as they were counted; 0 if it was announced earlier
	Needed  int  // holders that are enough, by the size of the network
	Table   int  // peers in the routing table; none: we are alone
}

// AwaitFindable waits until enough peers hold this node's record of c, or ctx ends, and tells how far it has come. It is
// an error if c is not provided.
func (d *DHT) AwaitFindable(ctx context.Context, c cid.Cid) (Findable, error) {
	if err := d.up(ctx); err != nil {
		return Findable{}, fmt.Errorf("await findable: %w", err)
	}
	select { // before, what an earlier run announced is not known
	case <-d.loaded:
	case <-d.closing:
		return Findable{}, fmt.Errorf("await findable: %w", ErrClosed)
	case <-ctx.Done():
		return Findable{}, nil
	}
	for {
		changed := d.roots.change.next()
		waits, have, need := d.roots.holding(c.Hash())
		f := Findable{OK: !waits, Holders: have, Needed: need, Table: d.kad.RoutingTable().Size()}
		if f.OK {
			if !d.roots.has(context.WithoutCancel(ctx), c.Hash()) {
				return Findable{}, fmt.Errorf("await findable: %s is not provided", c)
			}
			f.Holders = need
			return f, nil
		}
		select {
		case <-changed:
		case <-d.closing:
			return f, fmt.Errorf("await findable: %w", ErrClosed)
		case <-ctx.Done():
			return f, nil
		}
	}
}
