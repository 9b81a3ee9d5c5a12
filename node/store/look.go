package store

import (
	"fmt"

	"github.com/ipfs/go-cid"
)

// This file is for those who want to know why a download does not come to its end.

// FreeSpace is the bytes that an ordinary user can still write on dir's file system.
func FreeSpace(dir string) (int64, error) { return freeSpace(dir) }

// Held is the leaves that an unfinished download had when it was recorded last, as bits,
// least significant first; nil: all. ErrNotFound.
func (s *Store) Held(root cid.Cid) ([]byte, error) {
	rec, err := s.record(tagDownload, root)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", root, err)
	}
	return s.loadBits(rec)
}
