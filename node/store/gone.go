package store

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"shoal/chunker"
)

// This file is about a place of a share where nothing is any more, while the share is whole at another one: its files were moved or
// deleted, and nothing is missing.

// isGone tells whether nothing is at a place of a share, though the disk that it was on is there. Where that is not known for sure it
// is false: the disk may come back.
func (s *Store) isGone(rec *record) (bool, error) {
	for _, base := range rec.bases {
		if _, err := chunker.LstatPath(base); !errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
	}
	device := uint64(0)
	err := s.rows(rec.id, func(r *row) error {
		device = r.stat.Device
		return errStop
	})
	if err != nil && err != errStop {
		return false, err
	}
	for dir := filepath.Dir(rec.path()); ; dir = filepath.Dir(dir) {
		fi, err := chunker.StatPath(dir)
		switch {
		case err == nil:
			return device != 0 && chunker.StatOf(fi).Device == device, nil
		case !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir):
			return false, nil
		}
	}
}

// eachPlace has one verify each place of a root in turn, and sums it up. A place that is gone is a note where another one is whole.
func (s *Store) eachPlace(ctx context.Context, places []*record, progress func(int64), one func(rec *record, report *VerifyReport, progress func(int64)) error) (sum VerifyReport, err error) {
	reports := make([]VerifyReport, len(places))
	var hashed int64
	for i, rec := range places {
		err = one(rec, &reports[i], func(bytes int64) {
			if progress != nil {
				progress(hashed + bytes)
			}
		})
		if err == nil {
			err = s.verifyBare(ctx, rec, &reports[i])
		}
		if hashed += reports[i].Bytes; err != nil {
			break
		}
	}
	whole := false
	for i, rec := range places {
		whole = whole || err == nil && len(reports[i].Bad) == 0 && rec.whole()
	}
	for i, r := range reports {
		sum.Bytes += r.Bytes
		if whole && len(r.Bad) > 0 {
			gone, gerr := s.isGone(places[i])
			if err = errors.Join(err, gerr); gone {
				sum.Gone = append(sum.Gone, places[i].path())
				continue
			}
		}
		sum.Files, sum.OK = sum.Files+r.Files, sum.OK+r.OK
		sum.Bad = append(sum.Bad, r.Bad...)
	}
	return sum, err
}

// whole tells whether a place is for all of its root.
func (r *record) whole() bool { return r.sub == "" && len(r.selects) == 0 && r.leftOut == "" }

// dropGone forgets the places of the root of rec, a place that is whole, that are gone, and gives their paths.
func (s *Store) dropGone(rec *record) (paths []string, err error) {
	places, err := s.placesOf(rec.root, false)
	if err != nil {
		return nil, err
	}
	var gone []*record
	for _, r := range places {
		is, err := s.isGone(r)
		if err != nil {
			return nil, err
		}
		if is && r.path() != rec.path() {
			gone, paths = append(gone, r), append(paths, r.path())
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	if i := slices.IndexFunc(gone, func(r *record) bool { return r.name != filepath.Base(r.path()) }); i >= 0 && rec.name == filepath.Base(rec.path()) {
		rec.name = gone[i].name // as the user has called it
		if err := s.rename(rec.root, rec.name); err != nil {
			return nil, err
		}
	}
	return paths, s.change(nil, func(p *placing) error { return p.leave(gone) })
}
