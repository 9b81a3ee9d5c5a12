package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"shoal/chunker"

	"github.com/ipfs/go-cid"
)

// rowWindow is how many consecutive file rows are read at once, so that a tree of
// small files costs one seek for many of them.
const rowWindow = 32

// Root serves one share or live download. It is used by one goroutine at a time
// and holds at most one open file.
type Root struct {
	s    *Store
	root cid.Cid
	live *Download // nil: a share
	rec  *record   // of a share
	bits bitmap    // served leaves of a share; nil: all
	gen  uint64    // of the store when rec and bits were read

	window []*row // consecutive rows
	f      *os.File
	row    *row // of f
	at     time.Time
}

// OpenRoot opens a share for serving, or else the live download of root. Files that
// did not fit are looked at again. ErrNotFound.
func (s *Store) OpenRoot(root cid.Cid) (*Root, error) {
	r, err := s.openRoot(root)
	if errors.Is(err, ErrNotFound) {
		r, err = s.openRoot(root) // a download may have become a share between the two looks
	}
	return r, err
}

func (s *Store) openRoot(root cid.Cid) (*Root, error) {
	r := &Root{s: s, root: root}
	rec, err := s.record(tagShare, root)
	if err == nil {
		if _, err = s.recheck(rec, maxMisses); err == nil {
			err = r.reload()
		}
	} else if errors.Is(err, ErrNotFound) {
		if r.live = s.liveDownload(root); r.live != nil {
			err = nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", root, err)
	}
	return r, nil
}

// reload reads the record and the bits of the share again.
func (r *Root) reload() error {
	r.gen = r.s.gen.Load()
	rec, err := r.s.record(tagShare, r.root)
	if err != nil {
		return err
	}
	if r.rec == nil || r.rec.id != rec.id || rec.bad != r.rec.bad {
		r.closeFile()
	}
	r.rec, r.window = rec, nil
	r.bits, err = r.s.served(rec)
	return err
}

// refresh notices that references changed, and that a live download has become a share.
func (r *Root) refresh() error {
	if r.live != nil {
		if !r.live.over() {
			return nil
		}
		if err := r.reload(); err != nil {
			return err
		}
		r.live = nil
		return nil
	}
	if r.gen == r.s.gen.Load() {
		return nil
	}
	return r.reload()
}

// Name is the share's name; of a download the name it is going to have.
func (r *Root) Name() string {
	if r.live != nil {
		name, _, _ := r.live.Summary()
		return name
	}
	return r.rec.title()
}

// Leaves counts the leaves known, repeats included.
func (r *Root) Leaves() int {
	if r.live != nil {
		n, _ := r.live.Leaves()
		return n
	}
	return r.rec.leaves
}

// Complete tells whether every inner node is known.
func (r *Root) Complete() bool {
	if r.live != nil {
		_, complete := r.live.Leaves()
		return complete
	}
	return r.rec.complete
}

// Have is the leaves that can be read now, as bits, least significant first; nil: all.
// The slice is the caller's.
func (r *Root) Have() []byte {
	if err := r.refresh(); err != nil {
		return newBitmap(r.Leaves()) // removed meanwhile: none
	}
	if r.live != nil {
		return r.live.haveBits()
	}
	if r.bits == nil {
		return nil
	}
	return append([]byte(nil), r.bits...)
}

// Node is the i-th inner node in walk order; io.EOF past the last one known.
func (r *Root) Node(i int) ([]byte, error) {
	if r.live != nil {
		return r.s.node(r.live.id(), i)
	}
	return r.s.node(r.rec.id, i)
}

// ReadLeaf reads all of leaf i into buf and returns its size. io.ErrShortBuffer: buf
// is too small. Otherwise it is ReadLeafAt.
func (r *Root) ReadLeaf(i int, buf []byte) (int, error) {
	n, size, err := r.ReadLeafAt(i, buf, 0)
	if err == nil && n < size {
		err = io.ErrShortBuffer
	}
	return n, err
}

// ReadLeafAt reads leaf i from byte off on into buf, as much as fits, and returns
// how much that is and the size of the whole leaf. ErrNotHave: not downloaded, not
// selected, or damaged. ErrChanged: the file no longer fits; its leaves leave Have and
// the share says why.
func (r *Root) ReadLeafAt(i int, buf []byte, off int) (n, size int, err error) {
	if err := r.refresh(); err != nil {
		return 0, 0, err
	}
	if r.live != nil {
		n, size, err := r.live.readLeafAt(i, buf, off)
		if !errors.Is(err, ErrClosed) {
			return n, size, err
		}
		if err := r.refresh(); err != nil {
			return 0, 0, err
		}
		if r.live != nil {
			return 0, 0, err
		}
	}
	row, offset, size, err := r.locate(i)
	if err != nil {
		return 0, 0, err
	}
	if err := r.open(row); err != nil {
		return 0, 0, err
	}
	want := partOf(size, off, len(buf))
	if n, err := r.f.ReadAt(buf[:want], offset+int64(off)); n < want {
		// The stat fitted and the bytes are not there: cut off this instant, or a bad disk.
		if err == io.EOF {
			return 0, 0, r.changed(row, "was truncated while it was read")
		}
		return 0, 0, r.changed(row, "cannot be read: "+err.Error())
	}
	return want, size, nil
}

// partOf is how many of a leaf's size bytes lie behind off and fit into room.
func partOf(size, off, room int) int { return max(0, min(size-off, room)) }

// locate finds the place of a served leaf of a share.
func (r *Root) locate(i int) (row *row, offset int64, size int, err error) {
	if i < 0 || i >= r.rec.leaves {
		return nil, 0, 0, fmt.Errorf("leaf %d of %d of %s: %w", i, r.rec.leaves, r.root, ErrNotHave)
	}
	if row, err = r.find(i); err != nil {
		return nil, 0, 0, fmt.Errorf("leaf %d of %s: %w", i, r.root, err)
	}
	if r.bits != nil && !r.bits.get(i) {
		return nil, 0, 0, r.notServed(i, row)
	}
	offset, size = row.cut.at(i - row.leaf)
	return row, offset, size, nil
}

// span opens the file that leaf i of a share is in, checked, and says where. The file
// is good until the next call on r.
func (r *Root) span(i int) (f *os.File, offset int64, size int, err error) {
	if err := r.refresh(); err != nil {
		return nil, 0, 0, err
	}
	row, offset, size, err := r.locate(i)
	if err == nil {
		err = r.open(row)
	}
	return r.f, offset, size, err
}

// notServed tells why a leaf that is not in Have is not.
func (r *Root) notServed(i int, row *row) error {
	if why, err := r.s.get(keyFile(tagBad, r.rec.id, row.leaf, row.entry)); err == nil {
		return fmt.Errorf("leaf %d of %s: %w: %s", i, r.root, ErrChanged, why)
	}
	return fmt.Errorf("leaf %d of %s: %w", i, r.root, ErrNotHave)
}

// find is the row of the file that leaf i is in.
func (r *Root) find(i int) (*row, error) {
	if r.row != nil && i >= r.row.leaf && i < r.row.leaf+r.row.cut.leaves {
		return r.row, nil
	}
	for _, w := range r.window {
		if i >= w.leaf && i < w.leaf+w.cut.leaves {
			return w, nil
		}
	}
	if err := r.fill(i); err != nil {
		return nil, err
	}
	for _, w := range r.window {
		if i >= w.leaf && i < w.leaf+w.cut.leaves {
			return w, nil
		}
	}
	return nil, ErrNotHave // not selected: no row
}

// fill reads the rows from the one of leaf i on.
func (r *Root) fill(i int) error {
	r.window = r.window[:0]
	it, err := r.s.iter(keyID(tagFile, r.rec.id))
	if err != nil {
		return err
	}
	defer r.s.gate.leave()
	ok := it.SeekLT(keyFile(tagFile, r.rec.id, i+1, 0))
	for ; ok && len(r.window) < rowWindow; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			break
		}
		row, err := decodeRow(it.Key(), v)
		if err != nil {
			return errors.Join(err, it.Close())
		}
		r.window = append(r.window, row)
	}
	return errors.Join(it.Error(), it.Close())
}

// open makes row's file the open one, and checks that it is what was shared: once when
// it is opened, then by path, so that a file that was swapped is noticed too.
func (r *Root) open(row *row) error {
	now := time.Now()
	path := r.rec.absPath(row)
	if r.f != nil && r.row == row {
		if now.Sub(r.at) < r.s.cfg.CheckEvery {
			return nil
		}
		r.at = now
		if why := unfitPath(path, row.stat); why != "" {
			return r.changed(row, why)
		}
		return nil
	}
	r.closeFile()
	f, err := os.OpenFile(path, openRead, 0)
	var why string
	if isTransient(err) {
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
		return r.changed(row, why)
	}
	r.f, r.row, r.at = f, row, now
	return nil
}

// changed stops row's file from being served and says why.
func (r *Root) changed(row *row, why string) error {
	r.closeFile()
	reason := called(row, r.rec.absPath(row)) + " " + why
	if err := r.s.markUnfit(r.root, r.rec.id, row, reason); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w: %s", r.root, ErrChanged, reason)
}

func (r *Root) closeFile() {
	if r.f != nil {
		r.f.Close() // only read from
	}
	r.f, r.row = nil, nil
}

// Close closes the open file. It is idempotent.
func (r *Root) Close() error {
	r.closeFile()
	return nil
}

// Block reads an inner node or a leaf of any share or live download by its CID. buf
// is used when it is large enough. ErrNotFound: nothing here holds it; ErrChanged: what
// held it is no longer what it was.
func (s *Store) Block(c cid.Cid, buf []byte) ([]byte, error) {
	digest, ok := digestOf(c)
	if !ok {
		return nil, fmt.Errorf("block %s: %w", c, ErrNotFound)
	}
	kind := byte(blockNode)
	if c.Type() == cid.Raw {
		kind = blockLeaf
	}
	first := fmt.Errorf("block %s: %w", c, ErrNotFound)
	places, err := s.places(kind, digest)
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", c, err)
	}
	for _, p := range places {
		block, err := s.blockAt(kind, p, buf)
		if err == nil {
			return block, nil
		}
		if errors.Is(err, ErrChanged) {
			first = fmt.Errorf("block %s: %w", c, err)
		}
	}
	return nil, first
}

// place is where a block is.
type place struct {
	id    shareID
	index int
}

// maxPlaces of one block are tried, few of one share: a leaf can repeat a million times.
const (
	maxPlaces = 16
	maxInOne  = 4
)

func (s *Store) places(kind byte, digest []byte) ([]place, error) {
	var list []place
	it, err := s.iter(append([]byte{tagBlock, kind}, digest...))
	if err != nil {
		return nil, err
	}
	defer s.gate.leave()
	ok := it.First()
	for n := 0; ok && len(list) < maxPlaces; n++ {
		id, index := splitBlock(it.Key())
		if k := len(list); k == 0 || list[k-1].id != id {
			n = 0
		}
		list = append(list, place{id, index})
		if n < maxInOne-1 {
			ok = it.Next()
		} else {
			ok = it.SeekGE(keyBlock(nil, kind, digest, id+1, 0))
		}
	}
	return list, errors.Join(it.Error(), it.Close())
}

// blockAt reads the block at p, if a share or live download still owns that id.
func (s *Store) blockAt(kind byte, p place, buf []byte) ([]byte, error) {
	tag, root, err := s.owner(p.id)
	if err != nil {
		return nil, err // rows of a removal under way
	}
	if kind == blockNode {
		return s.node(p.id, p.index)
	}
	r := &Root{s: s, root: root}
	defer r.Close()
	if tag == tagDownload {
		if r.live = s.liveDownload(root); r.live == nil {
			return nil, ErrNotHave
		}
	} else if err := r.reload(); err != nil {
		return nil, err
	}
	n, err := r.ReadLeaf(p.index, buf)
	if errors.Is(err, io.ErrShortBuffer) {
		buf = make([]byte, chunker.DefaultLimits().BlockSize)
		n, err = r.ReadLeaf(p.index, buf)
	}
	return buf[:n], err
}
