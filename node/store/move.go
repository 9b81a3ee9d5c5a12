package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"shoal/chunker"
)

// ErrTaken: another share lies at the path that is named.
var ErrTaken = errors.New("another share lies there")

// Moved is what Move found of one place.
type Moved struct {
	Share    Share  // as it is then, seen from the new path
	From, To string // absolute
	VerifyReport
}

// Move records that what is shared at the path from, or below it, lies at to now: the user has moved it. Nothing of the
// user's is touched. A file that is the same by its stat is taken for what it was; the time of change alone may
// differ where the shared path itself is a file, as a rename sets that. Others are hashed, as by Verify: after a move to
// another disk all. ErrNotFound: nothing is shared there; fs.ErrNotExist: nothing is at to; ErrTaken; ErrChanged: nothing
// of what was shared is at to, and nothing is recorded. Of several shares those that cannot move stay as they are, with
// the reason in Bad, and the others move.
func (s *Store) Move(ctx context.Context, from, to string, progress func(bytes int64)) ([]Moved, error) {
	places, err := s.placesUnder(from)
	if err != nil {
		return nil, fmt.Errorf("move %s: %w", from, err)
	}
	if len(places) == 0 {
		return nil, fmt.Errorf("move: %w: %s", ErrNotFound, from)
	}
	to = landing(from, to, places[0].tree || places[0].path() != from)
	if _, err := chunker.LstatPath(to); err != nil {
		return nil, fmt.Errorf("move to %s: %w", to, err)
	}
	var done []Moved
	var hashed int64
	var failed error
	moved := 0
	for _, rec := range places {
		m, err := s.movePlace(ctx, rec, from, to, func(bytes int64) {
			if progress != nil {
				progress(hashed + bytes)
			}
		})
		if err != nil && (len(places) == 1 || !errors.Is(err, ErrChanged) && !errors.Is(err, ErrTaken)) {
			return done, fmt.Errorf("move %s: %w", rec.path(), err)
		}
		if err != nil {
			m.stayed(rec, err)
			if failed == nil {
				failed = fmt.Errorf("move %s: %w", rec.path(), err)
			}
		} else {
			moved++
		}
		hashed += m.Bytes
		done = append(done, m)
	}
	if moved == 0 {
		return nil, failed
	}
	return done, nil
}

// stayed makes m the report on a place that is left as it was.
func (m *Moved) stayed(rec *record, why error) {
	m.Share = rec.share()
	m.Bad = []FileReport{{Place: m.From, Status: FileChanged, Reason: "not moved: " + why.Error()}}
}

// placesUnder lists what is shared at path and below it.
func (s *Store) placesUnder(path string) ([]*record, error) {
	var ids []shareID
	now, _, err := s.idsAt(path)
	if err != nil {
		return nil, err
	}
	if ids = append(ids, now); path != string(filepath.Separator) {
		path += string(filepath.Separator)
	}
	err = s.each(keyPath(path), func(key, _ []byte) error {
		now, _, err := s.idsAt(string(key[1:]))
		ids = append(ids, now)
		return err
	})
	var list []*record
	for _, id := range ids {
		if id == 0 || err != nil {
			continue
		}
		var rec *record
		if rec, err = s.recordOf(id); err == nil {
			list = append(list, rec)
		}
	}
	return list, err
}

// landing is where a file or tree went that was moved into the directory to, as mv does it, rather than to that name.
func landing(from, to string, tree bool) string {
	in := filepath.Join(to, filepath.Base(from))
	fi, err := chunker.StatPath(to)
	if _, inErr := chunker.LstatPath(in); err != nil || !fi.IsDir() || inErr != nil {
		return to
	}
	if !tree {
		return in
	}
	if inside, err := chunker.StatPath(in); err != nil || !inside.IsDir() {
		return to
	}
	if names, err := os.ReadDir(to); err == nil && len(names) == 1 {
		return in
	}
	if _, err := chunker.LstatPath(filepath.Join(in, filepath.Base(from))); err == nil {
		return to // a tree that has a directory of its own name
	}
	return in
}

// rebased is path with its head from replaced by to; as it is if it is elsewhere.
func rebased(path, from, to string) string {
	if path == from {
		return to
	}
	if rest, ok := strings.CutPrefix(path, strings.TrimSuffix(from, string(filepath.Separator))+string(filepath.Separator)); ok {
		return filepath.Join(to, rest)
	}
	return path
}

// movePlace is Move of one place.
func (s *Store) movePlace(ctx context.Context, rec *record, from, to string, progress func(int64)) (Moved, error) {
	m := Moved{From: rec.path(), To: rebased(rec.path(), from, to)}
	if m.From == m.To {
		return m, fmt.Errorf("it is at %s already", m.To)
	}
	now, _, err := s.idsAt(m.To)
	if err == nil {
		_, err = s.taken(now, rec, m.To)
	}
	if err != nil {
		return m, err
	}
	bits, err := s.loadBits(rec)
	if err != nil {
		return m, err
	}
	moved := *rec
	moved.bases = slices.Clone(rec.bases)
	for i, base := range moved.bases {
		moved.bases[i] = rebased(base, from, to)
	}
	v := s.newVerifier(&moved, bits, runtime.GOMAXPROCS(0))
	v.moved, v.progress = true, progress
	if err := v.look(ctx); err != nil {
		return m, err
	}
	m.VerifyReport = v.report
	if some := func(f FileReport) bool { return f.BadLeaves < f.Leaves }; m.Files > 0 && m.OK == 0 && !slices.ContainsFunc(m.Bad, some) {
		return m, fmt.Errorf("%w: nothing of it is at %s", ErrChanged, m.To)
	}
	if err := s.change(nil, func(p *placing) error { return p.move(v, m) }); err != nil {
		return m, err
	}
	is, err := s.recordOf(rec.id)
	if errors.Is(err, ErrNotFound) { // the root lay there already
		is, err = s.placeOf(rec.root, m.To)
	}
	if err == nil {
		m.Share, err = s.shareAt(is)
	}
	return m, err
}

// taken tells whether id, which lies at path, is a place of the root of rec; ErrTaken if it is another share.
func (s *Store) taken(id shareID, rec *record, path string) (same bool, err error) {
	if id == 0 {
		return false, nil
	}
	there, err := s.recordOf(id)
	if err == nil && !there.root.Equals(rec.root) {
		err = fmt.Errorf("%w: %s is shared as %s", ErrTaken, path, there.title())
	}
	return err == nil, err
}

// move records what v found at the new path of a place, and that the older versions went with it.
func (p *placing) move(v *verifier, m Moved) error {
	r, err := p.s.recordOf(v.rec.id)
	if err != nil {
		return err
	}
	was, err := p.at(m.From)
	if err != nil {
		return err
	}
	now, err := p.at(m.To)
	if err != nil {
		return err
	}
	same, err := p.s.taken(now.now, r, m.To)
	if err != nil {
		return err
	}
	if same { // the place that is there stays
		if err := p.drop(r); err != nil {
			return err
		}
		return p.promote(r.root, r.id)
	}
	for _, id := range was.old {
		old, err := p.s.recordOf(id)
		if err != nil {
			return err
		}
		for i, base := range old.bases {
			old.bases[i] = rebased(base, m.From, m.To)
		}
		putRecord(p.b, old.tag, old)
	}
	now.now, now.old = r.id, append(was.old, now.old...)
	for len(now.old) > maxVersions {
		last := now.old[len(now.old)-1]
		if err := p.dropID(last); err != nil {
			return err
		}
		now.forget(last)
	}
	was.now, was.old = 0, nil
	if r.name == filepath.Base(m.From) {
		r.name = filepath.Base(m.To)
	}
	r.bases = v.rec.bases
	if err := v.apply(r, p.b); err != nil {
		return err
	}
	putRecord(p.b, r.tag, r)
	p.alias(r)
	return nil
}

// stays tells whether a file at its new path is what it was, by its stat, and takes that in.
func (v *verifier) stays(r *row, fi fs.FileInfo) bool {
	is := chunker.StatOf(fi)
	renamed := r.path == "" && is.Size == r.stat.Size && is.ModTime == r.stat.ModTime && is.Inode == r.stat.Inode &&
		(r.stat.Device == 0 || is.Device == r.stat.Device)
	if !fi.Mode().IsRegular() || !is.Same(r.stat) && !renamed || !v.whole(r) {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Files++
	v.report.OK++
	if !is.Proves(r.stat) {
		is.Ctime = 0 // the move may hide what else changed it: the next verify hashes, or Heal after the next start
	}
	if is != r.stat {
		r.stat = is
		v.rows = append(v.rows, r)
	}
	v.fit = append(v.fit, r)
	return true
}
