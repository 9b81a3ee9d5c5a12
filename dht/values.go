package dht

import (
	"context"
	"fmt"
	"sync"

	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
)

const (
	maxValue       = 16 << 10 // bytes of one record; IPNS records are at most 10 KiB
	maxValuesBytes = 16 << 20 // of all records together
	valueOverhead  = 256      // bytes that a record costs besides its own
)

// valueStore keeps the value records that others put on a server of the IPFS DHT, in memory: 20 servers hold each, and its owner
// puts it again within two days, so that a restart may forget them. Where they are full new ones are refused until kad-dht
// has swept out what is too old.
type valueStore struct {
	datastore.Batching

	mu   sync.Mutex // over a change and its count
	used int
}

func newValueStore() *valueStore {
	return &valueStore{Batching: dssync.MutexWrap(datastore.NewMapDatastore())}
}

func (s *valueStore) Put(ctx context.Context, key datastore.Key, value []byte) error {
	if len(value) > maxValue {
		return fmt.Errorf("value record of %d bytes: more than %d are not kept", len(value), maxValue)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	change := cost(key, len(value)) - s.costOf(ctx, key)
	if change > 0 && s.used+change > maxValuesBytes {
		return fmt.Errorf("value record: the %d bytes for them are full", maxValuesBytes)
	}
	if err := s.Batching.Put(ctx, key, value); err != nil {
		return err
	}
	s.used += change
	return nil
}

func (s *valueStore) Delete(ctx context.Context, key datastore.Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	frees := s.costOf(ctx, key)
	if err := s.Batching.Delete(ctx, key); err != nil {
		return err
	}
	s.used -= frees
	return nil
}

// Batch is refused: kad-dht writes values one by one, and a batch would go past the bound.
func (s *valueStore) Batch(context.Context) (datastore.Batch, error) {
	return nil, datastore.ErrBatchUnsupported
}

// costOf is what the record of a key takes now. mu is held.
func (s *valueStore) costOf(ctx context.Context, key datastore.Key) int {
	n, err := s.GetSize(ctx, key)
	if err != nil {
		return 0
	}
	return cost(key, n)
}

func cost(key datastore.Key, value int) int { return len(key.String()) + value + valueOverhead }
