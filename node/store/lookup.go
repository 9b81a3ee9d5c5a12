package store

import (
	"bytes"
	"slices"
)

// lookUp finds which of the leaves that became known other shares here hold, so that
// they are copied and not asked of the network. A leaf costs some microseconds: the
// digests are sorted, and one pass over the index answers for all.
func (d *Download) lookUp() error {
	d.mu.Lock()
	news := d.unseen
	d.unseen = nil
	d.mu.Unlock()
	if len(news) == 0 || !d.s.otherShares(d.id()) {
		return nil
	}
	news = slices.DeleteFunc(news, func(i uint32) bool { return d.Has(int(i)) }) // resumed
	l := d.x.layout                                                              // grows only by the goroutine that calls this
	slices.SortFunc(news, func(a, b uint32) int {
		x, y := l.Digest(int(a)), l.Digest(int(b))
		return bytes.Compare(x[:], y[:])
	})
	src := newLocalSource(d)
	defer src.close()
	found, err := src.heldElsewhere(news, l.Digest)
	if err != nil || len(found) == 0 {
		return err
	}
	slices.Sort(found) // reading in order is cheaper
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range found {
		if !d.have.get(int(i)) {
			d.held.set(int(i))
			d.copies = addSpan(d.copies, int(i))
		}
	}
	d.wakeLocal()
	return nil
}

// otherShares tells whether there is any share but id.
func (s *Store) otherShares(id shareID) bool {
	any := false
	err := s.each([]byte{tagID}, func(key, value []byte) error {
		if len(value) > 0 && value[0] != tagDownload && !bytes.Equal(key, keyID(tagID, id)) {
			any = true
			return errStop
		}
		return nil
	})
	return any || err != nil && err != errStop
}

// heldElsewhere returns those of the leaves, sorted by digest, that a share other than the
// one of src has, as far as known.
func (l *localSource) heldElsewhere(leaves []uint32, digestOf func(int) [digestSize]byte) (found []uint32, err error) {
	it, err := l.s.iter([]byte{tagBlock, blockLeaf})
	if err != nil {
		return nil, err
	}
	defer l.s.gate.leave()
	shares := map[shareID]*Root{}
	var buf []byte
	for _, i := range leaves {
		digest := digestOf(int(i))
		buf = keyBlock(buf[:0], blockLeaf, digest[:], 0, 0)
		ok := it.SeekGE(buf)
		for n := 0; ok && n < maxPlaces && bytes.Equal(it.Key()[:2+digestSize], buf[:2+digestSize]); n++ {
			id, index := splitBlock(it.Key())
			r, known := shares[id]
			if !known {
				r = l.root(id)
				shares[id] = r
			}
			if r != nil && r.has(index) {
				found = append(found, i)
				break
			}
			if r != nil && n < maxPlaces/2 {
				ok = it.Next()
			} else {
				ok = it.SeekGE(keyBlock(buf[:0], blockLeaf, digest[:], id+1, 0))
			}
		}
	}
	if err := it.Error(); err != nil {
		it.Close()
		return nil, err
	}
	return found, it.Close()
}
