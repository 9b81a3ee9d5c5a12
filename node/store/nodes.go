package store

import (
	"context"
	"errors"
	"fmt"
	"io"

	"shoal/chunker"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"
)

// indexer follows a walk and writes the inner nodes in walk order, and where each
// node and leaf is, into batches. A node goes with the leaves it made known, so that what
// nodes a crash leaves behind name all block keys there are.
type indexer struct {
	id     shareID
	walker *chunker.Walker
	layout *chunker.Layout
	nodes  int // added
	leaves int // indexed
	last   int // entry of the leaf indexed last
}

func newIndexer(id shareID, root cid.Cid, lim chunker.Limits) (*indexer, error) {
	w, err := chunker.NewWalker(root, lim)
	if err != nil {
		return nil, err
	}
	return &indexer{id: id, walker: w, layout: w.Layout()}, nil
}

// put takes a row of the index. Key and value hold until it returns.
type put func(key, value []byte) error

// into puts rows into a batch.
func into(b *pebble.Batch) put {
	return func(key, value []byte) error { return b.Set(key, value, nil) }
}

// nowhere is for rows that are in the index already.
func nowhere(_, _ []byte) error { return nil }

// add walks one block and puts its rows: the node's first.
func (x *indexer) add(put put, block []byte) error {
	c, ok := x.walker.Next()
	if !ok {
		return errors.New("no inner node is missing")
	}
	digest, ok := digestOf(c)
	if !ok {
		return fmt.Errorf("node %s: %w hash function", c, chunker.ErrUnsupported)
	}
	if err := x.walker.Add(block); err != nil {
		return err
	}
	err := put(keyIndex(tagNode, x.id, x.nodes), block)
	if err == nil {
		err = put(keyBlock(nil, blockNode, digest, x.id, x.nodes), nil)
	}
	x.nodes++
	if err != nil {
		return err
	}
	return x.indexLeaves(put)
}

// indexLeaves puts the leaves that became known since the last call. A lone raw root has
// its only leaf from the start. Of equal leaves behind one another in a file, of which a
// sparse one has a million, the first will do.
func (x *indexer) indexLeaves(put put) error {
	var key [2 + digestSize + 16]byte
	l := x.layout
	for known := l.Leaves(); x.leaves < known; x.leaves++ {
		digest := l.Digest(x.leaves)
		entry, _, _ := l.Place(x.leaves)
		if x.leaves > 0 && x.last == entry && digest == l.Digest(x.leaves-1) {
			continue
		}
		x.last = entry
		if err := put(keyBlock(key[:0], blockLeaf, digest[:], x.id, x.leaves), nil); err != nil {
			return err
		}
	}
	return nil
}

// node is the i-th inner node of id in walk order; io.EOF past the last.
func (s *Store) node(id shareID, i int) ([]byte, error) {
	v, err := s.get(keyIndex(tagNode, id, i))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, io.EOF
	}
	return v, err
}

// replay walks the stored nodes of id again and puts their rows.
func (s *Store) replay(x *indexer, put put) error {
	for {
		if _, ok := x.walker.Next(); !ok {
			return nil
		}
		block, err := s.node(x.id, x.nodes)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := x.add(put, block); err != nil {
			return fmt.Errorf("walk stored node %d: %w", x.nodes, err)
		}
	}
}

// Layout walks the stored nodes of a share or of an unfinished download. Of the
// latter it may be incomplete.
func (s *Store) Layout(root cid.Cid) (*chunker.Layout, error) {
	places, err := s.placesOf(root, true)
	if err != nil {
		return nil, err
	}
	if len(places) > 0 {
		return s.layout(places[0])
	}
	rec, err := s.record(tagDownload, root)
	if err != nil {
		return nil, err
	}
	return s.layout(rec)
}

func (s *Store) layout(rec *record) (*chunker.Layout, error) {
	x, err := newIndexer(rec.id, rec.root, s.cfg.Limits)
	if err == nil {
		err = s.replay(x, nowhere)
	}
	if err != nil {
		return nil, fmt.Errorf("layout of %s: %w", rec.root, err)
	}
	if rec.complete && !x.layout.Complete() {
		return nil, fmt.Errorf("layout of %s: %d of %d nodes are missing from the index", rec.root, rec.nodes-x.nodes, rec.nodes)
	}
	return x.layout, nil
}

// purge deletes every row of an id whose record is gone already. It is the second
// half of a removal and the undoing of a broken import; it can be cut short and repeated.
func (s *Store) purge(id shareID, root cid.Cid) error {
	if err := s.purgeBlocks(id, root); err != nil {
		return fmt.Errorf("purge rows of %s: %w", root, err)
	}
	b := s.db.NewBatch()
	for _, tag := range []byte{tagTemp, tagNode, tagFile, tagBad, tagHave, tagFormer} {
		k := keyID(tag, id)
		_ = b.DeleteRange(k, upper(k), nil)
	}
	_ = b.Delete(keyID(tagPending, id), nil)
	return s.commit(b, false)
}

// purgeBlocks deletes the block keys that the stored nodes name. Should these not be
// readable, it goes through all block keys there are.
func (s *Store) purgeBlocks(id shareID, root cid.Cid) error {
	if !root.Defined() {
		return nil // an import that never came to its commit has none
	}
	ctx := context.Background()
	del := &writer{s: s, b: s.db.NewBatch()}
	defer func() { del.b.Close() }()
	move := func(key, _ []byte) error {
		if key[0] != tagBlock {
			return nil
		}
		_ = del.b.Delete(key, nil)
		return del.flush(ctx)
	}
	x, err := newIndexer(id, root, s.cfg.Limits)
	if err == nil {
		err = x.indexLeaves(move)
	}
	if err == nil {
		err = s.replay(x, move)
	}
	if err != nil {
		s.cfg.Logger.Warn("walk of removed share failed, scanning the index", "root", root, "error", err)
		err = s.each([]byte{tagBlock}, func(key, _ []byte) error {
			if at, _ := splitBlock(key); at == id {
				_ = del.b.Delete(key, nil)
			}
			return del.flush(ctx)
		})
	}
	if err != nil {
		return err
	}
	return del.commit(ctx)
}
