package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"shoal/chunker"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"
)

// spillBytes of inner nodes are held in memory by an import before they go to the
// index: 1 GiB of one file makes 50 KiB of them, a tree of 100,000 files some MiB.
const spillBytes = 1 << 20

// Import takes what chunker.Build makes of a file or tree and turns it into a
// share. PutNode is called serially; then either Commit or Abort, once.
type Import struct {
	s    *Store
	id   shareID
	mem  map[cid.Cid][]byte
	size int  // bytes in mem
	disk bool // some nodes are in the index

	excludes []string // patterns of what was left out

	prior   *prior   // what lay at the path, once Known has looked; may be nil
	changes *Changes // set by Commit where something lay there
	gone    []string // set by Commit

	once sync.Once
}

// Import starts one. A crash or an Abort leaves no trace of it.
func (s *Store) Import() *Import {
	return &Import{s: s, mem: map[cid.Cid][]byte{}}
}

// Known looks up what was shared at path before, and gives chunker.Config.Known for it: files that have the same
// stat since then need not be read. nil: nothing was.
func (im *Import) Known(path string) (func(path string, is chunker.FileStat) func(int) [digestSize]byte, error) {
	path, err := filepath.Abs(path)
	if err == nil {
		im.prior, err = im.s.priorAt(path)
	}
	if err != nil {
		return nil, fmt.Errorf("look up what was shared at %s: %w", path, err)
	}
	if im.prior == nil {
		return nil, nil
	}
	return im.prior.known, nil
}

// Changes is what Commit found beside what was shared at the path before; nil: nothing was, or Known was not called.
func (im *Import) Changes() *Changes { return im.changes }

// Gone are the other places of the root where nothing was any more. Commit has forgotten them.
func (im *Import) Gone() []string { return im.gone }

// PutNode keeps an inner node until Commit. It has the signature of Build's put.
func (im *Import) PutNode(c cid.Cid, block []byte) error {
	if _, ok := digestOf(c); !ok {
		return fmt.Errorf("import node %s: %w hash function", c, chunker.ErrUnsupported)
	}
	if _, ok := im.mem[c]; ok {
		return nil
	}
	im.mem[c] = block
	if im.size += len(block); im.size < spillBytes {
		return nil
	}
	return im.spill()
}

// begin takes the id and marks it as garbage until Commit is done.
func (im *Import) begin(root cid.Cid) error {
	b := im.s.db.NewBatch()
	if im.id == 0 {
		im.id = im.s.newID(b)
	}
	var v []byte
	if root.Defined() {
		v = root.Bytes()
	}
	_ = b.Set(keyID(tagPending, im.id), v, nil)
	err := im.s.commit(b, false)
	if err != nil && !im.disk {
		im.id = 0 // nothing of it is there to be taken away
	}
	return err
}

// spill moves the nodes in memory to the index.
func (im *Import) spill() error {
	if !im.disk {
		if err := im.begin(cid.Undef); err != nil {
			return fmt.Errorf("import: %w", err)
		}
		im.disk = true
	}
	b := im.s.db.NewBatch()
	for c, block := range im.mem {
		digest, _ := digestOf(c)
		_ = b.Set(keyTemp(im.id, digest), block, nil)
	}
	im.mem, im.size = map[cid.Cid][]byte{}, 0
	if err := im.s.commit(b, false); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	return nil
}

// block is a node that PutNode kept.
func (im *Import) block(c cid.Cid) ([]byte, error) {
	if block, ok := im.mem[c]; ok {
		return block, nil
	}
	digest, ok := digestOf(c)
	if !ok || !im.disk {
		return nil, fmt.Errorf("node %s was not put", c)
	}
	block, err := im.s.get(keyTemp(im.id, digest))
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", c, err)
	}
	return block, nil
}

// Commit walks the tree t that was built at path and records it as a share,
// durably. A root that lies elsewhere too gets another place. What lay at path before, if it is of another
// root, becomes an older version, which is served for a while as far as it is still there. "" keeps the name that the
// path has here, else it is its last element; a name is given to the root at all its places.
// It may be fetched to another place meanwhile.
func (im *Import) Commit(ctx context.Context, t *chunker.Tree, path, name string) (Share, error) {
	defer im.Abort()
	sh, err := im.commit(ctx, t, path, name)
	if err != nil {
		return Share{}, fmt.Errorf("share %s: %w", path, err)
	}
	return sh, nil
}

// settled is the share of rec, which is whole, as it is seen from there, once the places of its root that are gone are forgotten.
func (im *Import) settled(rec *record) (sh Share, err error) {
	if im.gone, err = im.s.dropGone(rec); err != nil {
		return Share{}, err
	}
	return im.s.shareAt(rec)
}

func (im *Import) commit(ctx context.Context, t *chunker.Tree, path, name string) (Share, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Share{}, err
	}
	if sh, ok, err := im.keepPlace(ctx, t, path, name); ok || err != nil {
		if im.prior != nil {
			im.changes = &Changes{Unchanged: sh.Files}
		}
		return sh, err
	}
	if err := im.begin(t.Root); err != nil {
		return Share{}, err
	}
	rec := &record{
		root: t.Root, id: im.id, name: named(name, path), bases: []string{path}, state: Complete,
		tree: t.Dir, complete: true, all: true, size: t.Size, haveBytes: t.Size,
		added: time.Now().UnixNano(), excludes: im.excludes, ignores: t.Ignored,
	}
	layout, err := im.writeRows(ctx, t, rec)
	if err != nil {
		return Share{}, err
	}
	if im.prior != nil {
		c := im.prior.changes(layout)
		im.changes = &c
	}
	err = im.s.change(nil, func(p *placing) error {
		replaced, err := p.put(rec, name != "")
		if err == nil && replaced != nil && im.changes != nil {
			im.changes.Replaced = replaced.root
		}
		return err
	})
	if err != nil {
		return Share{}, err
	}
	im.id = 0 // no longer garbage
	return im.settled(rec)
}

// named is the name of a place, which is that of its path unless it was given.
func named(name, path string) string {
	if name == "" {
		return filepath.Base(path)
	}
	return name
}

// shareAt is the share of rec as it is seen from there: with the path and the name of that place.
func (s *Store) shareAt(rec *record) (Share, error) {
	places, err := s.placesOf(rec.root, false)
	if err != nil || len(places) == 0 {
		return rec.share(), err
	}
	sh, err := s.shareOf(places)
	sh.Path, sh.Name = rec.path(), rec.title()
	return sh, err
}

// keepPlace answers a Commit of a root that lies at path already, all of it as it was. A name is taken, and what is left out from now on.
func (im *Import) keepPlace(ctx context.Context, t *chunker.Tree, path, name string) (Share, bool, error) {
	s, root := im.s, t.Root
	rec, err := s.placeOf(root, path)
	if errors.Is(err, ErrNotFound) {
		return Share{}, false, nil
	}
	if err != nil || !rec.all {
		return Share{}, false, err
	}
	if rec, err = s.checkPlace(ctx, rec); err != nil || rec.state != Complete {
		return Share{}, false, err
	}
	if name != "" {
		if err := s.rename(root, name); err != nil {
			return Share{}, false, err
		}
		rec.name = name
	}
	if !slices.Equal(rec.excludes, im.excludes) || !slices.Equal(rec.ignores, t.Ignored) {
		rec.excludes, rec.ignores = im.excludes, t.Ignored
		err := s.change(nil, func(p *placing) error {
			putRecord(p.b, rec.tag, rec)
			p.alias(rec)
			return nil
		})
		if err != nil {
			return Share{}, false, err
		}
	}
	sh, err := im.settled(rec)
	return sh, err == nil, err
}

// rename gives a root another name, at all its places.
func (s *Store) rename(root cid.Cid, name string) error {
	return s.change(nil, func(p *placing) error { return p.rename(root, name) })
}

func (p *placing) rename(root cid.Cid, name string) error {
	places, err := p.s.placesOf(root, false)
	for _, r := range places {
		if r.name != name {
			r.name = name
			putRecord(p.b, r.tag, r)
		}
	}
	return err
}

// putPlace makes rec a place of its root in one synced batch, together with what is in b already (may be nil).
func (s *Store) putPlace(rec *record, b *pebble.Batch, named bool) error {
	return s.change(b, func(p *placing) error {
		_, err := p.put(rec, named)
		return err
	})
}

// writeRows stores nodes, block keys and file rows in bounded batches.
func (im *Import) writeRows(ctx context.Context, t *chunker.Tree, rec *record) (*chunker.Layout, error) {
	x, err := newIndexer(im.id, t.Root, im.s.cfg.Limits)
	if err != nil {
		return nil, err
	}
	out := &writer{s: im.s, b: im.s.db.NewBatch()}
	defer func() { out.b.Close() }()
	put := func(key, value []byte) error {
		_ = out.b.Set(key, value, nil)
		return out.flush(ctx)
	}
	if err := x.indexLeaves(put); err != nil {
		return nil, err
	}
	for c, more := x.walker.Next(); more; c, more = x.walker.Next() {
		block, err := im.block(c)
		if err == nil {
			err = x.add(put, block)
		}
		if err != nil {
			return nil, err
		}
	}
	for i, e := range x.layout.Entries() {
		if e.Kind != chunker.File {
			continue
		}
		st, ok := t.Stats[e.Path]
		if !ok {
			return nil, fmt.Errorf("no stat of %q was taken", e.Path)
		}
		r := row{path: e.Path, stat: st, cut: cutOf(x.layout, e, st.Size)}
		_ = out.b.Set(keyFile(tagFile, im.id, e.First, i), r.encode(), nil)
		rec.files++
		if err := out.flush(ctx); err != nil {
			return nil, err
		}
	}
	rec.nodes, rec.leaves, rec.have = x.nodes, x.layout.Leaves(), x.layout.Leaves()
	if im.disk {
		k := keyID(tagTemp, im.id)
		_ = out.b.DeleteRange(k, upper(k), nil)
	}
	return x.layout, out.commit(ctx)
}

// writer cuts a long row of writes into batches of bounded size.
type writer struct {
	s *Store
	b *pebble.Batch
}

// flush commits the batch if it is full.
func (w *writer) flush(ctx context.Context) error {
	if w.b.Len() < batchBytes {
		return nil
	}
	return w.commit(ctx)
}

func (w *writer) commit(ctx context.Context) error {
	full := w.b
	w.b = w.s.db.NewBatch()
	return errors.Join(ctx.Err(), w.s.commit(full, false))
}

// cutOf reads the leaf sizes of a file entry; size is used for a lone raw root,
// which does not tell its own.
func cutOf(l *chunker.Layout, e chunker.Entry, size int64) cut {
	return newCut(e.Leaves, func(k int) int64 {
		if n := l.LeafSize(e.First + k); n >= 0 {
			return int64(n)
		}
		return size
	})
}

// Abort drops what PutNode and Commit left behind. After a Commit it does nothing.
func (im *Import) Abort() {
	im.once.Do(func() {
		im.mem = nil
		if im.id == 0 {
			return
		}
		root := cid.Undef
		if v, err := im.s.get(keyID(tagPending, im.id)); err == nil && len(v) > 0 {
			root, _ = cid.Cast(v)
		}
		if err := im.s.purge(im.id, root); err != nil {
			im.s.cfg.Logger.Warn("import left rows behind; the next start removes them", "error", err)
		}
	})
}
