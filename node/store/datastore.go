package store

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

// Datastore is a namespace in the same index for the libp2p parts. Its keys start
// with '/', which no key of the store does, so its queries see only its own. Writes
// are durable after Sync. Closing it does nothing: Close the Store.
func (s *Store) Datastore() datastore.Batching { return sharedDatastore{s} }

type sharedDatastore struct{ s *Store }

// Close leaves the index open for the Store.
func (sharedDatastore) Close() error { return nil }

// Get reads a value; datastore.ErrNotFound.
func (d sharedDatastore) Get(ctx context.Context, key datastore.Key) ([]byte, error) {
	if err := d.s.gate.enter(); err != nil {
		return nil, err
	}
	defer d.s.gate.leave()
	v, err := d.s.db.ds().Get(ctx, key)
	return v, d.s.readError(err)
}

// Has tells whether there is a value.
func (d sharedDatastore) Has(ctx context.Context, key datastore.Key) (bool, error) {
	if err := d.s.gate.enter(); err != nil {
		return false, err
	}
	defer d.s.gate.leave()
	ok, err := d.s.db.ds().Has(ctx, key)
	return ok, d.s.readError(err)
}

// GetSize is the size of a value in bytes.
func (d sharedDatastore) GetSize(ctx context.Context, key datastore.Key) (int, error) {
	if err := d.s.gate.enter(); err != nil {
		return -1, err
	}
	defer d.s.gate.leave()
	n, err := d.s.db.ds().GetSize(ctx, key)
	return n, d.s.readError(err)
}

// Query goes through keys. The result is read at once, so that none outlives an index that is closed or opened anew.
func (d sharedDatastore) Query(ctx context.Context, q query.Query) (query.Results, error) {
	if err := d.s.gate.enter(); err != nil {
		return nil, err
	}
	defer d.s.gate.leave()
	res, err := d.s.db.ds().Query(ctx, q)
	if err != nil {
		return nil, d.s.readError(err)
	}
	entries, err := res.Rest()
	if err != nil {
		return nil, d.s.readError(err)
	}
	return query.ResultsWithEntries(q, entries), nil
}

// Sync makes the writes so far durable.
func (d sharedDatastore) Sync(context.Context, datastore.Key) error {
	b := d.s.db.NewBatch()
	if err := b.LogData(nil, nil); err != nil {
		return fmt.Errorf("sync index: %w", err)
	}
	return d.s.commit(b, true)
}

// Put writes unless the disk is full.
func (d sharedDatastore) Put(_ context.Context, key datastore.Key, value []byte) error {
	b := d.s.db.NewBatch()
	_ = b.Set(key.Bytes(), value, nil)
	return d.s.commit(b, false)
}

// Delete deletes unless the disk is full.
func (d sharedDatastore) Delete(_ context.Context, key datastore.Key) error {
	b := d.s.db.NewBatch()
	_ = b.Delete(key.Bytes(), nil)
	return d.s.commit(b, false)
}

// Batch collects writes; its Commit fails if the disk is full.
func (d sharedDatastore) Batch(context.Context) (datastore.Batch, error) {
	return &sharedBatch{d.s, d.s.db.NewBatch()}, nil
}

// sharedBatch is used once.
type sharedBatch struct {
	s *Store
	b *pebble.Batch
}

// Put adds a write.
func (b *sharedBatch) Put(_ context.Context, key datastore.Key, value []byte) error {
	return b.b.Set(key.Bytes(), value, nil)
}

// Delete adds a deletion.
func (b *sharedBatch) Delete(_ context.Context, key datastore.Key) error {
	return b.b.Delete(key.Bytes(), nil)
}

// Commit applies what was added.
func (b *sharedBatch) Commit(context.Context) error { return b.s.commit(b.b, false) }
