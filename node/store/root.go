package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/ipfs/go-cid"
)

// Root serves one share or live download. It is used by one goroutine at a time
// and holds at most one open file a place.
type Root struct {
	s     *Store
	root  cid.Cid
	only  shareID   // not 0: serves this place alone
	live  *Download // nil: a share
	views []*view   // of a share: its places, the one that has most first; never none
	gen   uint64    // of the store when views was read
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
	places, err := s.placesOf(root, true)
	for _, rec := range places {
		if err == nil {
			_, err = s.recheck(rec, maxMisses)
		}
	}
	if err == nil {
		err = r.reload()
	}
	if errors.Is(err, ErrNotFound) {
		if r.live = s.liveDownload(root); r.live != nil {
			err = nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", root, err)
	}
	return r, nil
}

// openPlace opens one place of a share, older versions included. ErrNotFound.
func (s *Store) openPlace(id shareID) (*Root, error) {
	rec, err := s.recordOf(id)
	if err == nil && rec.tag == tagDownload {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	r := &Root{s: s, root: rec.root, only: id}
	return r, r.reload()
}

// reload reads the places of the share again. Files stay open where nothing has changed.
func (r *Root) reload() error {
	r.gen = r.s.gen.Load()
	var recs []*record
	var err error
	if r.only != 0 {
		var rec *record
		rec, err = r.s.recordOf(r.only)
		recs = []*record{rec}
	} else {
		recs, err = r.s.placesOf(r.root, true)
	}
	if err == nil && len(recs) == 0 {
		err = fmt.Errorf("%w: %s", ErrNotFound, r.root)
	}
	if err != nil {
		return err
	}
	was := r.views
	views := make([]*view, 0, len(recs))
	for _, rec := range recs {
		v := &view{s: r.s}
		if i := slices.IndexFunc(was, func(v *view) bool { return v.rec.id == rec.id }); i >= 0 {
			v, was = was[i], slices.Delete(slices.Clone(was), i, i+1)
		}
		views = append(views, v)
		if err := v.load(rec); err != nil {
			return err
		}
	}
	for _, v := range was {
		v.closeFile()
	}
	slices.SortStableFunc(views, func(a, b *view) int { return b.rec.have - a.rec.have })
	r.views = views
	return nil
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

// first is the record of the place that has most.
func (r *Root) first() *record { return r.views[0].rec }

// Name is the share's name; of a download the name it is going to have; "" where only a part of the root lies here, which is
// called after that.
func (r *Root) Name() string {
	if r.live != nil {
		name, _, _ := r.live.Summary()
		return name
	}
	for _, v := range r.views {
		if v.rec.sub == "" {
			return v.rec.title()
		}
	}
	return ""
}

// Leaves counts the leaves known, repeats included.
func (r *Root) Leaves() int {
	if r.live != nil {
		n, _ := r.live.Leaves()
		return n
	}
	return r.first().leaves
}

// Complete tells whether every inner node is known.
func (r *Root) Complete() bool {
	if r.live != nil {
		_, complete := r.live.Leaves()
		return complete
	}
	return r.first().complete
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
	return unionOf(r.views)
}

// has tells whether any place of a share has leaf i, as far as known.
func (r *Root) has(i int) bool {
	return slices.ContainsFunc(r.views, func(v *view) bool { return v.bits == nil || v.bits.get(i) })
}

// Node is the i-th inner node in walk order; io.EOF past the last one known.
func (r *Root) Node(i int) ([]byte, error) {
	if r.live != nil {
		return r.s.node(r.live.id(), i)
	}
	return r.s.node(r.first().id, i)
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
// the share says why. Of several places the first that is right answers.
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
	err = r.try(func(v *view) error {
		n, size, err = v.read(i, buf, off)
		return err
	})
	return n, size, err
}

// try does something with the places of a share, in turn, until one can. The error says most of why none could:
// that something changed rather than that it was never had.
func (r *Root) try(do func(v *view) error) error {
	var first error
	for _, v := range r.views {
		err := do(v)
		switch {
		case err == nil:
			return nil
		case first == nil, errors.Is(err, ErrChanged) && errors.Is(first, ErrNotHave):
			first = err
		}
	}
	return first
}

// locate finds where a leaf of a share is, and how large it is.
func (r *Root) locate(i int) (size int, err error) {
	err = r.try(func(v *view) error {
		_, _, size, err = v.locate(i)
		return err
	})
	return size, err
}

// span opens the file that leaf i of a share is in, checked, and says where. The file
// is good until the next call on r.
func (r *Root) span(i int) (f *os.File, offset int64, size int, err error) {
	if err := r.refresh(); err != nil {
		return nil, 0, 0, err
	}
	err = r.try(func(v *view) error {
		f, offset, size, err = v.span(i)
		return err
	})
	return f, offset, size, err
}

// Close closes the open files. It is idempotent.
func (r *Root) Close() error {
	for _, v := range r.views {
		v.closeFile()
	}
	return nil
}
