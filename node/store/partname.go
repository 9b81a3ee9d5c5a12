package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"shoal/chunker"
)

// This file is about what a .part is called.

// choosePart picks a name to write to that nobody uses, neither another download nor
// anybody unknown.
func (s *Store) choosePart(t Target) (string, error) {
	names := partNames(t)
	for _, name := range names {
		part := name + partSuffix
		if of, _ := s.parts.LoadOrStore(filepath.Join(t.Dir, part), t.Root.KeyString()); of != t.Root.KeyString() {
			continue
		}
		taken, err := s.partsIn(t.Dir) // now that nobody else can choose it: who did before is recorded
		if err != nil {
			return "", err
		}
		if taken[part] {
			continue
		}
		if _, err := chunker.LstatPath(filepath.Join(t.Dir, part)); errors.Is(err, fs.ErrNotExist) {
			return part, nil
		} else if err != nil {
			return "", fsError("look at", filepath.Join(t.Dir, part), err)
		}
	}
	return "", fmt.Errorf("%w: %s and others like it", ErrExists, filepath.Join(t.Dir, names[0]+partSuffix))
}

// partNames are the names that a download of t may write to, but for the suffix.
func partNames(t Target) []string {
	r := record{root: t.Root, name: t.Name, sub: t.Sub}
	name, id := shortened(r.title(), maxPart), t.Root.String()
	names := []string{name, name + "." + id[len(id)-8:]}
	for i := 2; i < 100; i++ {
		names = append(names, fmt.Sprintf("%s.%d", names[1], i))
	}
	return names
}

// partsIn are the names that downloads in a directory write to.
func (s *Store) partsIn(dir string) (map[string]bool, error) {
	recs, err := s.records(tagDownload)
	if err != nil {
		return nil, err
	}
	taken := map[string]bool{}
	for _, r := range recs {
		taken[r.part] = taken[r.part] || r.dir == dir
	}
	return taken, nil
}

// strayParts are the .part files that may be of an earlier download of t, which the index does not know any more.
func (s *Store) strayParts(t Target) (stray []string, err error) {
	taken, err := s.partsIn(t.Dir)
	if err != nil {
		return nil, err
	}
	for _, name := range partNames(t)[:2] {
		if part := name + partSuffix; !taken[part] {
			if _, err := chunker.LstatPath(filepath.Join(t.Dir, part)); err == nil {
				stray = append(stray, part)
			}
		}
	}
	return stray, nil
}
