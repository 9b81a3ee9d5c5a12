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
	"shoal/node/store"
	"shoal/transfer"
)

// rootLimits are the limits of single transfers: of shares, which last as long as these, and of fetches and readings, which last as
// long as those run. Those of shares are kept in the index, and those of fetches too, for a daemon that goes on with them.
type rootLimits struct {
	ds    datastore.Batching // key: root, value: api.TransferLimits as JSON
	gets  datastore.Batching // likewise, of fetches
	apply func(cid.Cid, transfer.Limits) (lift func())

	mu      sync.Mutex
	shares  map[cid.Cid]*rootLimit
	others  []*rootLimit
	resumed map[cid.Cid]func() // lifts the limit of a fetch that an earlier daemon began
}

// rootLimit is one of them in force.
type rootLimit struct {
	root cid.Cid
	by   api.LimitSource
	set  api.TransferLimits
	lift func() // nil: a later get of the root has set other limits
}

// openRootLimits reads the limits of shares and puts them in force; shared tells whether there is such a share still. apply is nil when offline.
func openRootLimits(ds datastore.Batching, shared func(cid.Cid) bool, apply func(cid.Cid, transfer.Limits) func()) (*rootLimits, error) {
	l := &rootLimits{
		ds: namespace.Wrap(ds, datastore.NewKey("/limits")), gets: namespace.Wrap(ds, datastore.NewKey("/get-limits")), apply: apply,
		shares: map[cid.Cid]*rootLimit{}, resumed: map[cid.Cid]func(){},
	}
	if l.apply == nil {
		l.apply = func(cid.Cid, transfer.Limits) func() { return func() {} }
	}
	return l, kept(l.ds, func(root cid.Cid, set api.TransferLimits) error {
		if shared(root) { // else it was removed when the disk was full
			l.shares[root] = l.start(root, api.LimitShare, set)
		}
		return nil
	})
}

// kept calls fn for each limit in ds.
func kept(ds datastore.Batching, fn func(root cid.Cid, set api.TransferLimits) error) error {
	all, err := ds.Query(context.Background(), query.Query{})
	if err != nil {
		return fmt.Errorf("read the limits of transfers: %w", err)
	}
	defer all.Close()
	for e := range all.Next() {
		var set api.TransferLimits
		root, err := cid.Decode(strings.TrimPrefix(e.Key, "/"))
		if err = errors.Join(e.Error, err); err == nil {
			err = json.Unmarshal(e.Value, &set)
		}
		if err == nil {
			err = fn(root, set)
		}
		if err != nil {
			return fmt.Errorf("read the limits of transfers: %w", err)
		}
	}
	return nil
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

// during limits a root until lift is called. Of several gets of one root the latest that sets limits sets all of them.
func (l *rootLimits) during(root cid.Cid, by api.LimitSource, set *api.TransferLimits) (lift func()) {
	if set == nil || *set == (api.TransferLimits{}) && by != api.LimitGet {
		return func() {}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.start(root, by, *set)
	l.others = append(l.others, one)
	l.yield(root)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.others = slices.DeleteFunc(l.others, func(o *rootLimit) bool { return o == one })
		l.yield(root)
		if one.lift != nil {
			one.lift()
		}
	}
}

// yield puts the limits of the latest get of a root in force, and only those. Called under mu.
func (l *rootLimits) yield(root cid.Cid) {
	latest := l.latest(root)
	if latest != nil && latest.lift == nil {
		latest.lift = l.start(root, latest.by, latest.set).lift
	}
	for _, o := range l.others {
		if o.root == root && o.by == api.LimitGet && o != latest && o.lift != nil {
			o.lift()
			o.lift = nil
		}
	}
}

// latest is the limit of the get of a root that set one last; nil: none did. Called under mu.
func (l *rootLimits) latest(root cid.Cid) *rootLimit {
	for _, o := range slices.Backward(l.others) {
		if o.root == root && o.by == api.LimitGet {
			return o
		}
	}
	return nil
}

// resume limits the fetches of roots that this daemon goes on with as they were limited before, and forgets what is kept of others.
func (l *rootLimits) resume(ctx context.Context, roots map[cid.Cid]bool) error {
	return kept(l.gets, func(root cid.Cid, set api.TransferLimits) error {
		if !roots[root] {
			return storeLimits(ctx, l.gets, root, nil)
		}
		lift := l.during(root, api.LimitGet, &set)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.resumed[root] = lift
		return nil
	})
}

// over ends the limit of a fetch that was resumed. A daemon that stops keeps it.
func (l *rootLimits) over(root cid.Cid, forget bool) error {
	l.mu.Lock()
	lift := l.resumed[root]
	delete(l.resumed, root)
	l.mu.Unlock()
	if lift == nil {
		return nil
	}
	lift()
	if !forget {
		return nil
	}
	return storeLimits(context.Background(), l.gets, root, nil)
}

// get limits a fetch until lift is called, which says whether the limit is to be forgotten: it is not by a daemon that goes on with the
// fetch at its next start. It takes the place of what the fetch had from an earlier daemon; nil leaves that.
func (l *rootLimits) get(ctx context.Context, root cid.Cid, set *api.TransferLimits) (lift func(forget bool) error, err error) {
	if set == nil {
		return func(bool) error { return nil }, nil
	}
	if err := l.over(root, true); err != nil {
		return nil, err
	}
	if err := l.keep(ctx, root, set); err != nil {
		return nil, err
	}
	stop := l.during(root, api.LimitGet, set)
	return func(forget bool) error {
		stop()
		l.mu.Lock()
		defer l.mu.Unlock()
		switch before := l.latest(root); {
		case !forget:
			return nil
		case before != nil:
			return l.keep(context.Background(), root, &before.set)
		}
		return storeLimits(context.Background(), l.gets, root, nil)
	}, nil
}

// keep has the limits of a fetch outlast the daemon.
func (l *rootLimits) keep(ctx context.Context, root cid.Cid, set *api.TransferLimits) error {
	if *set == (api.TransferLimits{}) {
		set = nil
	}
	return storeLimits(ctx, l.gets, root, set)
}

// share sets the limits of a share for as long as it lasts; nil leaves them as they are.
func (l *rootLimits) share(ctx context.Context, root cid.Cid, set *api.TransferLimits) error {
	if set == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.shares[root]
	if *set == (api.TransferLimits{}) {
		if old == nil {
			return nil
		}
		if err := storeLimits(ctx, l.ds, root, nil); err != nil {
			return err
		}
		old.lift()
		delete(l.shares, root)
		return nil
	}
	if err := storeLimits(ctx, l.ds, root, set); err != nil {
		return err
	}
	l.shares[root] = l.start(root, api.LimitShare, *set)
	if old != nil {
		old.lift()
	}
	return nil
}

// forget lifts the limits of a share that is removed. That needs no space: what stays in the index is passed over at the next start.
func (l *rootLimits) forget(ctx context.Context, root cid.Cid) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.shares[root]
	if old == nil {
		return nil
	}
	old.lift()
	delete(l.shares, root)
	if err := storeLimits(ctx, l.ds, root, nil); err != nil && !errors.Is(err, store.ErrNoSpace) {
		return err
	}
	return nil
}

// storeLimits keeps the limits of a root in ds; nil: it has none.
func storeLimits(ctx context.Context, ds datastore.Batching, root cid.Cid, set *api.TransferLimits) error {
	key := datastore.NewKey(root.String())
	value, err := json.Marshal(set)
	switch {
	case err != nil:
	case set == nil:
		err = ds.Delete(ctx, key)
	default:
		err = ds.Put(ctx, key, value)
	}
	if err == nil {
		err = ds.Sync(ctx, key)
	}
	if err != nil {
		return fmt.Errorf("keep the limits of a transfer: %w", err)
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
		if one.lift == nil || one.set == (api.TransferLimits{}) {
			continue
		}
		all = append(all, api.TransferLimit{CID: one.root.String(), Name: name(one.root), Source: one.by, TransferLimits: one.set})
	}
	return all
}

// shares tells whether a root is shared or being fetched here.
func (n *Node) shares(root cid.Cid) bool {
	_, err := n.store.Share(root)
	return !errors.Is(err, store.ErrNotFound)
}

// nameOf is what a root is called here, for lists; "" if nothing is known.
func (n *Node) nameOf(root cid.Cid) string {
	if s, err := n.store.Share(root); err == nil {
		return s.Name
	}
	return ""
}
