package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"
	pebbleds "github.com/ipfs/go-ds-pebble"
)

// Store is the index of one home. All methods are safe for concurrent use.
type Store struct {
	cfg  Config
	home string
	lock *os.File
	db   *pebble.DB
	ds   *pebbleds.Datastore
	log  *pebbleLogger
	gate gate // around every use of db and ds

	zeros  zeroSums
	nextID atomic.Uint64
	gen    atomic.Uint64 // bumped when a reference starts or stops to fit; open Roots reload

	reads reads

	mu     sync.Mutex           // guards live, busy and every read-modify-write of a record
	live   map[string]*Download // running, by root
	busy   map[string]bool      // roots that a Download runs for or starts for
	closed bool
}

// Open opens or makes the home, 0700, takes its lock (ErrLocked), checks its
// format version (ErrNewer), and completes or undoes what a crash cut short.
func Open(home string, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	home, err := filepath.Abs(home)
	if err != nil {
		return nil, fmt.Errorf("open home: %w", err)
	}
	lock, err := openHome(home)
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, home: home, lock: lock, live: map[string]*Download{}, busy: map[string]bool{}}
	if err := s.openIndex(); err != nil {
		lock.Close()
		return nil, err
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("recover home %s: %w", home, err), s.Close())
	}
	return s, nil
}

// Close checkpoints downloads that were left open, closes the index and drops
// the lock, in this order. Roots must be closed before. It is idempotent.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	var open []*Download
	for _, d := range s.live {
		open = append(open, d)
	}
	s.mu.Unlock()

	var errs []error
	for _, d := range open {
		errs = append(errs, d.Close())
	}
	errs = append(errs, s.closeIndex(), s.lock.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close home %s: %w", s.home, err)
	}
	return nil
}

// loadNextID reads the id counter.
func (s *Store) loadNextID() error {
	v, err := s.get(keyNextID)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err == nil && len(v) != 8 {
		err = errors.New("malformed id counter")
	}
	if err != nil {
		return err
	}
	s.nextID.Store(binary.BigEndian.Uint64(v))
	return nil
}

// newID takes a fresh id and adds to b what keeps it from being taken again. The
// WAL keeps order, so no row of the id outlives a crash that this does not.
func (s *Store) newID(b *pebble.Batch) shareID {
	id := s.nextID.Add(1)
	// Ids handed out at once may be persisted out of order: store a bound above them all.
	_ = b.Set(keyNextID, binary.BigEndian.AppendUint64(nil, s.nextID.Load()), nil)
	return shareID(id)
}

// get copies a value out of the index; pebble.ErrNotFound where there is none.
func (s *Store) get(key []byte) ([]byte, error) {
	if err := s.gate.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	s.reads.gets.Add(1)
	v, closer, err := s.db.Get(key)
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte(nil), v...), nil
}

// has tells whether there is a value.
func (s *Store) has(key []byte) (bool, error) {
	_, err := s.get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// reads counts the reads of the index, so that a test sees how they grow with the shares.
type reads struct {
	gets, iters atomic.Int64
	steps       atomic.Int64 // keys that each went over
}

// commit applies b; durable once it returns if sync is set. After a failed write of
// its log Pebble is beyond use, so the first such error answers all later commits.
func (s *Store) commit(b *pebble.Batch, sync bool) error {
	defer b.Close()
	if err := s.gate.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	if err := s.writable(); err != nil {
		return err
	}
	opt := pebble.NoSync
	if sync {
		opt = pebble.Sync
	}
	if err := b.Commit(opt); err != nil {
		return s.indexError(err)
	}
	if err := s.log.fatal(); err != nil {
		return s.indexError(err)
	}
	return nil
}

// writable tells whether a write can be risked.
func (s *Store) writable() error {
	if err := s.log.fatal(); err != nil {
		return s.indexError(err)
	}
	return s.room()
}

func (s *Store) indexError(err error) error {
	return fsError("write index", filepath.Join(s.home, indexName), err)
}

// iter goes through the keys under prefix. The caller closes it and then leaves the gate.
func (s *Store) iter(prefix []byte) (*pebble.Iterator, error) {
	if err := s.gate.enter(); err != nil {
		return nil, err
	}
	s.reads.iters.Add(1)
	it, err := s.db.NewIter(under(prefix))
	if err != nil {
		s.gate.leave()
	}
	return it, err
}

// each calls fn for every key under prefix, in order, until it fails. Key and value
// hold until fn returns.
func (s *Store) each(prefix []byte, fn func(key, value []byte) error) error {
	it, err := s.iter(prefix)
	if err != nil {
		return err
	}
	defer s.gate.leave()
	for ok := it.First(); ok; ok = it.Next() {
		s.reads.steps.Add(1)
		v, err := it.ValueAndErr()
		if err == nil {
			err = fn(it.Key(), v)
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return errors.Join(it.Error(), it.Close())
}

// record loads a share (tagShare) or a download (tagDownload); ErrNotFound.
func (s *Store) record(tag byte, root cid.Cid) (*record, error) { return s.recordAt(tag, root, 0) }

// recordAt is record, also for a place (tagPlace), whose id is part of the key.
func (s *Store) recordAt(tag byte, root cid.Cid, id shareID) (*record, error) {
	v, err := s.get(keyRecord(tag, root, id))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, root)
	}
	if err != nil {
		return nil, fmt.Errorf("read record of %s: %w", root, err)
	}
	r, err := decodeRecord(v)
	if err != nil {
		return nil, fmt.Errorf("read record of %s: %w", root, err)
	}
	r.root, r.tag = root, tag
	return r, nil
}

// recordOf loads the record that has an id; ErrNotFound.
func (s *Store) recordOf(id shareID) (*record, error) {
	tag, root, err := s.owner(id)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, fmt.Errorf("%w: id %d", ErrNotFound, id)
	}
	if err != nil {
		return nil, err
	}
	r, err := s.recordAt(tag, root, id)
	if err == nil && r.id != id {
		return nil, fmt.Errorf("%w: id %d", ErrNotFound, id)
	}
	return r, err
}

// records lists the shares, the places or the downloads.
func (s *Store) records(tag byte) ([]*record, error) { return s.recordsUnder([]byte{tag}) }

// recordsUnder lists the records whose keys start with prefix, a tag with or without a root.
func (s *Store) recordsUnder(prefix []byte) ([]*record, error) {
	var all []*record
	err := s.each(prefix, func(key, value []byte) error {
		at := key[1:]
		if key[0] == tagPlace {
			at = at[:max(0, len(at)-8)]
		}
		root, err := cid.Cast(append([]byte(nil), at...))
		if err != nil {
			return fmt.Errorf("read record: %w", err)
		}
		r, err := decodeRecord(value)
		if err != nil {
			return fmt.Errorf("read record of %s: %w", root, err)
		}
		r.root, r.tag = root, key[0]
		all = append(all, r)
		return nil
	})
	return all, err
}

// putRecord adds r and the way back from its id to b.
func putRecord(b *pebble.Batch, tag byte, r *record) {
	_ = b.Set(keyRecord(tag, r.root, r.id), r.encode(), nil)
	_ = b.Set(keyID(tagID, r.id), keyRoot(tag, r.root), nil)
}

// owner tells whose id this is.
func (s *Store) owner(id shareID) (tag byte, root cid.Cid, err error) {
	v, err := s.get(keyID(tagID, id))
	if err != nil {
		return 0, cid.Undef, err
	}
	if len(v) < 2 {
		return 0, cid.Undef, errShort
	}
	root, err = cid.Cast(v[1:])
	return v[0], root, err
}
