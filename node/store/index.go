package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	pebbleds "github.com/ipfs/go-ds-pebble"
)

// Sizes of the index. Rows are small and most reads are of one range, so little
// memory serves well; the daemon as a whole must fit in 150 MiB.
const (
	cacheBytes    = 8 << 20
	memTableBytes = 2 << 20 // Pebble preallocates a log of this size and 10 %, and keeps two
	indexFiles    = 64
	batchBytes    = 256 << 10 // batches of an import or a removal are cut here

	// reserveBytes stay free on the disk of the home. Pebble cannot survive a full one:
	// it panics when it fails to start a new log. So writes are refused before that.
	reserveBytes = 16 << 20

	// openBytes are free when the index is opened, which may replay a log and start another.
	openBytes = 4 << 20

	// retryPause slows Pebble down, which tries a failed flush again at once and for ever.
	retryPause = 200 * time.Millisecond
)

// openIndex opens Pebble and reads the id counter.
func (s *Store) openIndex() error {
	s.log = &pebbleLogger{log: s.cfg.Logger}
	opts := &pebble.Options{
		CacheSize:                   cacheBytes,
		MemTableSize:                memTableBytes,
		MemTableStopWritesThreshold: 4,
		MaxOpenFiles:                indexFiles,
		MaxManifestFileSize:         1 << 20,
		FormatMajorVersion:          pebble.FormatColumnarBlocks, // pinned: a new one is a new formatVersion
		Logger:                      s.log,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
		EventListener:               &pebble.EventListener{BackgroundError: s.log.background},
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	// The usual scheduler also looks ten times a second whether more compactions may run at once than before, which is
	// half of what an idle daemon does. Here it is always one, and the next starts when that is done.
	opts.Experimental.CompactionScheduler = pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
	dir := filepath.Join(s.home, indexName)
	if err := s.free(openBytes); err != nil {
		return err
	}
	db, err := pebble.Open(dir, opts)
	if err != nil {
		return fsError("open index", dir, err)
	}
	s.db = db
	if s.ds, err = pebbleds.NewDatastore(dir, pebbleds.WithPebbleDB(db)); err == nil {
		err = s.loadNextID()
	}
	if err != nil {
		db.Close()
		return fmt.Errorf("open index %s: %w", dir, err)
	}
	return nil
}

// closeIndex waits for queries of the datastore, flushes and closes Pebble. After
// a fatal error Pebble would wait for ever for the commit that failed.
func (s *Store) closeIndex() error {
	s.gate.close()
	if err := s.log.fatal(); err != nil {
		return s.indexError(err)
	}
	if s.room() != nil {
		return s.db.Close() // without the flush, which starts a new log
	}
	return s.ds.Close()
}

// room refuses what would fill the disk of the home, and any write once the home is
// gone, which Pebble would not survive either. It costs one system call.
func (s *Store) room() error { return s.free(reserveBytes) }

func (s *Store) free(want int64) error {
	free, err := freeSpace(s.home)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write index: the home %s was deleted: %w", s.home, err)
	}
	if err != nil || free >= want {
		return nil // what cannot be told is not full
	}
	return fmt.Errorf("write index %s: %w: free %d bytes and run the same command again", s.home, ErrNoSpace, reserveBytes-free)
}

// Datastore is a namespace in the same index for the libp2p parts. Its keys start
// with '/', which no key of the store does, so its queries see only its own. Writes
// are durable after Sync. Closing it does nothing: Close the Store.
func (s *Store) Datastore() datastore.Batching { return sharedDatastore{s.ds, s} }

type sharedDatastore struct {
	*pebbleds.Datastore
	s *Store
}

// Close leaves the index open for the Store.
func (sharedDatastore) Close() error { return nil }

// Get reads a value; datastore.ErrNotFound.
func (d sharedDatastore) Get(ctx context.Context, key datastore.Key) ([]byte, error) {
	if err := d.s.gate.enter(); err != nil {
		return nil, err
	}
	defer d.s.gate.leave()
	return d.Datastore.Get(ctx, key)
}

// Has tells whether there is a value.
func (d sharedDatastore) Has(ctx context.Context, key datastore.Key) (bool, error) {
	if err := d.s.gate.enter(); err != nil {
		return false, err
	}
	defer d.s.gate.leave()
	return d.Datastore.Has(ctx, key)
}

// GetSize is the size of a value in bytes.
func (d sharedDatastore) GetSize(ctx context.Context, key datastore.Key) (int, error) {
	if err := d.s.gate.enter(); err != nil {
		return -1, err
	}
	defer d.s.gate.leave()
	return d.Datastore.GetSize(ctx, key)
}

// Query goes through keys. Closing the Store ends it.
func (d sharedDatastore) Query(ctx context.Context, q query.Query) (query.Results, error) {
	if err := d.s.gate.enter(); err != nil {
		return nil, err
	}
	defer d.s.gate.leave()
	return d.Datastore.Query(ctx, q)
}

// Sync makes the writes so far durable.
func (d sharedDatastore) Sync(ctx context.Context, prefix datastore.Key) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.s.gate.leave()
	return d.Datastore.Sync(ctx, prefix)
}

// enter is for writers: the disk must have room.
func (d sharedDatastore) enter() error {
	if err := d.s.gate.enter(); err != nil {
		return err
	}
	err := d.s.writable()
	if err != nil {
		d.s.gate.leave()
	}
	return err
}

// Put writes unless the disk is full.
func (d sharedDatastore) Put(ctx context.Context, key datastore.Key, value []byte) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.s.gate.leave()
	return d.Datastore.Put(ctx, key, value)
}

// Delete deletes unless the disk is full.
func (d sharedDatastore) Delete(ctx context.Context, key datastore.Key) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.s.gate.leave()
	return d.Datastore.Delete(ctx, key)
}

// Batch collects writes; its Commit fails if the disk is full.
func (d sharedDatastore) Batch(ctx context.Context) (datastore.Batch, error) {
	b, err := d.Datastore.Batch(ctx)
	return sharedBatch{b, d}, err
}

type sharedBatch struct {
	datastore.Batch
	d sharedDatastore
}

func (b sharedBatch) Commit(ctx context.Context) error {
	if err := b.d.enter(); err != nil {
		return err
	}
	defer b.d.s.gate.leave()
	return b.Batch.Commit(ctx)
}

// pebbleLogger sends Pebble's talk to debug and remembers its first fatal error.
type pebbleLogger struct {
	log   *slog.Logger
	first atomic.Pointer[error]
	again atomic.Bool // a background error has been told
}

// background hears of a flush or compaction that failed. Only the first is worth a
// warning: Pebble tries again until it works.
func (l *pebbleLogger) background(err error) {
	if l.again.CompareAndSwap(false, true) {
		l.log.Warn("index cannot be written, and is tried again", "error", err)
	}
	time.Sleep(retryPause)
}

func (l *pebbleLogger) Infof(format string, args ...any) {
	l.log.Debug("index", "message", fmt.Sprintf(format, args...))
}

func (l *pebbleLogger) Errorf(format string, args ...any) {
	l.log.Warn("index", "message", fmt.Sprintf(format, args...))
}

// Fatalf keeps the process alive, against Pebble's custom: commit hands the error to
// every writer, so that a full disk ends in an error message and not in an exit.
func (l *pebbleLogger) Fatalf(format string, args ...any) {
	err := fmt.Errorf("index failed: "+format, args...)
	for _, a := range args {
		if cause, ok := a.(error); ok {
			err = fmt.Errorf("index failed: %w", cause)
		}
	}
	if l.first.CompareAndSwap(nil, &err) {
		l.log.Error("index failed", "error", err)
	}
}

func (l *pebbleLogger) fatal() error {
	if p := l.first.Load(); p != nil {
		return *p
	}
	return nil
}
