package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	pebbleds "github.com/ipfs/go-ds-pebble"
)

// Sizes of the index. Rows are small and most reads are of one range, so little
// memory serves well; the daemon as a whole must fit in 300 MiB.
const (
	cacheBytes    = 8 << 20
	memTableBytes = 2 << 20 // Pebble preallocates a log of this size and 10 %, and keeps two
	indexFiles    = 64
	batchBytes    = 256 << 10 // batches of an import or a removal are cut here

	// retryPause slows Pebble down, which tries a failed flush again at once and for ever.
	retryPause = 200 * time.Millisecond

	// openTries are the failed flushes after which an open is given up.
	openTries = 4
)

// engine is one run of Pebble on the index.
type engine struct {
	db  *pebble.DB
	ds  *pebbleds.Datastore
	fs  *diskFS
	log *pebbleLogger
}

// indexDB is the engine that is in use. A cut one is replaced (see heal), so batches are bound to none.
type indexDB struct{ now atomic.Pointer[engine] }

// NewBatch makes a batch.
func (x *indexDB) NewBatch() *pebble.Batch { return new(pebble.Batch) }

// NewIndexedBatch makes a batch that can be read. It is used under the lock of the Store.
func (x *indexDB) NewIndexedBatch() *pebble.Batch { return x.now.Load().db.NewIndexedBatch() }

func (x *indexDB) db() *pebble.DB          { return x.now.Load().db }
func (x *indexDB) ds() *pebbleds.Datastore { return x.now.Load().ds }

// options of Pebble. fresh: the index may be made.
func (s *Store) options(d *diskFS, log *pebbleLogger, fresh bool) *pebble.Options {
	opts := &pebble.Options{
		FS:                          d,
		ErrorIfNotExists:            !fresh,
		ReadOnly:                    s.readOnly,
		CacheSize:                   cacheBytes,
		MemTableSize:                memTableBytes,
		MemTableStopWritesThreshold: 4,
		MaxOpenFiles:                indexFiles,
		MaxManifestFileSize:         1 << 20,
		FormatMajorVersion:          pebble.FormatWALSyncChunks, // pinned: a new one is a new formatVersion
		Logger:                      log,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
		EventListener: &pebble.EventListener{
			BackgroundError: log.background,
			DataCorruption:  func(i pebble.DataCorruptionInfo) { log.damaged(i.Details) },
			FlushEnd:        func(i pebble.FlushInfo) { log.worked(i.Err) },
			CompactionEnd:   func(i pebble.CompactionInfo) { log.worked(i.Err) },
		},
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	// The usual scheduler also looks ten times a second whether more compactions may run at once than before, which is
	// half of what an idle daemon does. Here it is always one, and the next starts when that is done.
	opts.Experimental.CompactionScheduler = pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
	return opts
}

// openIndex opens Pebble and reads the id counter. Without fresh there must be an index.
func (s *Store) openIndex(fresh bool) error {
	dir := filepath.Join(s.home, indexName)
	if !s.readOnly {
		s.spendBallast()
		if err := s.free(openBytes, openInodes); err != nil {
			return err
		}
	}
	if err := s.spare.fill(); err != nil && !isExhausted(err) {
		return err
	}
	switch fi, err := os.Stat(dir); {
	case err == nil && !fi.IsDir():
		return fmt.Errorf("open index %s: %w: it is no directory", dir, ErrIndexDamaged)
	case err == nil || fresh:
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("open index %s: %w: the directory is gone", dir, ErrIndexDamaged)
	default:
		return fsError("open index", dir, err)
	}
	e, err := s.openEngine(fresh)
	if err != nil {
		return openError(dir, err)
	}
	s.db.now.Store(e)
	if err = s.loadNextID(); err != nil {
		e.close()
		return fmt.Errorf("open index %s: %w", dir, err)
	}
	return nil
}

// openEngine starts Pebble. A flush that fails while it opens is tried by Pebble for ever, so that is watched from outside.
func (s *Store) openEngine(fresh bool) (*engine, error) {
	dir := filepath.Join(s.home, indexName)
	log := &pebbleLogger{log: s.cfg.Logger, lost: make(chan struct{})}
	e := &engine{log: log}
	e.fs = newDiskFS(&s.spare, func(err error) {
		log.fail(err)
		s.wakeHeal()
	})
	log.fs, log.trouble = e.fs, s.wakeHeal
	type opened struct {
		db  *pebble.DB
		err error
	}
	result := make(chan opened, 1)
	go func() {
		var o opened
		defer func() {
			if r := recover(); r != nil {
				o = opened{err: fmt.Errorf("%w: %v", ErrIndexDamaged, firstLine(fmt.Sprint(r)))}
			}
			result <- o
		}()
		o.db, o.err = pebble.Open(dir, s.options(e.fs, log, fresh))
	}()
	var o opened
	select {
	case o = <-result:
	case <-log.lost:
		return nil, e.fs.err()
	}
	if o.err == nil && e.fs.err() != nil { // it worked in the void
		o.db.Close()
		o.err = e.fs.err()
	}
	if o.err != nil {
		return nil, o.err
	}
	e.db = o.db
	var err error
	if e.ds, err = pebbleds.NewDatastore(dir, pebbleds.WithPebbleDB(e.db)); err != nil {
		e.db.Close()
		return nil, err
	}
	e.fs.running.Store(true)
	return e, nil
}

// openError says in one sentence what is wrong with an index that does not open.
func openError(dir string, err error) error {
	if isResource(err) || errors.Is(err, ErrIndexDamaged) {
		return fsError("open index", dir, err)
	}
	return fmt.Errorf("open index %s: %w: %s", dir, ErrIndexDamaged, firstLine(err.Error()))
}

// readError marks what reading tells of damage.
func (s *Store) readError(err error) error {
	if err == nil || errors.Is(err, pebble.ErrNotFound) || !pebble.IsCorruptionError(err) {
		return err
	}
	s.db.now.Load().log.damaged(err)
	return fmt.Errorf("read index %s: %w: %s", filepath.Join(s.home, indexName), ErrIndexDamaged, firstLine(err.Error()))
}

// close ends Pebble. One whose disk was cut off ends as well: it does not notice.
func (e *engine) close() error { return e.ds.Close() }

// closeIndex waits for queries of the datastore, flushes and closes Pebble.
func (s *Store) closeIndex() error {
	s.stopHeal()
	s.gate.close()
	defer s.spare.close()
	e := s.db.now.Load()
	cause := e.fs.err()
	tail, jerr := s.journal.close()
	var err error
	if e.log.fatal() == nil && (s.readOnly || s.room() == nil) {
		s.putTail(tail)
		err = e.close()
	} else {
		err = e.db.Close() // without the flush, which starts a new log
	}
	if cause != nil {
		err = s.indexError(cause)
	}
	return errors.Join(err, jerr)
}

// pebbleLogger sends Pebble's talk to debug, and knows what stands in the way of the index.
type pebbleLogger struct {
	log     *slog.Logger
	fs      *diskFS
	trouble func() // there is something to look after

	first atomic.Pointer[error] // the error that ended writing
	back  atomic.Pointer[error] // of the last flush or compaction; nil: it worked
	bad   atomic.Pointer[error] // damage that was found
	tries atomic.Int32          // failed flushes while the index opens
	lost  chan struct{}         // closed when opening is given up
}

// background hears of a flush or compaction that failed. Only the first is worth a
// warning: Pebble tries again until it works.
func (l *pebbleLogger) background(err error) {
	if pebble.IsCorruptionError(err) {
		l.damaged(err)
	}
	if !l.fs.running.Load() {
		l.fs.cut(err)
		if l.tries.Add(1) == openTries {
			close(l.lost)
			select {} // never to go on: its disk is cut off, and whoever opens it has left
		}
	}
	if l.back.Swap(&err) == nil {
		l.log.Warn("index cannot be written, and is tried again", "error", firstLine(err.Error()))
		l.trouble()
	}
	time.Sleep(retryPause)
}

// worked hears of the end of a flush or compaction.
func (l *pebbleLogger) worked(err error) {
	if err == nil && l.back.Swap(nil) != nil {
		l.log.Info("index can be written again")
	}
}

// damaged hears of a table that does not read.
func (l *pebbleLogger) damaged(err error) {
	err = errors.New(firstLine(err.Error()))
	if l.bad.CompareAndSwap(nil, &err) {
		l.log.Error("index is damaged; stop the daemon and run `shoal doctor`", "error", err)
	}
}

// fail remembers the error that ended writing.
func (l *pebbleLogger) fail(err error) {
	if l.first.CompareAndSwap(nil, &err) {
		l.log.Error("index failed; nothing is recorded until it is opened anew", "error", firstLine(err.Error()))
	}
}

// Infof is told what Pebble does.
func (l *pebbleLogger) Infof(format string, args ...any) {
	l.log.Debug("index", "message", firstLine(fmt.Sprintf(format, args...)))
}

// Errorf is told of what Pebble lives on with.
func (l *pebbleLogger) Errorf(format string, args ...any) {
	l.log.Warn("index", "message", firstLine(fmt.Sprintf(format, args...)))
}

// Fatalf keeps the process alive, against Pebble's custom: its disk is cut off, and commit
// hands the error to every writer.
func (l *pebbleLogger) Fatalf(format string, args ...any) {
	err := errors.New(firstLine(fmt.Sprintf(format, args...)))
	for _, a := range args {
		if cause, ok := a.(error); ok {
			err = cause
		}
	}
	l.fs.cut(err)
}

// fatal is why nothing can be written.
func (l *pebbleLogger) fatal() error {
	for _, p := range []*error{l.first.Load(), l.bad.Load(), l.back.Load()} {
		if p != nil {
			return *p
		}
	}
	return nil
}

// firstLine is what a person can read of an error: those of Pebble go on with stack traces.
func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
