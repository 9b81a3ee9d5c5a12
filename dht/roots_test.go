package dht

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p-kad-dht/records"
	"github.com/libp2p/go-libp2p/core/peer"
	mh "github.com/multiformats/go-multihash"
)

func mapStore() datastore.Batching { return dssync.MutexWrap(datastore.NewMapDatastore()) }

// TestRootsOutliveACrash reopens the set at every step, as after kill -9: only what the datastore has is left.
func TestRootsOutliveACrash(t *testing.T) {
	ctx := t.Context()
	ds := mapStore()
	a, b, c := root(1).Hash(), root(2).Hash(), root(3).Hash()
	reopen := func(total, wait, going int) *roots {
		t.Helper()
		r := newRoots(ds)
		r.need(1, true)
		left, err := r.load(ctx, func(mh.Multihash, time.Time) {})
		must(t, err)
		if n, w := r.size(); n != total || w != wait || len(left) != going {
			t.Fatalf("%d roots, %d waiting, %d leaving; want %d, %d, %d", n, w, len(left), total, wait, going)
		}
		return r
	}
	r := reopen(0, 0, 0)
	fresh, err := r.add(ctx, []mh.Multihash{a, b, b})
	must(t, err)
	if len(fresh) != 2 {
		t.Fatalf("%d were new", len(fresh))
	}
	r = reopen(2, 2, 0)
	r.delivered(a, "peer one")
	r.delivered(c, "peer one") // not ours
	reopen(2, 2, 0)
	must(t, r.flush(ctx))
	r = reopen(2, 1, 0)
	if fresh, err = r.add(ctx, []mh.Multihash{a, b, c}); err != nil || len(fresh) != 1 {
		t.Fatalf("%d were new, %v", len(fresh), err)
	}
	going, err := r.leave(ctx, []mh.Multihash{a, b, root(9).Hash()})
	must(t, err)
	if len(going) != 2 || r.has(ctx, a) || !r.has(ctx, c) {
		t.Fatalf("%d go, a %v, c %v", len(going), r.has(ctx, a), r.has(ctx, c))
	}
	r = reopen(3, 1, 2)
	if fresh, err = r.add(ctx, []mh.Multihash{b}); err != nil || len(fresh) != 1 || !r.has(ctx, b) {
		t.Fatalf("it does not come back: %d, %v", len(fresh), err)
	}
	back, err := r.forget(ctx, going)
	must(t, err)
	if len(back) != 1 || string(back[0]) != string(b) {
		t.Fatalf("back came %v", back)
	}
	r = reopen(2, 2, 0)
	if r.has(ctx, a) || !r.has(ctx, b) || !r.has(ctx, c) {
		t.Error("wrong ones are left")
	}
}

// TestOwnRecordLayout guards what recordStore assumes about kad-dht: both write the same row.
func TestOwnRecordLayout(t *testing.T) {
	n := start(t, setup{})
	provide(t, n, root(1))
	ctx := t.Context()
	must(t, n.kad.Provide(ctx, root(1), false)) // kad-dht's own local record
	must(t, n.Close())                          // flushes it
	var keys []string
	for e, err := range datastore.QueryIter(ctx, n.records.Batching, query.Query{}) {
		must(t, err)
		keys = append(keys, e.Key)
		if ns, used := binary.Varint(e.Value); used != len(e.Value) || time.Since(time.Unix(0, ns)) > time.Hour {
			t.Errorf("value %x", e.Value)
		}
	}
	if len(keys) != 1 {
		t.Fatalf("rows %v", keys)
	}
	prefix := datastore.RawKey(keys[0]).Parent().String()
	var got []query.Entry
	for e, err := range datastore.QueryIter(ctx, n.records, query.Query{Prefix: prefix}) {
		must(t, err)
		got = append(got, e)
	}
	if len(got) != 1 || got[0].Key != keys[0] {
		t.Errorf("own record %+v, kad-dht's is %s", got, keys[0])
	}
}

func TestRecordsAreBounded(t *testing.T) {
	ctx := t.Context()
	none := func(context.Context, mh.Multihash) bool { return false }
	s := newRecordStore(mapStore(), "self", none, 10)
	row := func(i int) datastore.Key {
		return datastore.NewKey(records.ProvidersKeyPrefix).ChildString("K").ChildString(string(rune('A' + i)))
	}
	put := func(keys ...datastore.Key) {
		t.Helper()
		b, err := s.Batch(ctx)
		must(t, err)
		for _, k := range keys {
			must(t, b.Put(ctx, k, []byte("now")))
		}
		must(t, b.Commit(ctx))
	}
	must(t, s.count(ctx))
	for i := range 8 {
		put(row(i))
	}
	put(row(8), row(9), row(10), row(11)) // two of them are too many
	stored := func() (n int) {
		for _, err := range datastore.QueryIter(ctx, s, query.Query{KeysOnly: true}) {
			must(t, err)
			n++
		}
		return n
	}
	if stored() != 10 || s.n.Load() != 10 {
		t.Errorf("%d stored, %d counted", stored(), s.n.Load())
	}
	put(row(0)) // renewing works
	must(t, s.Delete(ctx, row(1)))
	b, err := s.Batch(ctx)
	must(t, err)
	must(t, b.Delete(ctx, row(2)))
	must(t, b.Commit(ctx))
	put(row(20), row(21), row(22))
	if stored() != 10 || s.n.Load() != 10 {
		t.Errorf("%d stored, %d counted", stored(), s.n.Load())
	}
	again := newRecordStore(s.Batching, "self", none, 10)
	must(t, again.count(ctx))
	if again.n.Load() != 10 {
		t.Errorf("%d counted after a restart", again.n.Load())
	}
}

func TestAnAnswerHasABoundedNumberOfProviders(t *testing.T) {
	ctx := t.Context()
	n := start(t, setup{})
	other := start(t, setup{bootstrap: []peer.AddrInfo{n.info()}})
	ready(t, other)
	// More providers than an answer holds, put into the store as kad-dht would.
	pm, err := records.NewProviderManager(n.host.ID(), n.host.Peerstore(), n.records)
	must(t, err)
	for i := range 3 * maxProviders {
		must(t, pm.AddProvider(ctx, root(1).Hash(), peer.AddrInfo{ID: peerID(t, i), Addrs: addrs(t, "/ip4/127.0.0.1/tcp/1")}))
	}
	must(t, pm.Close())
	provide(t, n, root(1))
	for range 5 { // always with the one that has it for sure
		provs, _, err := n.askFrom(other, root(1).Hash())
		must(t, err)
		if len(provs) > maxProviders+1 {
			t.Fatalf("%d providers", len(provs))
		}
	}
}

func (n *node) askFrom(asker *node, h mh.Multihash) (provs, closer []*peer.AddrInfo, err error) {
	return asker.asker.GetProviders(context.Background(), n.host.ID(), h)
}

// brokenStore fails to write while it is full.
type brokenStore struct {
	datastore.Batching
	full *atomic.Bool
}

var errDisk = errors.New("disk full")

func (b brokenStore) Batch(ctx context.Context) (datastore.Batch, error) {
	if b.full.Load() {
		return nil, errDisk
	}
	return b.Batching.Batch(ctx)
}

func TestAFullDiskIsAnErrorOfProvide(t *testing.T) {
	full := new(atomic.Bool)
	n := start(t, setup{store: brokenStore{mapStore(), full}})
	full.Store(true)
	if err := n.Provide(t.Context(), root(1)); !errors.Is(err, errDisk) {
		t.Errorf("provide: %v", err)
	}
	if s := n.Status(); s.Provided != 0 || s.Waiting != 0 {
		t.Errorf("status %+v", s)
	}
	full.Store(false)
	provide(t, n, root(1))
}
