package store

import (
	"context"
	"errors"
	"os"

	"shoal/chunker"

	"github.com/ipfs/go-cid"
)

// CopyLocal does at once, and to the end, what the goroutine of d does in its own time.
func (d *Download) CopyLocal(ctx context.Context) error {
	d.stopLocal()
	return d.copyLocal(ctx, nil)
}

// AgeRows makes the rows of files what version 1 of the home wrote, which knew neither times of change nor devices.
func (s *Store) AgeRows() error {
	b := s.db.NewBatch()
	err := s.each([]byte{tagFile}, func(key, value []byte) error {
		r, err := decodeRow(key, value)
		if err != nil {
			return err
		}
		e := encoder{}
		e.uint(1)
		e.uint(uint64(r.base))
		e.string(r.path)
		e.uint(uint64(r.stat.Size))
		e.int(r.stat.ModTime)
		e.uint(r.stat.Inode)
		r.cut.encode(&e)
		return b.Set(key, e.buf, nil)
	})
	if err != nil {
		return err
	}
	return s.commit(b, true)
}

// StartLocal starts the goroutine of d again.
func (d *Download) StartLocal() { d.startLocal() }

// StopLocal ends the goroutine of d.
func (d *Download) StopLocal() { d.stopLocal() }

// HaveCount is the number of leaves that are written.
func (d *Download) HaveCount() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.haveN
}

// OnNote has fn called before and after it is recorded that a .part was made.
func (d *Download) OnNote(fn func(noted bool)) {
	if d.dst == nil {
		return
	}
	note := d.dst.owner.note
	d.dst.owner.note = func(inode uint64) error {
		fn(false)
		err := note(inode)
		fn(true)
		return err
	}
}

// Reads counts the reads of the index so far: single values, iterators, and keys gone over.
func (s *Store) Reads() (gets, iters, steps int64) {
	return s.reads.gets.Load(), s.reads.iters.Load(), s.reads.steps.Load()
}

// Garbage counts the rows that belong to no share and no download.
func (s *Store) Garbage() (n int, err error) {
	err = s.each(nil, func(key, _ []byte) error {
		var id shareID
		switch key[0] {
		case tagNode, tagFile, tagBad, tagHave, tagTemp, tagPending:
			id, _ = splitSegment(append(append([]byte(nil), key...), make([]byte, 8)...))
		case tagBlock:
			id, _ = splitBlock(key)
		default:
			return nil
		}
		if _, _, err := s.owner(id); err != nil {
			n++
		}
		return nil
	})
	return n, err
}

// LosePatience does what News does when nothing has come in for long.
func (d *Download) LosePatience() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.releaseRepeats()
}

// HeldElsewhere asks the index for leaves of these digests, as lookUp does.
func (s *Store) HeldElsewhere(digests [][digestSize]byte) (int, error) {
	src := &localSource{s: s, roots: map[shareID]*Root{}}
	defer src.close()
	leaves := make([]uint32, len(digests))
	for i := range leaves {
		leaves[i] = uint32(i)
	}
	found, err := src.heldElsewhere(leaves, func(i int) [digestSize]byte { return digests[i] })
	return len(found), err
}

// Records counts the shares, their places and older versions.
func (s *Store) Records() (n int, err error) {
	for _, tag := range []byte{tagShare, tagPlace} {
		recs, rerr := s.records(tag)
		n, err = n+len(recs), errors.Join(err, rerr)
	}
	return n, err
}

// Spoil deletes the last key of a tag, or, with value, gives it that value.
func (s *Store) Spoil(tag byte, value []byte) error {
	var last []byte
	if err := s.each([]byte{tag}, func(key, _ []byte) error {
		last = append(last[:0], key...)
		return nil
	}); err != nil {
		return err
	}
	b := s.db.NewBatch()
	defer b.Close()
	if value == nil {
		_ = b.Delete(last, nil)
	} else {
		_ = b.Set(last, value, nil)
	}
	return s.apply(b, true)
}

// MoveForTest records that a download is to move to t, and no more, as a crash leaves it.
func (s *Store) MoveForTest(t Target) error {
	rec, err := s.record(tagDownload, t.Root)
	if err != nil {
		return err
	}
	return s.adjust(rec, t)
}

// Restat records the stats that the files of a share have now, as if nothing had ever been written to them.
func (s *Store) Restat(root cid.Cid) error {
	rec, err := s.record(tagShare, root)
	if err != nil {
		return err
	}
	b := s.db.NewBatch()
	err = s.rows(rec.id, func(r *row) error {
		fi, err := os.Stat(rec.absPath(r))
		if err != nil {
			return err
		}
		r.stat = chunker.StatOf(fi)
		return b.Set(keyFile(tagFile, rec.id, r.leaf, r.entry), r.encode(), nil)
	})
	return errors.Join(err, s.commit(b, true))
}

// NoReserve lets Pebble meet a full disk itself.
func (s *Store) NoReserve() { s.noReserve = true }

// NoteProbe notes in a home that a probe lies at path.
func NoteProbe(home, path string) { noteProbe(home, path) }
