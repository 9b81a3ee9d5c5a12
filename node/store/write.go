package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"shoal/chunker"
)

// maxRepeats of a leaf are written by one Write. Where there are more, they are left to
// the goroutine that copies.
const maxRepeats = 64

// Write stores the data of leaf i, which the caller has checked against its CID, at
// every place the leaf is wanted, unless it is there already. ErrNoSpace, ErrReadOnly and
// ErrDenied name the path and what to do. Calls may run concurrently.
func (d *Download) Write(i int, data []byte) error { return d.write(i, data, false) }

// write is Write; byUs: the leaf was not fetched.
func (d *Download) write(i int, data []byte, byUs bool) error {
	d.place.RLock() // Finish waits for a late copy, which would touch the file once more
	first, later, err := d.writeFirst(i, data, byUs)
	d.place.RUnlock()
	if err != nil || len(later) == 0 {
		return err
	}
	if len(later) > maxRepeats {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.spreadFrom(first, i)
		return nil
	}
	return d.writeRepeats(context.Background(), i, first, later, data)
}

// writeFirst writes leaf i and tells where else it belongs.
func (d *Download) writeFirst(i int, data []byte, byUs bool) (first int, later []uint32, err error) {
	d.mu.RLock()
	if d.stage != running {
		d.mu.RUnlock()
		return 0, nil, fmt.Errorf("write leaf %d of %s: %w", i, d.rec.root, ErrClosed)
	}
	if i < 0 || i >= d.seen || (d.want != nil && !d.want.get(i)) {
		d.mu.RUnlock()
		return 0, nil, fmt.Errorf("write leaf %d of %s: not wanted", i, d.rec.root)
	}
	if d.have.get(i) {
		d.mu.RUnlock()
		return 0, nil, nil
	}
	size := d.x.layout.LeafSize(i)
	first, later = d.reps.of(i)
	d.mu.RUnlock()
	if size >= 0 && len(data) != size {
		return 0, nil, fmt.Errorf("write leaf %d of %s: %d bytes, not %d: %w", i, d.rec.root, len(data), size, chunker.ErrMismatch)
	}
	return first, later, d.writeLeaf(i, data, byUs)
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
	entry, offset, size := d.x.layout.Place(i)
	e := &d.x.layout.Entries()[entry]
	return spot{
		entry: entry, rel: d.sel.rel(e.Path), offset: offset, size: e.Size,
		single: size < 0 || (offset == 0 && int64(size) == e.Size),
	}
}

// writeLeaf writes one place and then marks it as had.
func (d *Download) writeLeaf(i int, data []byte, byUs bool) error {
	lock := d.writes.of(i)
	lock.Lock()
	defer lock.Unlock()
	for {
		again, err := d.writeOnce(i, data, byUs)
		if !again || err != nil {
			return err
		}
	}
}

// writeOnce is writeLeaf. again: a sync failed meanwhile, so that it may be lost what was written.
func (d *Download) writeOnce(i int, data []byte, byUs bool) (again bool, err error) {
	d.mu.RLock()
	at, had, size, lost := d.spotOf(i), d.have.get(i), d.x.layout.LeafSize(i), d.lost
	d.mu.RUnlock()
	if had {
		return false, nil
	}
	if size >= 0 && len(data) != size { // a false DAG: the same leaf at another place, of another size
		return false, fmt.Errorf("write leaf %d of %s: %d bytes, not %d: %w", i, d.rec.root, len(data), size, chunker.ErrMismatch)
	}
	if d.homeDisk { // leave the index the room to record what was written
		if err := d.s.room(); err != nil {
			return false, err
		}
	}
	if at.single {
		err = d.writeSingle(at, data)
	} else {
		err = d.writeShared(at, data)
	}
	if errors.Is(err, fs.ErrNotExist) { // its directory was ours
		return false, fmt.Errorf("write %s: %w: %w", d.dst.path(at.rel), ErrVanished, err)
	}
	if err != nil {
		return false, d.dirGone(fsError("write", d.dst.path(at.rel), err))
	}
	return !d.wrote(i, at.entry, len(data), byUs, lost), nil
}

// wrote marks leaf i of an entry as written, unless a sync failed since there were lost such failures.
func (d *Download) wrote(i, entry, size int, byUs bool, lost int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lost != lost {
		return false
	}
	if d.x.layout.LeafSize(i) < 0 {
		d.loneSize = int64(size)
	}
	d.setHave(i, size)
	d.dirty[entry] = struct{}{}
	if byUs {
		d.came = addSpan(d.came, i)
		d.tell()
	}
	return true
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
	lone := len(data) == 0 || err == nil && alone(f) // else somebody may write between us and the look at its stat
	if err == nil && len(data) > 0 {
		_, err = f.WriteAt(data, 0)
	}
	if err == nil {
		err = d.created(at.entry, f, fresh, lone)
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
	h.writing.Lock() // the kernel writes a file in turn anyway, and spins meanwhile
	defer h.writing.Unlock()
	return writeSparse(h.v, data, at.offset)
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
				d.watchFile(at.entry, f)
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

// acquireToRead opens the file of a spot where it is: in the .part, or at the destination.
func (d *Download) acquireToRead(at spot) (*pooled[*os.File], error) {
	if _, kept := d.keptAt(at.entry); !kept {
		return d.acquireFile(at, false)
	}
	return d.dst.files.acquire(at.entry, func() (*os.File, error) { return d.openKept(at.entry, at.rel) })
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

// taken tells whether a file that was there already, with this inode, is that of another entry too, as where case does not count.
// What only was that file, and was moved here by another program, is not.
func (d *Download) taken(entry int, inode uint64) bool {
	d.mu.RLock()
	other := -1
	for i := range d.files {
		if i != entry && d.files[i].created && d.files[i].inode == inode && inode != 0 {
			other = i
		}
	}
	if other < 0 || d.files[entry].created {
		d.mu.RUnlock()
		return false
	}
	rel := d.sel.rel(d.x.layout.Entries()[other].Path)
	d.mu.RUnlock()
	fi, err := d.dst.lstat(rel)
	return err == nil && inodeOf(fi) == inode
}

// created notes the inode of a file, by which a resume knows it again; whole: also its
// time, as nothing is left to write.
func (d *Download) created(entry int, f *os.File, fresh, whole bool) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	is := chunker.StatOf(fi)
	inode := is.Inode
	if !whole {
		is = chunker.FileStat{} // more writes are to come
	}
	if !fresh && d.taken(entry, inode) {
		return errOneName
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	st := &d.files[entry]
	if st.inode != inode || st.stat != is {
		st.rowed = false
	}
	st.inode, st.stat, st.created = inode, is, true
	st.doubted = st.doubted && !whole
	d.dirty[entry] = struct{}{}
	return nil
}

// readLeafAt reads a written leaf for serving. ErrNotHave; ErrClosed once the download
// is over, after which the share serves it.
func (d *Download) readLeafAt(i int, buf []byte, off int) (n, size int, err error) {
	d.place.RLock()
	defer d.place.RUnlock()
	d.noticeNow()
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
	doubted := d.files[at.entry].doubted && !d.files[at.entry].unwatched
	d.mu.RUnlock()
	if n = partOf(size, off, len(buf)); n == 0 {
		return 0, size, nil
	}
	h, err := d.acquireToRead(at)
	if err == nil && doubted && off == 0 { // another program touched the file
		whole := make([]byte, size)
		if _, err = h.v.ReadAt(whole, at.offset); err == nil && d.doubt(i, whole) {
			err = errors.New("another program changed it")
		}
		if err != nil {
			d.dst.files.release(h)
		}
	}
	if err == nil {
		_, err = h.v.ReadAt(buf[:n], at.offset+int64(off))
		d.dst.files.release(h)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("leaf %d of %s: %w: %w", i, d.rec.root, ErrChanged, err)
	}
	return n, size, nil
}
