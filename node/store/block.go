package store

import (
	"errors"
	"fmt"
	"io"

	"shoal/chunker"

	"github.com/ipfs/go-cid"
)

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
	r := &Root{s: s, root: root, only: p.id}
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
