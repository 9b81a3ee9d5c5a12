package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"shoal/chunker"
)

// rowWindow is how many consecutive file rows are read at once, so that a tree of
// small files costs one seek for many of them.
const rowWindow = 32

// view reads one place of a share. It holds at most one open file.
type view struct {
	s    *Store
	rec  *record
	bits bitmap // served leaves; nil: all

	window []*row // consecutive rows
	f      *os.File
	row    *row // of f
	at     time.Time
}

// load takes in what is recorded of the place.
func (v *view) load(rec *record) (err error) {
	if v.rec != nil && rec.bad != v.rec.bad {
		v.closeFile()
	}
	v.rec, v.window = rec, nil
	v.bits, err = v.s.served(rec)
	return err
}

// unionOf is the leaves that any of the places has; nil: all.
func unionOf(views []*view) []byte {
	var all bitmap
	for _, v := range views {
		if v.bits == nil {
			return nil
		}
		all = all.grown(v.rec.leaves)
		for i, b := range v.bits {
			all[i] |= b
		}
	}
	return all
}

// read is Root.ReadLeafAt from this place.
func (v *view) read(i int, buf []byte, off int) (n, size int, err error) {
	row, offset, size, err := v.locate(i)
	if err != nil {
		return 0, 0, err
	}
	if err := v.open(row); err != nil {
		return 0, 0, err
	}
	want := partOf(size, off, len(buf))
	if n, err := v.f.ReadAt(buf[:want], offset+int64(off)); n < want {
		// The stat fitted and the bytes are not there: cut off this instant, or a bad disk.
		if err == io.EOF {
			return 0, 0, v.changed(row, "was truncated while it was read")
		}
		return 0, 0, v.unread(row, i, err)
	}
	return want, size, nil
}

// partOf is how many of a leaf's size bytes lie behind off and fit into room.
func partOf(size, off, room int) int { return max(0, min(size-off, room)) }

// locate finds the place of a served leaf.
func (v *view) locate(i int) (row *row, offset int64, size int, err error) {
	if i < 0 || i >= v.rec.leaves {
		return nil, 0, 0, fmt.Errorf("leaf %d of %d of %s: %w", i, v.rec.leaves, v.rec.root, ErrNotHave)
	}
	if row, err = v.find(i); err != nil {
		return nil, 0, 0, fmt.Errorf("leaf %d of %s: %w", i, v.rec.root, err)
	}
	if v.bits != nil && !v.bits.get(i) {
		return nil, 0, 0, v.notServed(i, row)
	}
	offset, size = row.cut.at(i - row.leaf)
	return row, offset, size, nil
}

// span opens the file that leaf i is in, checked, and says where.
func (v *view) span(i int) (f *os.File, offset int64, size int, err error) {
	row, offset, size, err := v.locate(i)
	if err == nil {
		err = v.open(row)
	}
	return v.f, offset, size, err
}

// notServed tells why a leaf that is not in Have is not.
func (v *view) notServed(i int, row *row) error {
	if why, err := v.s.get(keyFile(tagBad, v.rec.id, row.leaf, row.entry)); err == nil {
		return fmt.Errorf("leaf %d of %s: %w: %s", i, v.rec.root, ErrChanged, why)
	}
	return fmt.Errorf("leaf %d of %s: %w", i, v.rec.root, ErrNotHave)
}

// find is the row of the file that leaf i is in.
func (v *view) find(i int) (*row, error) {
	if v.row != nil && i >= v.row.leaf && i < v.row.leaf+v.row.cut.leaves {
		return v.row, nil
	}
	for _, w := range v.window {
		if i >= w.leaf && i < w.leaf+w.cut.leaves {
			return w, nil
		}
	}
	if err := v.fill(i); err != nil {
		return nil, err
	}
	for _, w := range v.window {
		if i >= w.leaf && i < w.leaf+w.cut.leaves {
			return w, nil
		}
	}
	return nil, ErrNotHave // not selected: no row
}

// fill reads the rows from the one of leaf i on.
func (v *view) fill(i int) error {
	v.window = v.window[:0]
	it, err := v.s.iter(keyID(tagFile, v.rec.id))
	if err != nil {
		return err
	}
	defer v.s.gate.leave()
	ok := it.SeekLT(keyFile(tagFile, v.rec.id, i+1, 0))
	for ; ok && len(v.window) < rowWindow; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			break
		}
		row, err := decodeRow(it.Key(), value)
		if err != nil {
			return errors.Join(err, it.Close())
		}
		v.window = append(v.window, row)
	}
	return errors.Join(it.Error(), it.Close())
}

// open makes row's file the open one, and checks that it is what was shared: once when
// it is opened, then by path, so that a file that was swapped is noticed too.
func (v *view) open(row *row) error {
	now := time.Now()
	path := v.rec.absPath(row)
	if v.f != nil && v.row == row {
		if now.Sub(v.at) < v.s.cfg.CheckEvery {
			return nil
		}
		v.at = now
		why, err := unfitPath(path, row.stat)
		if why != "" {
			return v.changed(row, why)
		}
		return err
	}
	v.closeFile()
	f, err := chunker.OpenPath(path, openRead)
	var why string
	if isTransient(err) || isIO(err) {
		return fmt.Errorf("open %s: %w", path, err)
	}
	if err != nil {
		why = unfit(nil, err, row.stat)
	} else {
		fi, serr := f.Stat()
		if why = unfit(fi, serr, row.stat); why != "" {
			f.Close()
		}
	}
	if why != "" {
		return v.changed(row, why)
	}
	v.f, v.row, v.at = f, row, now
	return nil
}

// changed stops row's file from being served and says why.
func (v *view) changed(row *row, why string) error {
	v.closeFile()
	reason := called(row, v.rec.absPath(row)) + " " + why
	if err := v.s.markUnfit(v.rec.root, v.rec.id, row, reason); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w: %s", v.rec.root, ErrChanged, reason)
}

// isUnread tells that the file system could not read something, for whatever reason that does not pass in a moment.
func isUnread(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && !isTransient(err)
}

// unread takes up a failed read of leaf i. The fault of a bad sector reaches no further than that leaf.
func (v *view) unread(row *row, i int, err error) error {
	if !isUnread(err) {
		return fmt.Errorf("read leaf %d of %s: %w", i, v.rec.root, err)
	}
	if err := v.s.markDamaged(v.rec, row, i, "cannot be read: "+bare(err)); err != nil {
		return err
	}
	v.s.unwell.couldNotRead(v.rec.id)
	return fmt.Errorf("read leaf %d of %s: %w: %w", i, v.rec.root, ErrChanged, err)
}

func (v *view) closeFile() {
	if v.f != nil {
		v.f.Close() // only read from
	}
	v.f, v.row = nil, nil
}
