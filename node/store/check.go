package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"time"

	"shoal/chunker"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"
)

// absPath is where a row's file is.
func (r *record) absPath(row *row) string {
	base := r.basePath(row)
	if row.path == "" {
		return base
	}
	return filepath.Join(base, filepath.FromSlash(row.path))
}

// basePath is what the path of a row starts from.
func (r *record) basePath(row *row) string {
	if row.base < len(r.bases) {
		return r.bases[row.base]
	}
	return ""
}

// called is the file's name in reasons: its path in the share, or its own name.
func called(row *row, abs string) string {
	if row.path == "" {
		return filepath.Base(abs)
	}
	return path.Clean(row.path)
}

// unfit says in words how a file differs from what was shared; "" if it does not.
// The order tells apart what a user did: a new file is no edit.
func unfit(fi fs.FileInfo, err error, want chunker.FileStat) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "was deleted"
	case err != nil:
		return "cannot be read: " + bare(err)
	case !fi.Mode().IsRegular():
		return "is no regular file any more"
	}
	is := chunker.StatOf(fi)
	switch {
	case is.Same(want):
		return ""
	case is.Inode != want.Inode:
		return "was replaced by another file"
	case is.Size < want.Size:
		return fmt.Sprintf("was truncated from %d to %d bytes", want.Size, is.Size)
	case is.Size > want.Size:
		return fmt.Sprintf("grew from %d to %d bytes", want.Size, is.Size)
	}
	if is.ModTime == want.ModTime { // its time was put back, or only its name, links or permissions changed
		return "was touched " + time.Unix(0, is.Ctime).Format(time.DateTime)
	}
	return "was edited " + fi.ModTime().Format(time.DateTime)
}

// unfitPath is unfit for the file at path now. The error is one of the moment or of the disk: nothing is known of the file.
func unfitPath(path string, want chunker.FileStat) (why string, err error) {
	fi, err := chunker.StatPath(path)
	if isTransient(err) || isIO(err) {
		return "", fmt.Errorf("look at %s: %w", path, err)
	}
	return unfit(fi, err, want), nil
}

// bare is an error without the path that the caller names anyway.
func bare(err error) string {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err.Error()
	}
	if se := (*os.SyscallError)(nil); errors.As(err, &se) {
		return se.Err.Error()
	}
	if le := (*os.LinkError)(nil); errors.As(err, &le) {
		return le.Err.Error()
	}
	return err.Error()
}

// markUnfit records that a file no longer fits, with the reason. It stops being
// served at once; the rest of the share goes on.
func (s *Store) markUnfit(root cid.Cid, id shareID, row *row, reason string) error {
	key := keyFile(tagBad, id, row.leaf, row.entry)
	if old, err := s.get(key); err == nil && string(old) == reason {
		return nil
	}
	defer s.unwell.add(id)
	return s.updateShare(id, false, func(r *record, b *pebble.Batch) error {
		if _, err := s.get(key); errors.Is(err, pebble.ErrNotFound) {
			n, bytes, err := s.hadIn(r, row)
			if err != nil {
				return err
			}
			r.bad++
			r.have -= n
			r.haveBytes -= bytes
		}
		if r.state != Changed {
			r.state, r.reason = Changed, reason
			s.cfg.Logger.Warn("shared file changed", "root", root, "name", r.name, "reason", reason)
		}
		return b.Set(key, []byte(reason), nil)
	})
}

// maxMisses of files that did not fit are looked at again each time a share is listed
// or opened. When a whole disk went away, the first ones tell.
const maxMisses = 256

var errEnough = errors.New("enough seen")

// recheck looks again at the files of a share that did not fit, until misses of them
// still do not, and at those with damaged leaves. It returns the record as it is then.
func (s *Store) recheck(rec *record, misses int) (*record, error) {
	rec, err := s.recheckDamaged(rec, misses)
	if err != nil || rec.bad == 0 {
		return rec, err
	}
	var fit []*row
	reason := ""
	missed, touched := 0, false
	err = s.each(keyID(tagBad, rec.id), func(key, value []byte) error {
		leaf, entry := splitFile(key)
		row, err := s.row(rec.id, leaf, entry)
		if err != nil {
			return err
		}
		if why, err := unfitPath(rec.absPath(row), row.stat); why == "" && err == nil {
			fit = append(fit, row)
			return nil
		}
		touched = touched || mayFit(rec.absPath(row), row)
		if reason == "" {
			reason = string(value)
		}
		if missed++; missed >= misses {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	if touched && !rec.old {
		s.unwell.add(rec.id)
	}
	if err != nil || len(fit) == 0 {
		return rec, err
	}
	if err := s.markFit(rec, fit, reason); err != nil {
		return rec, err
	}
	return s.recordOf(rec.id)
}

// recheckDamaged looks at the files of a share that fit when they were hashed and had damaged leaves, most of them misses files:
// one that was changed since may have been mended, and is marked for Heal. Nobody reads such leaves, so nobody else would notice.
func (s *Store) recheckDamaged(rec *record, misses int) (*record, error) {
	if rec.state != Changed || rec.old {
		return rec, nil
	}
	bits, err := s.loadBits(rec)
	if err != nil || bits == nil {
		return rec, err
	}
	v := &view{s: s, rec: rec, bits: bits}
	marked := false
	for i := 0; i < rec.leaves && misses > 0; {
		row, err := v.find(i)
		if errors.Is(err, ErrNotHave) { // not selected
			i++
			continue
		}
		if err != nil {
			return rec, err
		}
		next := row.leaf + row.cut.leaves
		for ; i < next && bits.get(i); i++ {
		}
		if i >= next {
			continue
		}
		i = next
		misses--
		if known, err := s.has(keyFile(tagBad, rec.id, row.leaf, row.entry)); err != nil || known {
			continue
		}
		abs := rec.absPath(row)
		why, err := unfitPath(abs, row.stat)
		if why == "" || err != nil {
			continue
		}
		if err := s.markUnfit(rec.root, rec.id, row, called(row, abs)+" "+why); err != nil {
			return rec, err
		}
		marked = true
	}
	if !marked {
		return rec, nil
	}
	return s.recordOf(rec.id)
}

// markFit lets files be served again. reason is that of another file that still does
// not fit, if there is one.
func (s *Store) markFit(rec *record, rows []*row, reason string) error {
	return s.updateShare(rec.id, false, func(r *record, b *pebble.Batch) error {
		for _, row := range rows {
			key := keyFile(tagBad, rec.id, row.leaf, row.entry)
			if _, err := s.get(key); errors.Is(err, pebble.ErrNotFound) {
				continue
			}
			_ = b.Delete(key, nil)
			r.bad--
		}
		return s.recount(r, b, reason)
	})
}

// row reads one file row.
func (s *Store) row(id shareID, leaf, entry int) (*row, error) {
	key := keyFile(tagFile, id, leaf, entry)
	v, err := s.get(key)
	if err != nil {
		return nil, fmt.Errorf("read file row: %w", err)
	}
	return decodeRow(key, v)
}

// rows calls fn for each file row of id, in order.
func (s *Store) rows(id shareID, fn func(r *row) error) error {
	return s.each(keyID(tagFile, id), func(key, value []byte) error {
		r, err := decodeRow(key, value)
		if err != nil {
			return err
		}
		return fn(r)
	})
}

// Check compares the stat of every file of a share, at each of its places, with the recorded one, without
// reading content, and marks what changed or fits again. See Share for the outcome.
func (s *Store) Check(ctx context.Context, root cid.Cid) error {
	places, err := s.placesOf(root, false)
	if err == nil && len(places) == 0 {
		err = fmt.Errorf("%w: %s", ErrNotFound, root)
	}
	for _, rec := range places {
		if err == nil {
			_, err = s.checkPlace(ctx, rec)
		}
	}
	if err != nil {
		return fmt.Errorf("check %s: %w", root, err)
	}
	return nil
}

// checkPlace is Check of one place. It returns the record as it is then.
func (s *Store) checkPlace(ctx context.Context, rec *record) (*record, error) {
	if _, err := s.recheck(rec, math.MaxInt); err != nil {
		return rec, err
	}
	var misses []miss
	var unsure error
	err := s.rows(rec.id, func(r *row) error {
		abs := rec.absPath(r)
		why, err := unfitPath(abs, r.stat)
		if err != nil {
			unsure = err
		}
		if why != "" {
			misses = append(misses, miss{r, called(r, abs) + " " + why})
		}
		return ctx.Err()
	})
	if err == nil {
		err = errors.Join(s.markMisses(rec, misses), unsure)
	}
	if err != nil {
		return rec, err
	}
	return s.recordOf(rec.id)
}
