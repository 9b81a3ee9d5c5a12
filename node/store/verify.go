package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"

	"shoal/chunker"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"
)

// Verify hashes the files of a share, at each of its places, again, chunk by chunk: with full all of them, else
// only those whose stat changed or proves nothing, whose chunks were found damaged, or that did not fit
// before. Files whose content is what it was are referenced with their new stat and
// served again; of the others the chunks that still match are served. Directories and symlinks that are not as they were
// are told too. progress is told the bytes hashed so far. ErrNotFound.
func (s *Store) Verify(ctx context.Context, root cid.Cid, full bool, progress func(bytes int64)) (VerifyReport, error) {
	places, err := s.placesOf(root, false)
	if err == nil && len(places) == 0 {
		err = fmt.Errorf("%w: %s", ErrNotFound, root)
	}
	var sum VerifyReport
	if err == nil {
		sum, err = s.eachPlace(ctx, places, progress, func(rec *record, report *VerifyReport, progress func(int64)) error {
			return s.verifyPlace(ctx, rec, full, report, progress)
		})
	}
	if err != nil {
		return sum, fmt.Errorf("verify %s: %w", root, err)
	}
	return sum, nil
}

// verifyPlace is Verify of one place. It adds to sum; progress is told the bytes of that.
func (s *Store) verifyPlace(ctx context.Context, rec *record, full bool, sum *VerifyReport, progress func(bytes int64)) error {
	bits, err := s.loadBits(rec)
	if err != nil {
		return err
	}
	before := sum.Bytes
	v := s.newVerifier(rec, bits, runtime.GOMAXPROCS(0))
	v.full = full
	if progress != nil {
		v.progress = func(bytes int64) { progress(before + bytes) }
	}
	err = v.run(ctx)
	sum.Files, sum.OK, sum.Bytes = sum.Files+v.report.Files, sum.OK+v.report.OK, sum.Bytes+v.report.Bytes
	sum.Bad = append(sum.Bad, v.report.Bad...)
	return err
}

// verifier holds the state of one Verify.
type verifier struct {
	s        *Store
	rec      *record
	walked   sync.Once // loads layout, which only hashing needs
	layout   *chunker.Layout
	noLayout error
	full     bool
	marked   map[string]string // by key: why files of the place do not fit
	chosen   map[string]bool   // of these, the only ones to look at; nil: all files
	pace     *pace             // nil: at once
	moved    bool              // rec is where the files should be now, and not recorded yet
	progress func(int64)
	old      bitmap // before; nil: all
	workers  chan struct{}

	mu     sync.Mutex // guards all below, and calls of progress
	bits   bitmap
	report VerifyReport
	rows   []*row // to be stored: new stats
	fit    []*row // no longer unfit
	unfit  map[string]string
	reason string          // of the first bad file
	hurt   map[*row]string // the first chunk of it that cannot be read
}

// newVerifier makes one for a place whose had leaves are bits; nil: all.
func (s *Store) newVerifier(rec *record, bits bitmap, workers int) *verifier {
	v := &verifier{
		s: s, rec: rec, old: bits, bits: append(bitmap(nil), bits...), hurt: map[*row]string{}, workers: make(chan struct{}, workers),
	}
	if bits == nil {
		v.bits = allOf(rec.leaves)
	}
	return v
}

func (v *verifier) run(ctx context.Context) error {
	if err := v.look(ctx); err != nil {
		return err
	}
	return v.store()
}

// look looks at all files.
func (v *verifier) look(ctx context.Context) error {
	v.unfit = map[string]string{}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(cap(v.workers))
	err := v.s.rows(v.rec.id, func(r *row) error {
		if v.passes(r) {
			return gctx.Err()
		}
		g.Go(func() error { return v.file(gctx, r) })
		return gctx.Err()
	})
	if failed := g.Wait(); failed != nil { // it ended the walk too
		return failed
	}
	return err
}

// file looks at one file.
func (v *verifier) file(ctx context.Context, r *row) error {
	abs := v.rec.absPath(r)
	_, err := v.s.get(keyFile(tagBad, v.rec.id, r.leaf, r.entry))
	marked := err == nil
	f, err := chunker.OpenPath(abs, openRead)
	var fi fs.FileInfo
	if err == nil {
		defer f.Close()
		fi, err = f.Stat()
	}
	if isTransient(err) {
		return fmt.Errorf("look at %s: %w", abs, err)
	}
	if v.moved && err == nil && v.stays(r, fi) {
		return nil
	}
	why := unfit(fi, err, r.stat)
	if err != nil || !fi.Mode().IsRegular() {
		v.missing(r, abs, FileMissing, why)
		return nil
	}
	if why == "" && chunker.StatOf(fi).Proves(r.stat) && !marked && !v.full && v.whole(r) && fi.Size() == r.cut.size {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.report.Files++
		v.report.OK++
		return nil
	}
	good, err := v.hash(ctx, f, r)
	if err != nil {
		return err
	}
	after, err := f.Stat()
	if err != nil || !chunker.StatOf(after).Same(chunker.StatOf(fi)) {
		v.missing(r, abs, FileMissing, "is changing right now")
		return nil
	}
	if fi.Size() > r.cut.size && good.count() == r.cut.leaves { // every chunk is right, and the file is another
		v.missing(r, abs, FileChanged, fmt.Sprintf("grew from %d to %d bytes", r.cut.size, fi.Size()))
		return nil
	}
	v.done(r, abs, why, chunker.StatOf(fi), good)
	return nil
}

// whole tells whether all leaves of r's file were fine so far.
func (v *verifier) whole(r *row) bool {
	for k := range r.cut.leaves {
		if v.old != nil && !v.old.get(r.leaf+k) {
			return false
		}
	}
	return true
}

// hashRun is how many leaves of a large file one worker takes at a time; a multiple of
// 8, so that workers write to bytes of their own.
const hashRun = 32

// hash tells which leaves of the file match. Large files are hashed by several workers.
func (v *verifier) hash(ctx context.Context, f *os.File, r *row) (bitmap, error) {
	v.walked.Do(func() { v.layout, v.noLayout = v.s.layout(v.rec) })
	if v.noLayout != nil {
		return nil, v.noLayout
	}
	good := newBitmap(r.cut.leaves)
	if r.cut.leaves <= hashRun {
		return good, v.hashLeaves(ctx, f, r, good, 0, r.cut.leaves)
	}
	g, ctx := errgroup.WithContext(ctx)
	for first := 0; first < r.cut.leaves; first += hashRun {
		select {
		case v.workers <- struct{}{}:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), g.Wait())
		}
		g.Go(func() error {
			defer func() { <-v.workers }()
			return v.hashLeaves(ctx, f, r, good, first, min(first+hashRun, r.cut.leaves))
		})
	}
	return good, g.Wait()
}

// hashLeaves hashes the leaves [first, end) of the file.
func (v *verifier) hashLeaves(ctx context.Context, f *os.File, r *row, good bitmap, first, end int) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	var buf []byte
	holes := chunker.NewHoles(f, fi)
	for k := first; k < end; k++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		offset, size := r.cut.at(k)
		if holes.Covers(offset, int64(size)) && v.s.isZero(v.layout, r.leaf+k) {
			good.set(k)
		} else {
			if cap(buf) < size {
				buf = make([]byte, size)
			}
			n, err := f.ReadAt(buf[:size], offset)
			if n < size && err != io.EOF {
				v.s.cfg.Logger.Warn("read failed", "path", f.Name(), "offset", offset, "error", err)
				v.mu.Lock()
				if v.hurt[r] == "" {
					v.hurt[r] = fmt.Sprintf("; chunk %d, at byte %d, cannot be read: %s", k, offset, bare(err))
				}
				v.mu.Unlock()
			}
			if n < size {
				continue
			}
			if sha256.Sum256(buf[:size]) == v.layout.Digest(r.leaf+k) {
				good.set(k)
			}
		}
		v.pace.rest(ctx)
		v.mu.Lock()
		v.report.Bytes += int64(size)
		if v.progress != nil {
			v.progress(v.report.Bytes)
		}
		v.mu.Unlock()
	}
	return nil
}

// missing reports a file that is not served as it is.
func (v *verifier) missing(r *row, abs string, st FileStatus, why string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Files++
	leaves := r.cut.leaves
	if st == FileChanged { // all of what was shared is in it
		leaves = 0
	}
	v.bad(r, st, leaves, called(r, abs)+" "+why)
	v.unfit[string(keyFile(tagBad, v.rec.id, r.leaf, r.entry))] = called(r, abs) + " " + why
}

// done takes in the result for a file that was hashed.
func (v *verifier) done(r *row, abs, why string, is chunker.FileStat, good bitmap) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Files++
	for k := range r.cut.leaves {
		if good.get(k) {
			v.bits.set(r.leaf + k)
		} else {
			v.bits.clear(r.leaf + k)
		}
	}
	if is != r.stat {
		r.stat = is
		v.rows = append(v.rows, r)
	}
	v.fit = append(v.fit, r)
	n := r.cut.leaves - good.count()
	switch {
	case n == 0:
		v.report.OK++
	case why == "":
		v.bad(r, FileDamaged, n, fmt.Sprintf("%s: %d of %d chunks are damaged%s", called(r, abs), n, r.cut.leaves, v.hurt[r]))
	default:
		v.bad(r, FileChanged, n, fmt.Sprintf("%s %s", called(r, abs), why))
	}
}

// bad adds to the report. Called under mu.
func (v *verifier) bad(r *row, st FileStatus, leaves int, reason string) {
	if v.reason == "" {
		v.reason = reason
	}
	v.report.Bad = append(v.report.Bad, FileReport{
		Place: v.rec.basePath(r), Path: r.path, Status: st, Leaves: r.cut.leaves, BadLeaves: leaves, Reason: reason,
	})
}

// store records the outcome in one durable batch.
func (v *verifier) store() error {
	if len(v.hurt) > 0 {
		defer v.s.unwell.couldNotRead(v.rec.id)
	}
	return v.s.updateShare(v.rec.id, true, v.apply)
}

// apply puts the outcome into r and b. It is called under the lock of the store. What was recorded meanwhile of files
// that were not hashed stays.
func (v *verifier) apply(r *record, b *pebble.Batch) error {
	bits, err := v.s.loadBits(r)
	if err != nil {
		return err
	}
	if bits == nil {
		bits = allOf(r.leaves)
	}
	for _, row := range v.rows {
		_ = b.Set(keyFile(tagFile, r.id, row.leaf, row.entry), row.encode(), nil)
	}
	fit := make(map[string]bool, len(v.fit))
	for _, row := range v.fit {
		key := keyFile(tagBad, r.id, row.leaf, row.entry)
		_ = b.Delete(key, nil)
		fit[string(key)] = true
		for k := row.leaf; k < row.leaf+row.cut.leaves; k++ {
			if v.bits.get(k) {
				bits.set(k)
			} else {
				bits.clear(k)
			}
		}
	}
	err = v.s.each(keyID(tagBad, r.id), func(key, why []byte) error {
		if _, known := v.unfit[string(key)]; !known && !fit[string(key)] {
			v.unfit[string(key)] = string(why)
			v.reason = cmp.Or(v.reason, string(why))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for key, why := range v.unfit {
		_ = b.Set([]byte(key), []byte(why), nil)
	}
	r.bad = len(v.unfit)
	v.s.putBits(b, r, bits)
	r.state, r.reason = Complete, ""
	if v.reason != "" {
		r.state, r.reason = Changed, v.reason
	}
	r.have, r.haveBytes = 0, 0
	return v.s.rows(r.id, func(row *row) error {
		if _, bad := v.unfit[string(keyFile(tagBad, r.id, row.leaf, row.entry))]; bad {
			return nil
		}
		n, bytes := hadLeaves(bits, row)
		r.have, r.haveBytes = r.have+n, r.haveBytes+bytes
		return nil
	})
}
