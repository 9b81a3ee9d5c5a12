package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// What stays free on the disk of the home.
const (
	// reserveBytes and reserveInodes stay free: writes are refused before that, removals are not.
	reserveBytes  = 16 << 20
	reserveInodes = 32

	// openBytes and openInodes are free when the index is opened, which may replay a log and start another.
	openBytes  = 3 << 20
	openInodes = 8

	// ballastBytes are held by a file in the home where there is plenty. A home on a full disk is opened in their place.
	ballastBytes = 4 << 20
	ballastAbove = 256 << 20
	ballastName  = "ballast"
)

// HomeError is an error of the disk, or of the process, that keeps the index from being written or opened.
type HomeError struct {
	Home  string
	Mount string // where its disk is mounted; "": unknown
	Err   error
}

// Error is the error's text.
func (e *HomeError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *HomeError) Unwrap() error { return e.Err }

func (s *Store) homeError(err error) error {
	var known *HomeError
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &HomeError{Home: s.home, Mount: MountOf(s.home), Err: err}
}

// indexError is an error of writing the index.
func (s *Store) indexError(err error) error {
	if err == nil {
		return nil
	}
	return s.homeError(fsError("write index", filepath.Join(s.home, indexName), shortError{err}))
}

// shortError is an error without the stack trace that Pebble's carry.
type shortError struct{ error }

func (e shortError) Error() string { return firstLine(e.error.Error()) }
func (e shortError) Unwrap() error { return e.error }

// room refuses what would fill the disk of the home, and any write once the home is
// gone. It costs one system call.
func (s *Store) room() error { return s.free(reserveBytes, reserveInodes) }

func (s *Store) free(bytes, inodes int64) error {
	free, files, err := freeRoom(s.home)
	if s.noReserve {
		return nil
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.homeError(fmt.Errorf("write index: the home %s was deleted: %w", s.home, err))
	case err != nil:
		return nil // what cannot be told is not full
	case free < bytes:
		return s.homeError(fmt.Errorf("write index: %w: the disk of the home %s needs %d more bytes free", ErrNoSpace, s.home, bytes-free))
	case files >= 0 && files < inodes:
		return s.homeError(fmt.Errorf("write index: %w: the disk of the home %s has %d free inodes and needs %d", ErrNoSpace, s.home, files, inodes))
	}
	return nil
}

// Trouble is what keeps the index from being written, nil if nothing does. Reading and serving go on meanwhile, and removals
// as far as they can; writing goes on by itself once the cause is gone.
func (s *Store) Trouble() error {
	if err := s.gate.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	return s.writable()
}

// writable tells whether a write can be risked.
func (s *Store) writable() error {
	if err := s.uncut(); err != nil {
		return err
	}
	if err := s.db.now.Load().log.fatal(); err != nil {
		return s.indexError(err)
	}
	if err := s.spare.fill(); err != nil && s.spare.few() {
		return s.indexError(err)
	}
	return s.room()
}

// uncut tells whether a removal can be risked: all that it needs is what the log has left.
func (s *Store) uncut() error {
	if s.noRoom != nil {
		return s.noRoom
	}
	if s.readOnly {
		return s.homeError(fmt.Errorf("write index: %w: the home %s", ErrReadOnly, s.home))
	}
	if err := s.db.now.Load().fs.err(); err != nil {
		return s.indexError(err)
	}
	return nil
}

// keepBallast takes space to be given up later, where that is little of what is free.
func (s *Store) keepBallast() {
	path := filepath.Join(s.home, ballastName)
	if fi, err := os.Stat(path); err == nil && fi.Size() == ballastBytes {
		return
	}
	if free, _, err := freeRoom(s.home); err != nil || free < ballastAbove {
		return
	}
	if err := allocate(path, ballastBytes); err != nil {
		os.Remove(path) // not on this file system
	}
}

// spendBallast gives the space up when the index could not be opened without.
func (s *Store) spendBallast() {
	if s.free(openBytes, openInodes) != nil && os.Remove(filepath.Join(s.home, ballastName)) == nil {
		s.spent = true
	}
}

// retakeBallast takes what is left of the space that was given up, before others do: the next start needs it too.
func (s *Store) retakeBallast() {
	if free, _, err := freeRoom(s.home); s.spent && err == nil && free >= openBytes {
		path := filepath.Join(s.home, ballastName)
		if err := allocate(path, min(free, ballastBytes)); err != nil {
			os.Remove(path)
		}
	}
}

// redo keeps the batches that were applied and are not known to be durable, so that an index that is opened anew gets them
// again: they are gone from a disk that was cut off.
type redo struct {
	mu      sync.Mutex
	batches [][]byte
	bytes   int
	dropped int // batches that were there before the first
}

// redoBytes of batches are kept; then one is made durable.
const redoBytes = 4 << 20

// full tells that the next batch must be made durable.
func (r *redo) full() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes > redoBytes
}

// mark is where the batches applied so far end: a sync that begins now covers them.
func (r *redo) mark() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped + len(r.batches)
}

// keep adds a batch that was applied.
func (r *redo) keep(repr []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.batches = append(r.batches, repr)
	r.bytes += len(repr)
}

// durable drops those before the mark.
func (r *redo) durable(mark int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.dropped < mark && len(r.batches) > 0 {
		r.bytes -= len(r.batches[0])
		r.batches[0] = nil
		r.batches = r.batches[1:]
		r.dropped++
	}
}

// all drops all.
func (r *redo) all() { r.durable(r.mark()) }
