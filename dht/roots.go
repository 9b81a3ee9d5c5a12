package dht

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	"github.com/libp2p/go-libp2p/core/peer"
	mh "github.com/multiformats/go-multihash"
	"github.com/multiformats/go-varint"
)

// rootState is the first byte stored for a root. Of an announced one the unix time in seconds follows (uvarint), when
// enough peers had taken the record for the first time; rows of older versions have none.
type rootState byte

const (
	waiting   rootState = 'w' // provided here, but too few other peers hold our record yet
	announced rootState = 'a' // enough other peers took our record
	leaving   rootState = 'l' // being taken back: answered no more, but perhaps still in the keystore
)

// enoughHolders is how many peers must have taken the record of a root before it counts as announced: with three in ten
// of them gone, one of 400 roots has none left. In a smaller network all must.
const enoughHolders = 5

// roots is the durable set of multihashes this node provides: one row each. Only those still waiting are in memory too.
//
// The sweeping provider's keystore holds the same hashes in the order it needs, but forgets after a crash which of them
// it had not announced yet, and cannot be asked about one hash cheaply.
type roots struct {
	ds   datastore.Batching
	sent atomic.Int64 // records that peers took since the start

	write sync.Mutex // serialises changes of rows

	mu     sync.Mutex
	wait   map[string]holders  // waiting
	done   map[string]struct{} // announced since the last flush
	total  int                 // rows; counted by load
	enough int                 // holders that a root needs
	change signal              // a root was announced or left
}

func newRoots(ds datastore.Batching) *roots {
	return &roots{ds: ds, wait: map[string]holders{}, done: map[string]struct{}{}, enough: enoughHolders}
}

// holders are peers that took the record of a waiting root, told apart by the end of their IDs.
type holders struct {
	n  uint8
	id [enoughHolders]uint32
}

func (h *holders) add(p peer.ID) {
	if len(p) < 4 || int(h.n) == len(h.id) {
		return
	}
	end := binary.BigEndian.Uint32([]byte(p[len(p)-4:]))
	for _, id := range h.id[:h.n] {
		if id == end {
			return
		}
	}
	h.id[h.n] = end
	h.n++
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
	state, _ := decodeRoot(v)
	return state, nil
}

// decodeRoot reads a row; state 0 is one that this version does not know. The time is zero where there is none.
func decodeRoot(v []byte) (rootState, time.Time) {
	if len(v) == 0 {
		return 0, time.Time{}
	}
	switch state := rootState(v[0]); {
	case len(v) == 1 && (state == waiting || state == announced || state == leaving):
		return state, time.Time{}
	case state == announced:
		if at, n, err := varint.FromUvarint(v[1:]); err == nil && n == len(v)-1 && 0 < at && at <= maxSeen {
			return state, time.Unix(int64(at), 0)
		}
	}
	return 0, time.Time{}
}

func encodeRoot(state rootState, at time.Time) []byte {
	v := []byte{byte(state)}
	if state == announced && at.Unix() > 0 {
		v = binary.AppendUvarint(v, uint64(at.Unix()))
	}
	return v
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
		r.wait[string(h)] = holders{}
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
	r.change.fire()
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
	row := encodeRoot(s, time.Now())
	for _, h := range hashes {
		if err := b.Put(ctx, rootKey(h), row); err != nil {
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

// load reads the set after a start: it counts the rows, takes in those waiting and returns those leaving. seen is told
// each announced root and when that was.
func (r *roots) load(ctx context.Context, seen func(mh.Multihash, time.Time)) (going []mh.Multihash, err error) {
	r.write.Lock()
	defer r.write.Unlock()
	total := 0
	for e, err := range datastore.QueryIter(ctx, r.ds, query.Query{}) {
		if err != nil {
			return nil, fmt.Errorf("load roots: %w", err)
		}
		h, err := rootOf(e.Key)
		state, at := decodeRoot(e.Value)
		if err != nil || state == 0 {
			continue // not ours: leave it alone
		}
		total++
		switch state {
		case waiting:
			r.mu.Lock()
			r.wait[string(h)] = holders{}
			r.mu.Unlock()
		case announced:
			seen(h, at)
		case leaving:
			going = append(going, h)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total = total
	return going, nil
}

// list is the whole set.
func (r *roots) list(ctx context.Context) ([]mh.Multihash, error) {
	var out []mh.Multihash
	for e, err := range datastore.QueryIter(ctx, r.ds, query.Query{}) {
		if err != nil {
			return nil, fmt.Errorf("list roots: %w", err)
		}
		h, err := rootOf(e.Key)
		if state, _ := decodeRoot(e.Value); err == nil && (state == waiting || state == announced) {
			out = append(out, h)
		}
	}
	return out, nil
}

// delivered notes that p took our record of h. It is called for every record sent, so it does no I/O.
func (r *roots) delivered(h []byte, p peer.ID) {
	r.sent.Add(1)
	r.mu.Lock()
	have, ok := r.wait[string(h)]
	if ok {
		have.add(p)
		r.wait[string(h)] = have
		ok = r.settle(string(h), have)
	}
	r.mu.Unlock()
	if ok {
		r.change.fire()
	}
}

// settle moves a waiting root to the announced ones if enough peers hold its record. The caller holds the lock.
func (r *roots) settle(h string, have holders) bool {
	if int(have.n) < r.enough {
		return false
	}
	delete(r.wait, h)
	r.done[h] = struct{}{}
	return true
}

// need sets how many holders a root needs, by the size of the network. With fewer than before, some roots have enough: that has to
// be settled, since a table that fills, or has lost a link for a moment, says too little. An empty one says nothing.
func (r *roots) need(size int, settled bool) {
	r.mu.Lock()
	before := r.enough
	if enough := min(size, enoughHolders); enough > before || enough > 0 && settled {
		r.enough = enough
	}
	fewer := r.enough < before
	if fewer {
		for h, have := range r.wait {
			r.settle(h, have)
		}
	}
	r.mu.Unlock()
	if fewer {
		r.change.fire()
	}
}

// holding tells whether h waits for holders, how many it has and needs.
func (r *roots) holding(h mh.Multihash) (waits bool, have, enough int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	got, waits := r.wait[string(h)]
	return waits, int(got.n), r.enough
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

// size is the number of roots, and of those that too few other peers know of yet.
func (r *roots) size() (total, wait int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total, len(r.wait)
}
