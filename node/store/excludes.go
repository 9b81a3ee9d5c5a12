package store

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"shoal/chunker"
)

// This file is how names that were left out of a share stay out: the patterns are part of the record of a place, and found again
// by whatever name and from above and below.

// SetExcludes remembers which names inside the tree are left out, for Store.Excludes.
func (im *Import) SetExcludes(patterns []string) { im.excludes = patterns }

// Excludes are the patterns of the names to leave out of path, by what was left out before: when it was shared last, under this or
// another name that symlinks give it. Where it was not shared yet, they are those of the shares that it is part of, with those of
// their ignore files, and of the shares that are part of it, made to hold for path. chunker.ErrIgnoreFile.
func (s *Store) Excludes(path string) ([]string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	patterns, err := s.excludes(path)
	if err != nil {
		return nil, fmt.Errorf("look up what was left out of %s: %w", path, err)
	}
	return patterns, nil
}

func (s *Store) excludes(path string) (patterns []string, err error) {
	here, err := s.placeAt(path)
	if err != nil {
		return nil, err
	}
	if here != nil {
		return here.excludes, nil
	}
	real := realPath(path)
	names, err := s.placesAtReal(real)
	if err != nil {
		return nil, err
	}
	for _, r := range names {
		patterns = WithExcludes(patterns, r.excludes)
	}
	if len(names) > 0 {
		return patterns, nil
	}
	for dir := filepath.Dir(real); ; dir = filepath.Dir(dir) {
		above, err := s.placesAtReal(dir)
		if err != nil {
			return nil, err
		}
		for _, r := range above {
			for _, p := range r.excludes {
				patterns = WithExcludes(patterns, chunker.PatternsWithin(below(dir, real), p))
			}
			if patterns, err = withIgnoreFiles(patterns, dir, real); err != nil {
				return nil, err
			}
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return patterns, s.eachBelow(real, func(at string, r *record) {
		for _, p := range r.excludes {
			patterns = WithExcludes(patterns, chunker.PatternBelow(below(real, at), p))
		}
	})
}

// withIgnoreFiles adds what the ignore files of a share at top say of at, which is below it.
func withIgnoreFiles(patterns []string, top, at string) ([]string, error) {
	var dirs []string
	for dir := filepath.Dir(at); len(dir) >= len(top); dir = filepath.Dir(dir) {
		dirs = append(dirs, dir)
		if dir == filepath.Dir(dir) {
			break
		}
	}
	for _, dir := range slices.Backward(dirs) {
		lines, err := chunker.IgnoreLines(dir)
		if err != nil {
			return nil, err
		}
		for _, line := range lines {
			patterns = WithExcludes(patterns, chunker.PatternsWithin(below(dir, at), line))
		}
	}
	return patterns, nil
}

// realPath is path without symlinks; as it is where that cannot be told.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// below is the slash separated path of at relative to dir, which is above it.
func below(dir, at string) string {
	return filepath.ToSlash(strings.TrimPrefix(at[len(dir):], string(filepath.Separator)))
}

// placeAt is what lies at path, of whatever root; nil: nothing.
func (s *Store) placeAt(path string) (*record, error) {
	now, _, err := s.idsAt(path)
	if err != nil || now == 0 {
		return nil, err
	}
	rec, err := s.recordOf(now)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return rec, err
}

// placesAtReal lists what lies at a path without symlinks, and with names left out under other names of it.
func (s *Store) placesAtReal(real string) (list []*record, err error) {
	add := func(_ string, r *record) { list = append(list, r) }
	if here, err := s.placeAt(real); err != nil {
		return nil, err
	} else if here != nil {
		add(real, here)
	}
	return list, s.eachAlias(keyReal(real, ""), add)
}

// eachBelow calls fn for each place below a path without symlinks.
func (s *Store) eachBelow(real string, fn func(at string, r *record)) error {
	places, err := s.placesUnder(real)
	if err != nil {
		return err
	}
	for _, r := range places {
		if r.path() != real {
			fn(r.path(), r)
		}
	}
	dir := strings.TrimSuffix(real, string(filepath.Separator)) + string(filepath.Separator)
	return s.eachAlias(append([]byte{tagReal}, dir...), fn)
}

// eachAlias calls fn for each place under a key of aliases that still leads to where it did: at is its path without symlinks.
func (s *Store) eachAlias(prefix []byte, fn func(at string, r *record)) error {
	var found [][2]string
	err := s.each(prefix, func(key, _ []byte) error {
		real, path, _ := bytes.Cut(key[1:], []byte{0})
		found = append(found, [2]string{string(real), string(path)})
		return nil
	})
	for _, f := range found {
		if err != nil {
			return err
		}
		var r *record
		if r, err = s.placeAt(f[1]); err == nil && r != nil && realPath(f[1]) == f[0] {
			fn(f[0], r)
		}
	}
	return err
}

// alias makes a place with names left out known by its path without symlinks.
func (p *placing) alias(r *record) {
	if real := realPath(r.path()); len(r.excludes) > 0 && real != r.path() {
		_ = p.b.Set(keyReal(real, r.path()), nil, nil)
	}
}

// WithExcludes adds patterns to earlier ones. The last one that fits decides, so one that is given again counts from its new place.
func WithExcludes(earlier, given []string) []string {
	kept := slices.DeleteFunc(slices.Clone(earlier), func(p string) bool { return slices.Contains(given, p) })
	return append(kept, given...)
}
