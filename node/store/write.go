package store

import (
	"errors"
	"fmt"
	"os"

	"shoal/chunker"
)

// maxRepeats of a leaf are written by one Write. A sparse file can repeat one leaf a
// million times; the rest follow with the next Writes.
const maxRepeats = 64

// Write stores the data of leaf i, which the caller has checked against its CID, at
// every place the leaf is wanted, unless it is there already. ErrNoSpace, ErrReadOnly and ErrDenied name the path
// and what to do. Calls for different leaves may run concurrently.
func (d *Download) Write(i int, data []byte) error {
	d.place.RLock() // Finish waits for a late copy, which would touch the file once more
	defer d.place.RUnlock()
	d.mu.RLock()
	if d.stage != running {
		d.mu.RUnlock()
		return fmt.Errorf("write leaf %d of %s: %w", i, d.rec.root, ErrClosed)
	}
	if i < 0 || i >= d.seen || (d.want != nil && !d.want.get(i)) {
		d.mu.RUnlock()
		return fmt.Errorf("write leaf %d of %s: not wanted", i, d.rec.root)
	}
	if d.have.get(i) {
		d.mu.RUnlock()
		return nil
	}
	leaf := d.x.layout.Leaf(i)
	digest, _ := digestOf(leaf.CID)
	var also []int
	d.reps.of(i, digest, func(j int) bool {
		if !d.have.get(j) && (d.want == nil || d.want.get(j)) {
			also = append(also, j)
		}
		return len(also) < maxRepeats
	})
	d.mu.RUnlock()
	if leaf.Size >= 0 && len(data) != leaf.Size {
		return fmt.Errorf("write leaf %d of %s: %d bytes, not %d: %w", i, d.rec.root, len(data), leaf.Size, chunker.ErrMismatch)
	}
	if err := d.writeLeaf(i, data); err != nil {
		return err
	}
	for _, j := range also {
		if err := d.writeLeaf(j, data); err != nil {
			return err
		}
	}
	return nil
}

// spot is where a leaf goes.
type spot struct {
	entry  int
	rel    string
	offset int64
	size   int64 // of the file; -1: unknown
	single bool  // the leaf is the whole file
}

// spotOf is the place of leaf i. Called under mu.
func (d *Download) spotOf(i int) spot {
	leaf := d.x.layout.Leaf(i)
	e := &d.x.layout.Entries()[leaf.Entry]
	return spot{
		entry: leaf.Entry, rel: d.sel.rel(e.Path), offset: leaf.Offset, size: e.Size,
		single: leaf.Size < 0 || (leaf.Offset == 0 && int64(leaf.Size) == e.Size),
	}
}

// writeLeaf writes one place and then marks it as had.
func (d *Download) writeLeaf(i int, data []byte) error {
	d.mu.RLock()
	at := d.spotOf(i)
	d.mu.RUnlock()
	if d.homeDisk { // leave the index the room to record what was written
		if err := d.s.room(); err != nil {
			return err
		}
	}
	var err error
	if at.single {
		err = d.writeSingle(at, data)
	} else {
		err = d.writeShared(at, data)
	}
	if err != nil {
		return fsError("write", d.dst.path(at.rel), err)
	}
	d.wrote(i, at.entry, len(data))
	return nil
}

// wrote marks leaf i of an entry as written.
func (d *Download) wrote(i, entry, size int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.x.layout.Leaf(i).Size < 0 {
		d.loneSize = int64(size)
	}
	d.setHave(i, size)
	d.dirty[entry] = struct{}{}
}

// writeSingle writes a whole small file and closes it at once.
func (d *Download) writeSingle(at spot, data []byte) error {
	f, fresh, err := d.dst.openFile(at.rel, true)
	if err != nil {
		return err
	}
	if !fresh {
		if err = d.created(at.entry, f, false, false); err == nil {
			err = f.Truncate(int64(len(data)))
		}
	}
	if err == nil && len(data) > 0 {
		_, err = f.WriteAt(data, 0)
	}
	if err == nil {
		err = d.created(at.entry, f, fresh, true)
	}
	return errors.Join(err, f.Close())
}

// writeShared writes one of several leaves of a file that stays open for the others.
func (d *Download) writeShared(at spot, data []byte) error {
	h, err := d.acquireFile(at, true)
	if err != nil {
		return err
	}
	defer d.dst.files.release(h)
	_, err = h.v.WriteAt(data, at.offset)
	return err
}

// acquireFile opens the file of a spot. A fresh one is given its full size, sparse.
func (d *Download) acquireFile(at spot, create bool) (*pooled[*os.File], error) {
	return d.dst.files.acquire(at.entry, func() (*os.File, error) {
		d.mu.RLock()
		known := d.files[at.entry].created
		d.mu.RUnlock()
		f, fresh, err := d.dst.openFile(at.rel, create && !known)
		if err != nil {
			return nil, err
		}
		if create && !known {
			err = d.created(at.entry, f, fresh, false)
			if err == nil {
				err = fitSize(f, at.size)
			}
		}
		if err != nil {
			f.Close()
			if fresh {
				err = errors.Join(err, d.dst.in(at.rel, false, (*os.Root).Remove))
			}
			return nil, err
		}
		return f, nil
	})
}

// fitSize gives f the size it is going to have, without taking the space yet.
func fitSize(f *os.File, size int64) error {
	fi, err := f.Stat()
	if err != nil || size < 0 || fi.Size() == size {
		return err
	}
	return f.Truncate(size)
}

var errOneName = errors.New("the file system takes this name and another of the share for one; fetch to another disk")

// taken tells whether another entry's file has the inode, as where case does not count.
// Called under mu.
func (d *Download) taken(entry int, inode uint64) bool {
	for i := range d.files {
		if i != entry && d.files[i].created && d.files[i].inode == inode && inode != 0 {
			return true
		}
	}
	return false
}

// created notes the inode of a file, by which a resume knows it again; whole: also its
// time, as nothing is left to write.
func (d *Download) created(entry int, f *os.File, fresh, whole bool) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	is := chunker.StatOf(fi)
	if !whole {
		is.ModTime = 0 // more writes are to come
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	st := &d.files[entry]
	if !fresh && !st.created && d.taken(entry, is.Inode) {
		return errOneName
	}
	if st.inode != is.Inode || st.mtime != is.ModTime {
		st.rowed = false
	}
	st.inode, st.mtime, st.created = is.Inode, is.ModTime, true
	d.dirty[entry] = struct{}{}
	return nil
}

// readLeafAt reads a written leaf for serving. ErrNotHave; ErrClosed once the download
// is over, after which the share serves it.
func (d *Download) readLeafAt(i int, buf []byte, off int) (n, size int, err error) {
	d.place.RLock()
	defer d.place.RUnlock()
	d.mu.RLock()
	if d.stage != running {
		d.mu.RUnlock()
		return 0, 0, ErrClosed
	}
	if i < 0 || !d.have.get(i) {
		d.mu.RUnlock()
		return 0, 0, fmt.Errorf("leaf %d of %s: %w", i, d.rec.root, ErrNotHave)
	}
	at := d.spotOf(i)
	size = d.sizeOf(i)
	d.mu.RUnlock()
	if n = partOf(size, off, len(buf)); n == 0 {
		return 0, size, nil
	}
	h, err := d.acquireFile(at, false)
	if err == nil {
		_, err = h.v.ReadAt(buf[:n], at.offset+int64(off))
		d.dst.files.release(h)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("leaf %d of %s: %w: %w", i, d.rec.root, ErrChanged, err)
	}
	return n, size, nil
}
