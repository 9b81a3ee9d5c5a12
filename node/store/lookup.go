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
	l := d.x.layout // grows only by the goroutine that calls this
	slices.SortFunc(news, func(a, b uint32) int {
		x, y := l.Digest(int(a)), l.Digest(int(b))
		return bytes.Compare(x[:], y[:])
	})
	found, err := d.s.heldElsewhere(d.id(), news, l.Digest)
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
		if len(value) > 0 && value[0] == tagShare && !bytes.Equal(key, keyID(tagID, id)) {
			any = true
			return errStop
		}
		return nil
	})
	return any || err != nil && err != errStop
}

// heldElsewhere returns those of the leaves, sorted by digest, that a share other than
// not has a row of.
func (s *Store) heldElsewhere(not shareID, leaves []uint32, digestOf func(int) [digestSize]byte) (found []uint32, err error) {
	it, err := s.iter([]byte{tagBlock, blockLeaf})
	if err != nil {
		return nil, err
	}
	defer s.gate.leave()
	shares := map[shareID]bool{not: false}
	var buf []byte
	for _, i := range leaves {
		digest := digestOf(int(i))
		next := shareID(0)
		for range maxPlaces {
			buf = keyBlock(buf[:0], blockLeaf, digest[:], next, 0)
			if !it.SeekGE(buf) || !bytes.Equal(it.Key()[:2+digestSize], buf[:2+digestSize]) {
				break
			}
			id, _ := splitBlock(it.Key())
			share, known := shares[id]
			if !known {
				tag, _, err := s.owner(id)
				share = err == nil && tag == tagShare
				shares[id] = share
			}
			if share {
				found = append(found, i)
				break
			}
			next = id + 1
		}
	}
	if err := it.Error(); err != nil {
		it.Close()
		return nil, err
	}
	return found, it.Close()
}
