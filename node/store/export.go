package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// Export makes another copy of a share, or of a part of it, at t from the files that
// are shared here. Each chunk is checked on the way. The share keeps its references; the
// returned Share has Path at the copy. A target that holds the same already is success
// at once. progress is told the bytes copied so far. ErrChanged: some file is no longer
// what was shared, so fetch it.
func (s *Store) Export(ctx context.Context, t Target, progress func(bytes int64)) (Share, error) {
	places, err := s.placesOf(t.Root, false)
	if err == nil && len(places) == 0 {
		err = fmt.Errorf("%w: %s", ErrNotFound, t.Root)
	}
	if err != nil {
		return Share{}, fmt.Errorf("copy: %w", err)
	}
	_, err = s.record(tagDownload, t.Root)
	begun := err == nil
	d, err := s.download(ctx, t, s.cfg.Limits)
	if err != nil {
		return Share{}, fmt.Errorf("copy %s: %w", t.Root, err)
	}
	if d.over() {
		return d.share(), nil
	}
	sh, err := d.export(ctx, progress)
	if err == nil {
		return sh, nil
	}
	err = fmt.Errorf("copy %s: %w", t.Root, err)
	if cerr := d.Close(); cerr != nil {
		return Share{}, errors.Join(err, cerr)
	}
	if begun { // what was fetched before stays, for the fetch to go on
		return Share{}, err
	}
	rec, ferr := s.forget(tagDownload, t.Root)
	if ferr == nil {
		ferr = removePart(rec)
	}
	return Share{}, errors.Join(err, ferr)
}

func (d *Download) export(ctx context.Context, progress func(bytes int64)) (Share, error) {
	places, err := d.s.placesOf(d.rec.root, false)
	if err != nil {
		return Share{}, err
	}
	d.mu.Lock()
	whole := slices.IndexFunc(places, func(r *record) bool { return r.sub == "" && len(r.bases) > 0 }) // another is called after its part
	if whole >= 0 && d.rec.name == "" && d.rec.sub == "" {
		d.rec.suggested = filepath.Base(places[whole].bases[0])
	}
	d.mu.Unlock()
	if err := d.settle(ctx, d.checked); err != nil {
		return Share{}, err
	}
	if err := d.copyLocal(ctx, progress); err != nil {
		return Share{}, err
	}
	if err := d.whole(); err != nil {
		return Share{}, fmt.Errorf("%w: %w", ErrChanged, err)
	}
	return d.Finish(ctx)
}
