package store

import (
	"fmt"
	"os"
	"path/filepath"

	"shoal/chunker"

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

// PlaceAt tells whether root, or the part sub of it, lies at path or is being fetched to it, and gives the path by which it
// is recorded: path may lead there through a symlink.
func (s *Store) PlaceAt(root cid.Cid, sub, path string) (place string, ok bool) {
	var places []string
	sub = cleanSub(sub)
	shared, err := s.placesOf(root, false)
	for _, rec := range shared {
		if err == nil && rec.sub == sub {
			places = append(places, rec.bases...)
		}
	}
	if rec, err := s.record(tagDownload, root); err == nil && rec.sub == sub {
		places = append(places, filepath.Join(rec.dir, rec.title()))
	}
	is, err := chunker.StatPath(path)
	for _, p := range places {
		if p == path {
			return p, true
		}
		if was, perr := chunker.StatPath(p); err == nil && perr == nil && os.SameFile(is, was) {
			return p, true
		}
	}
	return "", false
}
