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
)

// Store is the index of one home. All methods are safe for concurrent use.
type Store struct {
	cfg  Config
	home string
	lock *os.File
	db   indexDB
	gate gate // around every use of db

	readOnly  bool     // the home cannot be written
	spent     bool     // the ballast was given up to open the index
	noRoom    error    // why, where its disk is too full to open it for writing
	noReserve bool     // tests have Pebble meet a full disk itself
	marked    sync.Map // by id: records that could not be written
	journal   journal
	redo      redo
	spare     spares
	heal      healer

	zeros  zeroSums
	nextID atomic.Uint64
	gen    atomic.Uint64 // bumped when a reference starts or stops to fit; open Roots reload

	reads  reads
	unwell *unwell

	mu     sync.Mutex           // guards live, busy and every read-modify-write of a record
	live   map[string]*Download // running, by root
	busy   map[string]bool      // roots that a Download runs for or starts for
	parts  sync.Map             // .part paths that such a one chose, which may not be recorded yet, to its root's key
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
	lock, fresh, readOnly, err := openHome(home, cfg.MayRead)
	if err != nil {
		return nil, err
	}
	s := newStore(home, cfg, lock)
	s.readOnly = readOnly
	err = s.start(fresh)
	if errors.Is(err, ErrNoSpace) && cfg.MayRead && !fresh && !readOnly { // what is there can be looked at
		s.spare.close()
		s = newStore(home, cfg, lock)
		s.readOnly, s.noRoom = true, err
		if s.start(false) == nil {
			return s, nil
		}
	}
	if err != nil {
		s.spare.close()
		lock.Close()
		return nil, err
	}
	return s, nil
}

func newStore(home string, cfg Config, lock *os.File) *Store {
	return &Store{cfg: cfg, home: home, lock: lock, live: map[string]*Download{}, busy: map[string]bool{}, heal: newHealer(), unwell: newUnwell()}
}

// start opens the index and takes up what a crash left. The home is of this version only once it has an index.
func (s *Store) start(fresh bool) error {
	if err := s.openIndex(fresh); err != nil {
		return s.homeError(err)
	}
	err := s.openJournal()
	if err == nil && !s.readOnly {
		err = raiseFormat(s.home)
	}
	if err != nil {
		_, jerr := s.journal.close()
		return errors.Join(s.homeError(err), s.db.now.Load().close(), jerr)
	}
	s.startHeal()
	if s.readOnly {
		return nil
	}
	s.keepBallast()
	if err := s.recover(); err != nil {
		return errors.Join(fmt.Errorf("recover home %s: %w", s.home, err), s.closeIndex())
	}
	return nil
}

// ReadOnly tells that the home cannot be written, so that all that changes it is refused.
func (s *Store) ReadOnly() bool { return s.readOnly }

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
	errs = append(errs, s.closeIndex())
	s.retakeBallast()
	errs = append(errs, s.lock.Close())
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
	v, closer, err := s.db.db().Get(key)
	if err != nil {
		return nil, s.readError(err)
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
// its log the index is beyond use until it is opened anew: that error answers all
// commits until then.
func (s *Store) commit(b *pebble.Batch, sync bool) error { return s.commitIf(b, sync, s.writable) }

// commitRemoval is commit, durable, for what makes room: it works on a full disk, by what the log has left.
func (s *Store) commitRemoval(b *pebble.Batch) error { return s.commitIf(b, true, s.uncut) }

func (s *Store) commitIf(b *pebble.Batch, sync bool, may func() error) error {
	defer b.Close()
	if err := s.gate.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	if err := may(); err != nil {
		return err
	}
	change, err := s.journal.begin(s, b)
	if err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	if err := s.apply(b, sync || change != nil || s.redo.full()); err != nil {
		change.drop()
		return err
	}
	change.done(s)
	return nil
}

// apply gives b to Pebble.
func (s *Store) apply(b *pebble.Batch, sync bool) error {
	mark, repr, opt := s.redo.mark(), b.Repr(), pebble.NoSync
	if sync {
		opt = pebble.Sync
	}
	e := s.db.now.Load()
	err := e.db.Apply(b, opt)
	if err == nil {
		err = e.fs.err() // Pebble does not know
	}
	switch {
	case err != nil:
		return s.indexError(err)
	case sync:
		s.redo.durable(mark)
	default:
		s.redo.keep(repr)
	}
	return nil
}

// iter goes through the keys under prefix. The caller closes it and then leaves the gate.
func (s *Store) iter(prefix []byte) (*pebble.Iterator, error) {
	if err := s.gate.enter(); err != nil {
		return nil, err
	}
	s.reads.iters.Add(1)
	it, err := s.db.db().NewIter(under(prefix))
	if err != nil {
		s.gate.leave()
	}
	return it, s.readError(err)
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
			_ = it.Close() // tells the same error again
			return s.readError(err)
		}
	}
	return s.readError(it.Close()) // of the iteration too
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
	return s.asMarked(r), nil
}

// asMarked is the record as it was found since the home cannot be written. Once it can, all that was found is looked for again.
func (s *Store) asMarked(r *record) *record {
	m, ok := s.marked.Load(r.id)
	if !ok {
		return r
	}
	if s.uncut() == nil {
		s.marked.Delete(r.id)
		return r
	}
	c := *m.(*record)
	return &c
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
		all = append(all, s.asMarked(r))
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
