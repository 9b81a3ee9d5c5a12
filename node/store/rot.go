package store

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"
)

// CheckLeaf reads and hashes leaf i of a share, at each of its places, or of a live download. Where it is damaged it is not served any
// more, and the share says so; that a peer says it came damaged is no more than a reason to look. damaged: it was so at one place at least, and none has it right.
// An error tells nothing of the leaf.
func (s *Store) CheckLeaf(root cid.Cid, i int) (damaged bool, err error) {
	r, err := s.OpenRoot(root)
	if err != nil {
		return false, err
	}
	defer r.Close()
	buf := make([]byte, s.cfg.Limits.BlockSize)
	if r.live != nil {
		n, _, err := r.live.readLeafAt(i, buf, 0)
		if errors.Is(err, ErrNotHave) || errors.Is(err, ErrChanged) {
			return true, nil // that is known already
		}
		if err != nil {
			return false, err
		}
		return r.live.doubt(i, buf[:n]), nil
	}
	right := false
	for _, v := range r.views {
		row, _, size, err := v.locate(i)
		if err == nil {
			_, _, err = v.read(i, buf, 0)
		}
		well := false
		if err == nil {
			digest := sha256.Sum256(buf[:size])
			well, err = s.has(keyBlock(nil, blockLeaf, digest[:], v.rec.id, i)) // one look, whatever the size of the share
		}
		switch {
		case errors.Is(err, ErrNotHave):
		case errors.Is(err, ErrChanged):
			damaged = true
		case err != nil:
			return false, err
		case well:
			right = true
		default:
			damaged = true
			if err := s.markDamaged(v.rec, row, i, "holds other bytes than those shared"); err != nil {
				return false, err
			}
		}
	}
	return damaged && !right, nil
}

// markDamaged stops one leaf of a share from being served, durably, until a Verify finds it right. The rest of its file is served on.
func (s *Store) markDamaged(rec *record, row *row, i int, why string) error {
	offset, size := row.cut.at(i - row.leaf)
	reason := fmt.Sprintf("%s: chunk %d, at byte %d, %s", called(row, rec.absPath(row)), i-row.leaf, offset, why)
	return s.updateShare(rec.id, true, func(r *record, b *pebble.Batch) error {
		bits, err := s.loadBits(r)
		if err != nil {
			return err
		}
		if bits == nil {
			bits = allOf(r.leaves)
		}
		if !bits.get(i) {
			return nil
		}
		bits.clear(i)
		s.putBits(b, r, bits)
		if known, err := s.has(keyFile(tagBad, r.id, row.leaf, row.entry)); err != nil || known {
			return err // none of its leaves are counted
		}
		r.have--
		r.haveBytes -= int64(size)
		r.state, r.reason = Changed, reason
		s.cfg.Logger.Warn("a chunk of a shared file is damaged", "root", r.root, "name", r.name, "reason", reason)
		return nil
	})
}

// doubt hashes what was read of leaf i of the download. What is wrong does not count, and is fetched again.
func (d *Download) doubt(i int, data []byte) (damaged bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if sha256.Sum256(data) == d.x.layout.Digest(i) {
		return false
	}
	d.clearHave(i)
	return true
}
