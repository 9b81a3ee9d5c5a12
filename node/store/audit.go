package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// Survey is Shares after a Check of each share, in one pass over the index:
// it costs one stat a file, however many shares the files are in.
func (s *Store) Survey(ctx context.Context) ([]Share, error) {
	gen := s.gen.Load()
	a, err := s.audit(ctx, func(*record) bool { return true })
	if err == nil {
		err = a.mark()
	}
	if err != nil {
		return nil, fmt.Errorf("look at the shares: %w", err)
	}
	if s.gen.Load() == gen {
		return s.list(a.groups)
	}
	return s.Shares() // the records have changed since
}

// miss is a file that does not fit, and why.
type miss struct {
	row    *row
	reason string
}

// audit compares the stats of the files of many shares with those recorded.
type audit struct {
	s      *Store
	groups [][]*record // all shares there are, each with its places
	chosen map[shareID]*audited
}

// audited is a place whose files are looked at.
type audited struct {
	rec    *record
	files  int    // looked at
	misses []miss // those that do not fit
	unsure bool   // of some, nothing could be learned now
}

// audit looks at the files of the shares that want chooses, in the order of the index.
func (s *Store) audit(ctx context.Context, want func(*record) bool) (*audit, error) {
	groups, err := s.allPlaces()
	if err != nil {
		return nil, err
	}
	a := &audit{s: s, groups: groups, chosen: make(map[shareID]*audited, len(groups))}
	for _, places := range groups {
		for _, rec := range places {
			if want(rec) {
				a.chosen[rec.id] = &audited{rec: rec}
			}
		}
	}
	if len(a.chosen) == 0 {
		return a, nil
	}
	return a, a.walk(ctx)
}

// lookBatch is how many rows are read before their files are looked at.
const lookBatch = 1024

// walk goes through the file rows of all shares once.
func (a *audit) walk(ctx context.Context) error {
	it, err := a.s.iter([]byte{tagFile})
	if err != nil {
		return err
	}
	defer a.s.gate.leave()
	defer it.Close() // only read from
	batch := make([]look, 0, lookBatch)
	for ok := it.First(); ok; {
		id, _ := splitSegment(it.Key())
		at := a.chosen[id]
		if at == nil {
			ok = it.SeekGE(keyID(tagFile, id+1))
			continue
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		row, err := decodeRow(it.Key(), v)
		if err != nil {
			return err
		}
		a.s.reads.steps.Add(1)
		if batch = append(batch, look{at: at, row: row}); len(batch) == lookBatch {
			if err := lookAt(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
		ok = it.Next()
	}
	if err := it.Error(); err != nil {
		return err
	}
	return lookAt(ctx, batch)
}

// look is a look at one file: why it does not fit, or the error that keeps it from being known.
type look struct {
	at  *audited
	row *row
	why string
	err error
}

// lookAt compares some files. It asks the file system for several at once, as that takes most of the time.
func lookAt(ctx context.Context, batch []look) error {
	var work sync.WaitGroup
	for part := range slices.Chunk(batch, len(batch)/runtime.GOMAXPROCS(0)+1) {
		work.Go(func() {
			for i := range part {
				if l := &part[i]; ctx.Err() == nil {
					l.why, l.err = unfitPath(l.at.rec.absPath(l.row), l.row.stat)
				}
			}
		})
	}
	work.Wait()
	for _, l := range batch {
		l.at.files++
		l.at.unsure = l.at.unsure || l.err != nil
		if l.why != "" {
			l.at.misses = append(l.at.misses, miss{l.row, called(l.row, l.at.rec.absPath(l.row)) + " " + l.why})
		}
	}
	return ctx.Err()
}

// mark records what does not fit.
func (a *audit) mark() error {
	for _, places := range a.groups {
		for _, rec := range places {
			if err := a.s.markMisses(rec, a.chosen[rec.id].misses); err != nil {
				return err
			}
		}
	}
	return nil
}

// markMisses is markUnfit of many files of one share, in one batch.
func (s *Store) markMisses(rec *record, misses []miss) error {
	misses, err := s.newMisses(rec, misses)
	if len(misses) == 0 || err != nil {
		return err
	}
	defer s.unwell.add(rec.id)
	return s.updateShare(rec.id, false, func(r *record, b *pebble.Batch) error {
		bits, err := s.loadBits(r)
		if err != nil {
			return err
		}
		for _, m := range misses {
			key := keyFile(tagBad, r.id, m.row.leaf, m.row.entry)
			if known, err := s.has(key); err != nil {
				return err
			} else if !known {
				n, bytes := hadLeaves(bits, m.row)
				r.bad++
				r.have -= n
				r.haveBytes -= bytes
			}
			_ = b.Set(key, []byte(m.reason), nil)
		}
		if r.state != Changed {
			r.state, r.reason = Changed, misses[0].reason
			s.cfg.Logger.Warn("shared files changed", "root", r.root, "name", r.name, "files", len(misses), "reason", r.reason)
		}
		return nil
	})
}

// newMisses leaves out what is marked already.
func (s *Store) newMisses(rec *record, misses []miss) (news []miss, err error) {
	for _, m := range misses {
		old, err := s.get(keyFile(tagBad, rec.id, m.row.leaf, m.row.entry))
		if err != nil && !errors.Is(err, pebble.ErrNotFound) {
			return nil, err
		}
		if err != nil || string(old) != m.reason {
			news = append(news, m)
		}
	}
	return news, nil
}

// VerifyAll is Verify of every share, oldest first. Shares whose files all have the stats recorded are not looked
// at any closer, unless full is set; for the others it is Verify. each gets the outcomes in turn, also the error of
// a share that could not be verified, and may end it by an error of its own. progress is told the bytes hashed so far.
func (s *Store) VerifyAll(ctx context.Context, full bool, each func(Share, VerifyReport, error) error, progress func(bytes int64)) error {
	a, err := s.audit(ctx, func(rec *record) bool { return !full && rec.state == Complete && rec.all })
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	var hashed int64
	for _, places := range a.groups {
		report, err := a.verify(ctx, places, full, func(bytes int64) {
			if progress != nil {
				progress(hashed + bytes)
			}
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if hashed += report.Bytes; report.OK < report.Files || report.Bytes > 0 || len(report.Gone) > 0 || err != nil {
			now, perr := s.placesOf(places[0].root, false)
			if perr == nil && len(now) == 0 {
				continue // removed meanwhile
			}
			places, err = now, errors.Join(err, perr)
		}
		sh, serr := s.shareOf(places)
		if err := each(sh, report, errors.Join(err, serr)); err != nil {
			return err
		}
	}
	return nil
}

// verify is Verify of one share, each place of it that the audit did not find to fit.
func (a *audit) verify(ctx context.Context, places []*record, full bool, progress func(int64)) (sum VerifyReport, err error) {
	return a.s.eachPlace(ctx, places, progress, func(rec *record, report *VerifyReport, progress func(int64)) error {
		if at := a.chosen[rec.id]; at != nil && len(at.misses) == 0 && !at.unsure {
			report.Files, report.OK = at.files, at.files
			return nil
		}
		return a.s.verifyPlace(ctx, rec, full, report, progress)
	})
}
