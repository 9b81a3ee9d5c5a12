package dht

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"sync"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	mh "github.com/multiformats/go-multihash"
)

// rootState is the one byte stored for a root.
type rootState byte

const (
	waiting   rootState = 'w' // provided here, but no other peer holds our record yet
	announced rootState = 'a' // at least one other peer took our record
	leaving   rootState = 'l' // being taken back: answered no more, but perhaps still in the keystore
)

// roots is the durable set of multihashes this node provides: one row each. Only those still waiting are in memory too.
//
// The sweeping provider's keystore holds the same hashes in the order it needs, but forgets after a crash which of them
// it had not announced yet, and cannot be asked about one hash cheaply.
type roots struct {
	ds datastore.Batching

	write sync.Mutex // serialises changes of rows

	mu    sync.Mutex
	wait  map[string]struct{} // waiting
	done  map[string]struct{} // announced since the last flush
	total int                 // rows; counted by load
}

func newRoots(ds datastore.Batching) *roots {
	return &roots{ds: ds, wait: map[string]struct{}{}, done: map[string]struct{}{}}
}

func rootKey(h mh.Multihash) datastore.Key {
	return datastore.RawKey("/" + base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(h))
}

func rootOf(key string) (mh.Multihash, error) {
	b, err := base32.HexEncoding.WithPadding(base32.NoPadding).DecodeString(datastore.RawKey(key).BaseNamespace())
	if err != nil {
		return nil, fmt.Errorf("root row %q: %w", key, err)
	}
	return mh.Cast(b)
}

// get is the state of h, 0 if it is not in the set.
func (r *roots) get(ctx context.Context, h mh.Multihash) (rootState, error) {
	v, err := r.ds.Get(ctx, rootKey(h))
	if errors.Is(err, datastore.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("root %s: %w", h.B58String(), err)
	}
	if len(v) != 1 {
		return 0, nil
	}
	return rootState(v[0]), nil
}

// has reports whether this node provides h.
func (r *roots) has(ctx context.Context, h mh.Multihash) bool {
	s, err := r.get(ctx, h)
	return err == nil && (s == waiting || s == announced)
}

// add puts hashes into the set and returns those that were not in it.
func (r *roots) add(ctx context.Context, hashes []mh.Multihash) ([]mh.Multihash, error) {
	r.write.Lock()
	defer r.write.Unlock()
	var fresh []mh.Multihash
	rows := 0
	seen := make(map[string]struct{}, len(hashes))
	for _, h := range hashes {
		if _, twice := seen[string(h)]; twice {
			continue
		}
		seen[string(h)] = struct{}{}
		s, err := r.get(ctx, h)
		if err != nil {
			return nil, err
		}
		if s == waiting || s == announced {
			continue
		}
		if s == 0 {
			rows++
		}
		fresh = append(fresh, h)
	}
	if len(fresh) == 0 {
		return nil, nil
	}
	if err := r.put(ctx, fresh, waiting); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range fresh {
		r.wait[string(h)] = struct{}{}
		delete(r.done, string(h))
	}
	r.total += rows
	return fresh, nil
}

// leave marks hashes as going. They are no longer answered; forget ends it.
func (r *roots) leave(ctx context.Context, hashes []mh.Multihash) ([]mh.Multihash, error) {
	r.write.Lock()
	defer r.write.Unlock()
	var going []mh.Multihash
	for _, h := range hashes {
		s, err := r.get(ctx, h)
		if err != nil {
			return nil, err
		}
		if s != 0 {
			going = append(going, h)
		}
	}
	if len(going) == 0 {
		return nil, nil
	}
	r.mu.Lock()
	for _, h := range going {
		delete(r.wait, string(h))
		delete(r.done, string(h))
	}
	r.mu.Unlock()
	return going, r.put(ctx, going, leaving)
}

// forget removes the rows of hashes that are still leaving, and returns those that add has brought back meanwhile.
func (r *roots) forget(ctx context.Context, hashes []mh.Multihash) (back []mh.Multihash, err error) {
	r.write.Lock()
	defer r.write.Unlock()
	b, err := r.ds.Batch(ctx)
	if err != nil {
		return nil, fmt.Errorf("forget roots: %w", err)
	}
	gone := 0
	for _, h := range hashes {
		s, err := r.get(ctx, h)
		if err != nil {
			return nil, err
		}
		if s != leaving {
			if s != 0 {
				back = append(back, h)
			}
			continue
		}
		if err := b.Delete(ctx, rootKey(h)); err != nil {
			return nil, fmt.Errorf("forget roots: %w", err)
		}
		gone++
	}
	if err := b.Commit(ctx); err != nil {
		return nil, fmt.Errorf("forget roots: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total -= gone
	return back, nil
}

// put writes rows and syncs them.
func (r *roots) put(ctx context.Context, hashes []mh.Multihash, s rootState) error {
	b, err := r.ds.Batch(ctx)
	if err != nil {
		return fmt.Errorf("record roots: %w", err)
	}
	for _, h := range hashes {
		if err := b.Put(ctx, rootKey(h), []byte{byte(s)}); err != nil {
			return fmt.Errorf("record roots: %w", err)
		}
	}
	if err := b.Commit(ctx); err != nil {
		return fmt.Errorf("record roots: %w", err)
	}
	if err := r.ds.Sync(ctx, datastore.NewKey("/")); err != nil {
		return fmt.Errorf("sync roots: %w", err)
	}
	return nil
}

// load reads the set after a start: it counts the rows, takes in those waiting and returns those leaving.
func (r *roots) load(ctx context.Context) (going []mh.Multihash, err error) {
	r.write.Lock()
	defer r.write.Unlock()
	total := 0
	for e, err := range datastore.QueryIter(ctx, r.ds, query.Query{}) {
		if err != nil {
			return nil, fmt.Errorf("load roots: %w", err)
		}
		h, err := rootOf(e.Key)
		if err != nil || len(e.Value) != 1 {
			continue // not ours: leave it alone
		}
		total++
		switch rootState(e.Value[0]) {
		case waiting:
			r.mu.Lock()
			r.wait[string(h)] = struct{}{}
			r.mu.Unlock()
		case leaving:
			going = append(going, h)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total = total
	return going, nil
}

// delivered notes that a peer took our record of h. It is called for every record sent, so it does no I/O.
func (r *roots) delivered(h []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.wait[string(h)]; ok {
		delete(r.wait, string(h))
		r.done[string(h)] = struct{}{}
	}
}

// flush writes down what delivered noted.
func (r *roots) flush(ctx context.Context) error {
	r.write.Lock()
	defer r.write.Unlock()
	r.mu.Lock()
	done := make([]mh.Multihash, 0, len(r.done))
	for h := range r.done {
		done = append(done, mh.Multihash(h))
	}
	r.mu.Unlock()
	if len(done) == 0 {
		return nil
	}
	if err := r.put(ctx, done, announced); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range done {
		delete(r.done, string(h))
	}
	return nil
}

// waitingList is a copy of those still waiting.
func (r *roots) waitingList() []mh.Multihash {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]mh.Multihash, 0, len(r.wait))
	for h := range r.wait {
		out = append(out, mh.Multihash(h))
	}
	return out
}

// size is the number of roots, and of those that no other peer knows of yet.
func (r *roots) size() (total, wait int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total, len(r.wait)
}
