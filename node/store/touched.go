package store

import (
	"context"
	"errors"
	"math"
	"os"
	"sync"
	"time"

	"shoal/chunker"

	"github.com/ipfs/go-cid"
)

// A file that was touched, linked, given other permissions or restored from a backup no longer fits its stat, and may
// still hold what was shared. Heal finds out.

// unwell are the places with files that were marked since Heal last looked at them.
type unwell struct {
	wake chan struct{} // holds one token

	aged map[shareID]struct{} // places with files of no known time of change, at the first Heal; its own

	mu  sync.Mutex
	all bool // those that were marked before this start, too
	ids map[shareID]struct{}

	unread map[shareID]struct{} // places with leaves that could not be read: unread.go
}

func newUnwell() *unwell {
	u := &unwell{wake: make(chan struct{}, 1), all: true, ids: map[shareID]struct{}{}, unread: map[shareID]struct{}{}}
	u.wake <- struct{}{}
	return u
}

// add notes that files of a place were marked.
func (u *unwell) add(id shareID) {
	u.mu.Lock()
	u.ids[id] = struct{}{}
	u.mu.Unlock()
	u.again()
}

// again lets there be another Heal.
func (u *unwell) again() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// take empties the list.
func (u *unwell) take() (ids map[shareID]struct{}, all bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	ids, all = u.ids, u.all
	u.ids, u.all = map[shareID]struct{}{}, false
	return ids, all
}

// Unwell yields a token when there may be something for Heal to do.
func (s *Store) Unwell() <-chan struct{} { return s.unwell.wake }

// Heal hashes again the files that do not fit but have the size that was shared, once nothing has touched them for
// quiet. Files that hold what they held are served again; of the others the chunks that do, and the stat is remembered
// with which they were hashed, so that it is not done again. It works on one file at a time and rests as long as it
// works. It looks at the places of what was marked since the last call; later: something has to be looked at again after quiet.
// Leaves that could not be read are read again. Files of which no time of change is known are hashed too, once. Only one Heal runs at a time.
func (s *Store) Heal(ctx context.Context, quiet time.Duration) (healed []cid.Cid, later bool, err error) {
	ids, all := s.unwell.take()
	if all {
		err = s.each([]byte{tagBad}, func(key, _ []byte) error {
			id, _ := splitSegment(key)
			ids[id] = struct{}{}
			return nil
		})
		if err == nil {
			s.unwell.aged, err = s.agedPlaces()
		}
		if err == nil {
			err = s.unreadPlaces()
		}
	}
	for id := range ids {
		if err != nil {
			s.unwell.add(id) // for the next call
			continue
		}
		var done, wait bool
		var rec *record
		if rec, err = s.recordOf(id); err == nil {
			done, wait, err = s.healPlace(ctx, rec, quiet)
		}
		if errors.Is(err, ErrNotFound) {
			err = nil // removed meanwhile
			continue
		}
		if done {
			healed = append(healed, rec.root)
		}
		if later = later || wait; wait {
			s.unwell.add(id)
		}
	}
	if err == nil {
		var unread bool
		unread, err = s.healUnread(ctx)
		later = later || unread
	}
	if err == nil {
		err = s.healAged(ctx)
	}
	return healed, later, err
}

// healBytes of a place are hashed before the outcome is recorded, and served.
const healBytes = 1 << 30

// healPlace is Heal of one place. Files are touched in bursts and marked one by one as they are asked for, so all of the
// place are looked at when one is to be hashed.
func (s *Store) healPlace(ctx context.Context, rec *record, quiet time.Duration) (done, later bool, err error) {
	if rec.old || rec.tag == tagDownload || rec.bad == 0 {
		return false, false, nil
	}
	if rec, err = s.recheck(rec, math.MaxInt); err != nil {
		return false, false, err
	}
	tried := map[string]bool{}
	for {
		t, err := s.touched(ctx, rec, quiet, tried)
		later = later || t.early
		if err != nil || len(t.chosen) == 0 {
			return done, later, err
		}
		if len(tried) == 0 {
			now, err := s.checkPlace(ctx, rec)
			if err != nil && !isTransient(err) && !isIO(err) { // of some file nothing is known: the others are healed
				return done, later, err
			}
			if err == nil {
				rec = now
			}
			if t, err = s.touched(ctx, rec, quiet, tried); err != nil {
				return done, later, err
			}
			later = later || t.early
		}
		ok, err := s.healFiles(ctx, rec, t)
		if done = done || ok; err != nil {
			return done, later, err
		}
		for key := range t.chosen {
			tried[key] = true
		}
	}
}

// healFiles hashes the chosen files of a place.
func (s *Store) healFiles(ctx context.Context, rec *record, t touched) (ok bool, err error) {
	rec, err = s.recordOf(rec.id)
	if err != nil {
		return false, err
	}
	bits, err := s.loadBits(rec)
	if err != nil {
		return false, err
	}
	v := s.newVerifier(rec, bits, 1)
	v.marked, v.chosen, v.pace = t.marked, t.chosen, newPace()
	if err := v.run(ctx); err != nil {
		return false, err
	}
	s.cfg.Logger.Info("touched files hashed again", "root", rec.root, "name", rec.name, "files", v.report.Files, "ok", v.report.OK)
	return v.report.OK > 0, nil
}

// touched are the marked files of a place, by key.
type touched struct {
	marked map[string]string // with the reasons
	chosen map[string]bool   // those to hash next: they may hold what was shared, and nothing has touched them for a while
	early  bool              // others were touched just now
}

// touched finds them, without those in tried.
func (s *Store) touched(ctx context.Context, rec *record, quiet time.Duration, tried map[string]bool) (touched, error) {
	t := touched{marked: map[string]string{}, chosen: map[string]bool{}}
	var bytes int64
	err := s.each(keyID(tagBad, rec.id), func(key, value []byte) error {
		t.marked[string(key)] = string(value)
		if bytes >= healBytes || tried[string(key)] {
			return ctx.Err()
		}
		leaf, entry := splitFile(key)
		row, err := s.row(rec.id, leaf, entry)
		if err != nil {
			return err
		}
		fi, err := chunker.StatPath(rec.absPath(row))
		if err != nil || !holdsAsMuch(fi, row) {
			return ctx.Err()
		}
		is := chunker.StatOf(fi)
		if age := time.Since(time.Unix(0, max(is.ModTime, is.Ctime))); age >= 0 && age < quiet {
			t.early = true
			return ctx.Err()
		}
		t.chosen[string(key)] = true
		bytes += is.Size
		return ctx.Err()
	})
	return t, err
}

// mayFit tells whether the file at path may hold what was shared, though its stat does not say so. The size is that of the
// content: a stat may be of a file that was cut or damaged when it was hashed last.
func mayFit(path string, r *row) bool {
	fi, err := chunker.StatPath(path)
	return err == nil && holdsAsMuch(fi, r)
}

func holdsAsMuch(fi os.FileInfo, r *row) bool {
	return fi.Mode().IsRegular() && fi.Size() == r.cut.size
}

// passes tells whether a file is not to be looked at, and keeps what is known of it.
func (v *verifier) passes(r *row) bool {
	key := string(keyFile(tagBad, v.rec.id, r.leaf, r.entry))
	if v.chosen == nil || v.chosen[key] {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	why, marked := v.marked[key]
	if marked {
		v.unfit[key] = why
	} else if !v.whole(r) {
		why = v.rec.reason
	}
	if v.reason == "" {
		v.reason = why
	}
	return true
}

// pace rests as long as the work took since the last rest, so that background work takes half of a disk at most.
type pace struct{ from time.Time }

// paceWork is how long the work goes on between rests: shorter ones would take longer than they are to.
const paceWork = 20 * time.Millisecond

func newPace() *pace { return &pace{time.Now()} }

func (p *pace) rest(ctx context.Context) {
	if p == nil {
		return
	}
	worked := time.Since(p.from)
	if worked < paceWork {
		return
	}
	t := time.NewTimer(min(worked, time.Second))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
	p.from = time.Now()
}
