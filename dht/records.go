package dht

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/simplelru"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	"github.com/libp2p/go-libp2p-kad-dht/records"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-base32"
	mh "github.com/multiformats/go-multihash"
)

const (
	// maxProviders is how many providers of one key we tell and believe in one answer. With maxAddrs and maxAddrBytes
	// it keeps an answer of ours below 768 KiB even when every record in it is hostile.
	maxProviders = 128
	// maxSampled is how many records of one key are read to choose these from.
	maxSampled = 1024
)

// recordStore is the datastore of kad-dht's provider records with two additions: reading the records of a key shows this
// node as a provider exactly as long as the key is in our set of roots (kad-dht itself can add its own record, but not
// take it back), and the number of records is bounded, so that nobody can fill the disk.
//
// The layout it reads and writes is kad-dht's: /providers/<base32 key>/<base32 peer ID> = varint(unix ns).
type recordStore struct {
	datastore.Batching
	self peer.ID
	own  func(context.Context, mh.Multihash) bool
	max  int64
	n    atomic.Int64 // records stored, -1 until counted
}

func newRecordStore(ds datastore.Batching, self peer.ID, own func(context.Context, mh.Multihash) bool, limit int) *recordStore {
	s := &recordStore{Batching: ds, self: self, own: own, max: int64(limit)}
	s.n.Store(-1)
	return s
}

// cacheNothing makes kad-dht read each answer from the datastore: a cached set would outlive an Unprovide and has no
// bound on the providers of one key.
func cacheNothing() records.Option { return records.Cache(noCache{}) }

// noCache is an LRU cache of size zero. kad-dht uses Get and Add only.
type noCache struct{ lru.LRUCache }

func (noCache) Get(any) (any, bool) { return nil, false }
func (noCache) Add(any, any) bool   { return false }

// Query is as the datastore's; for the records of one key it adds our own and bounds the rest.
func (s *recordStore) Query(ctx context.Context, q query.Query) (query.Results, error) {
	key, one := strings.CutPrefix(q.Prefix, records.ProvidersKeyPrefix)
	if !one || key == "" || strings.Contains(key, "/") {
		return s.Batching.Query(ctx, q)
	}
	inner := q
	inner.Limit = maxSampled
	res, err := s.Batching.Query(ctx, inner)
	if err != nil {
		return nil, fmt.Errorf("provider records: %w", err)
	}
	defer res.Close()
	var entries []query.Entry
	own := s.ownKey(key)
	for e := range res.Next() {
		if e.Error != nil {
			return nil, fmt.Errorf("provider records: %w", e.Error)
		}
		if e.Key != own {
			entries = append(entries, e.Entry)
		}
	}
	if len(entries) > maxProviders {
		rand.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		entries = entries[:maxProviders]
	}
	if h, err := base32.RawStdEncoding.DecodeString(key); err == nil && s.own(ctx, mh.Multihash(h)) {
		entries = append(entries, query.Entry{Key: own, Value: binary.AppendVarint(nil, time.Now().UnixNano())})
	}
	return query.ResultsWithEntries(q, entries), nil
}

func (s *recordStore) ownKey(key string) string {
	return records.ProvidersKeyPrefix + key + "/" + base32.RawStdEncoding.EncodeToString([]byte(s.self))
}

// Batch is as the datastore's, but drops new records when there are too many; a record that is there is renewed.
func (s *recordStore) Batch(ctx context.Context) (datastore.Batch, error) {
	b, err := s.Batching.Batch(ctx)
	if err != nil {
		return nil, err
	}
	return &recordBatch{Batch: b, s: s}, nil
}

// Delete removes one record; kad-dht does that with those it finds to be out of date.
func (s *recordStore) Delete(ctx context.Context, key datastore.Key) error {
	if err := s.Batching.Delete(ctx, key); err != nil {
		return err
	}
	s.n.Add(-1)
	return nil
}

// recordBatch counts what it adds and removes. Committed batches only are counted.
type recordBatch struct {
	datastore.Batch
	s     *recordStore
	delta int64
}

func (b *recordBatch) Put(ctx context.Context, key datastore.Key, value []byte) error {
	known, err := b.s.Has(ctx, key)
	if err != nil {
		return fmt.Errorf("provider record: %w", err)
	}
	if !known {
		if b.s.n.Load()+b.delta >= b.s.max {
			return nil
		}
		b.delta++
	}
	return b.Batch.Put(ctx, key, value)
}

func (b *recordBatch) Delete(ctx context.Context, key datastore.Key) error {
	b.delta--
	return b.Batch.Delete(ctx, key)
}

func (b *recordBatch) Commit(ctx context.Context) error {
	if err := b.Batch.Commit(ctx); err != nil {
		return err
	}
	b.s.n.Add(b.delta)
	b.delta = 0
	return nil
}

// count finds how many records there are; batches committed meanwhile may be counted twice, which errs on the safe side.
func (s *recordStore) count(ctx context.Context) error {
	var n int64
	for _, err := range datastore.QueryIter(ctx, s.Batching, query.Query{KeysOnly: true}) {
		if err != nil {
			return fmt.Errorf("count provider records: %w", err)
		}
		n++
	}
	s.n.Add(n + 1) // it started at -1
	return nil
}
