package store

import (
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
)

// Pause marks the unfinished download of root so that a restart does not resume it.
// It is for one that is not open; Download.Pause is for one that is. There being
// none is no error.
func (s *Store) Pause(root cid.Cid) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.record(tagDownload, root)
	if errors.Is(err, ErrNotFound) || err == nil && r.state == Paused {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pause %s: %w", root, err)
	}
	b := s.db.NewBatch()
	r.state = Paused
	putRecord(b, tagDownload, r)
	if err := s.commit(b, true); err != nil {
		return fmt.Errorf("pause %s: %w", root, err)
	}
	s.gen.Add(1)
	return nil
}
