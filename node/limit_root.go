package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	"github.com/ipfs/go-datastore/query"

	"shoal/node/api"
	"shoal/transfer"
)

// rootLimits are the limits of single transfers: of shares, which last as long as these and are kept in the
// index, and of fetches and readings, which last as long as those run.
type rootLimits struct {
	ds    datastore.Batching // key: root, value: api.TransferLimits as JSON
	apply func(cid.Cid, transfer.Limits) (lift func())

	mu     sync.Mutex
	shares map[cid.Cid]*rootLimit
	others []*rootLimit
}

// rootLimit is one of them in force.
type rootLimit struct {
	root cid.Cid
	by   api.LimitSource
	set  api.TransferLimits
	lift func()
}

// openRootLimits reads the limits of shares and puts them in force. apply is nil when offline.
func openRootLimits(ds datastore.Batching, apply func(cid.Cid, transfer.Limits) func()) (*rootLimits, error) {
	l := &rootLimits{ds: namespace.Wrap(ds, datastore.NewKey("/limits")), apply: apply, shares: map[cid.Cid]*rootLimit{}}
	if l.apply == nil {
		l.apply = func(cid.Cid, transfer.Limits) func() { return func() {} }
	}
	all, err := l.ds.Query(context.Background(), query.Query{})
	if err != nil {
		return nil, fmt.Errorf("read the limits of shares: %w", err)
	}
	defer all.Close()
	for e := range all.Next() {
		var set api.TransferLimits
		root, err := cid.Decode(strings.TrimPrefix(e.Key, "/"))
		if err = errors.Join(e.Error, err); err == nil {
			err = json.Unmarshal(e.Value, &set)
		}
		if err != nil {
			return nil, fmt.Errorf("read the limits of shares: %w", err)
		}
		l.shares[root] = l.start(root, api.LimitShare, set)
	}
	return l, nil
}

func (l *rootLimits) start(root cid.Cid, by api.LimitSource, set api.TransferLimits) *rootLimit {
	return &rootLimit{root, by, set, l.apply(root, transfer.Limits{Up: set.Up, Down: set.Down, PeerUp: set.PeerUp, PeerDown: set.PeerDown})}
}

// checkTransfer refuses limits that cannot be meant.
func checkTransfer(set *api.TransferLimits) error {
	if set == nil {
		return nil
	}
	if _, err := checkLimits(api.Limits(*set)); err != nil {
		return api.Errorf(api.Invalid, "%w", err)
	}
	return nil
}

// during limits a root until lift is called.
func (l *rootLimits) during(root cid.Cid, by api.LimitSource, set *api.TransferLimits) (lift func()) {
	if set == nil || *set == (api.TransferLimits{}) {
		return func() {}
	}
	one := l.start(root, by, *set)
	l.mu.Lock()
	l.others = append(l.others, one)
	l.mu.Unlock()
	return func() {
		one.lift()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.others = slices.DeleteFunc(l.others, func(o *rootLimit) bool { return o == one })
	}
}

// share sets the limits of a share for as long as it lasts; nil leaves them as they are.
func (l *rootLimits) share(ctx context.Context, root cid.Cid, set *api.TransferLimits) error {
	if set == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := datastore.NewKey(root.String())
	old := l.shares[root]
	if *set == (api.TransferLimits{}) {
		if old == nil {
			return nil
		}
		if err := l.store(ctx, key, nil); err != nil {
			return err
		}
		old.lift()
		delete(l.shares, root)
		return nil
	}
	value, err := json.Marshal(set)
	if err == nil {
		err = l.store(ctx, key, value)
	}
	if err != nil {
		return err
	}
	l.shares[root] = l.start(root, api.LimitShare, *set)
	if old != nil {
		old.lift()
	}
	return nil
}

func (l *rootLimits) store(ctx context.Context, key datastore.Key, value []byte) (err error) {
	if value == nil {
		err = l.ds.Delete(ctx, key)
	} else {
		err = l.ds.Put(ctx, key, value)
	}
	if err == nil {
		err = l.ds.Sync(ctx, key)
	}
	if err != nil {
		return fmt.Errorf("keep the limits of a share: %w", err)
	}
	return nil
}

// of gives the limits of a share; nil: none.
func (l *rootLimits) of(root cid.Cid) *api.TransferLimits {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one := l.shares[root]; one != nil {
		set := one.set
		return &set
	}
	return nil
}

// list gives all that are in force: those of shares by root, then the others as they began.
func (l *rootLimits) list(name func(cid.Cid) string) []api.TransferLimit {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []api.TransferLimit
	for root, one := range l.shares {
		all = append(all, api.TransferLimit{CID: root.String(), Name: name(root), Source: one.by, TransferLimits: one.set})
	}
	slices.SortFunc(all, func(a, b api.TransferLimit) int { return strings.Compare(a.CID, b.CID) })
	for _, one := range l.others {
		all = append(all, api.TransferLimit{CID: one.root.String(), Name: name(one.root), Source: one.by, TransferLimits: one.set})
	}
	return all
}

// nameOf is what a root is called here, for lists; "" if nothing is known.
func (n *Node) nameOf(root cid.Cid) string {
	if s, err := n.store.Share(root); err == nil {
		return s.Name
	}
	return ""
}
