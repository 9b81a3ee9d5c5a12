package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"time"

	"shoal/chunker"

	"golang.org/x/sync/errgroup"
)

// This file is about what another program may have done to the .part. A leaf was checked before it was written, and counts only while
// nothing else can have touched its file: one written in one go, while nobody else could open its file, as long as its stat is the one it was left with, one written piece by
// piece while it was watched (watch_linux.go). All else is hashed again before it is called right.

// watchFile watches the file of an entry, which is written piece by piece.
func (d *Download) watchFile(entry int, f *os.File) {
	d.watching.Lock()
	ok := d.watch.add(f, entry)
	d.watching.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	st := &d.files[entry]
	st.unwatched, st.doubted = !ok, st.doubted || !ok
}

// notice takes in what the watch has seen.
func (d *Download) notice() {
	d.watching.Lock()
	d.noticed = time.Now()
	entries, all := d.watch.touched()
	d.watching.Unlock()
	if len(entries) == 0 && !all {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range entries {
		d.files[i].doubted = true
	}
	for i, e := range d.x.layout.Entries() {
		d.files[i].doubted = d.files[i].doubted || all && e.Leaves > 1
	}
}

// noticeNow is notice, not too often.
func (d *Download) noticeNow() {
	d.watching.Lock()
	due := d.watch != nil && time.Since(d.noticed) >= d.s.cfg.CheckEvery
	d.watching.Unlock()
	if due {
		d.notice()
	}
}

// vouch hashes again the files of which it cannot be told that nothing touched them, and which look like stats now. ErrIncomplete: some
// leaves have to be fetched again, or another program goes on writing.
func (d *Download) vouch(ctx context.Context, stats map[int]chunker.FileStat) error {
	var changed error // the first of them: all are found in one go
	for i, is := range stats {
		d.mu.Lock()
		e, st := &d.x.layout.Entries()[i], &d.files[i]
		settled := e.Kind != chunker.File || is.Size == 0 || !st.doubted && (e.Leaves > 1 || st.stat.ModTime != 0 && is == st.stat && is.Proves(st.stat))
		d.mu.Unlock()
		if settled {
			continue
		}
		err := d.hashAgain(ctx, i, is)
		if errors.Is(err, ErrIncomplete) && ctx.Err() == nil {
			changed = cmp.Or(changed, err)
		} else if err != nil {
			return err
		}
	}
	if changed != nil {
		return changed
	}
	d.notice()
	d.mu.RLock()
	defer d.mu.RUnlock()
	for i := range stats {
		if e := &d.x.layout.Entries()[i]; e.Leaves > 1 && d.files[i].doubted && !d.files[i].hashed {
			return fmt.Errorf("%w: another program works on %s", ErrIncomplete, d.dst.path(d.sel.rel(e.Path)))
		}
	}
	return nil
}

// hashAgain reads a file that is to look like is, before and after.
func (d *Download) hashAgain(ctx context.Context, i int, is chunker.FileStat) error {
	d.mu.Lock()
	e := d.x.layout.Entries()[i]
	unwatched := d.files[i].unwatched
	if !unwatched {
		d.files[i].doubted = false // what is seen from here on counts
	}
	d.mu.Unlock()
	path := d.dst.path(d.sel.rel(e.Path))
	f, err := d.dst.readFile(d.sel.rel(e.Path))
	if err != nil {
		return fsError("read", path, err)
	}
	defer f.Close()
	bad, err := d.recheckLeaves(ctx, f, e.First, e.First+e.Leaves)
	if err != nil {
		return fsError("read", path, err)
	}
	fi, err := f.Stat()
	if err != nil {
		return fsError("look at", path, err)
	}
	if bad > 0 || !chunker.StatOf(fi).Same(is) {
		return fmt.Errorf("%w: another program changed %s: %d of %d chunks are fetched again", ErrIncomplete, path, bad, e.Leaves)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	st := &d.files[i]
	st.stat, st.hashed, st.rowed = is, unwatched, false
	if e.Leaves <= 1 {
		st.doubted = false
	}
	return nil
}

// recheckRun is how many leaves of a file one worker takes at a time.
const recheckRun = 32

// recheckLeaves hashes those of the leaves [first, end) of f that are had, and takes back those that do not match.
func (d *Download) recheckLeaves(ctx context.Context, f *os.File, first, end int) (bad int, err error) {
	bads := make([]int, (end-first+recheckRun-1)/recheckRun)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for k := range bads {
		from := first + k*recheckRun
		g.Go(func() error {
			n, err := d.recheckSome(ctx, f, from, min(from+recheckRun, end))
			bads[k] = n
			return err
		})
	}
	err = g.Wait()
	for _, n := range bads {
		bad += n
	}
	return bad, err
}

func (d *Download) recheckSome(ctx context.Context, f *os.File, first, end int) (bad int, err error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	var buf []byte
	holes := chunker.NewHoles(f, fi)
	for k := first; k < end; k++ {
		if err := ctx.Err(); err != nil {
			return bad, err
		}
		d.mu.RLock()
		leaf, had, size := d.x.layout.Leaf(k), d.have.get(k), d.sizeOf(k)
		d.mu.RUnlock()
		if !had || size == 0 || holes.Covers(leaf.Offset, int64(size)) && d.s.isZero(d.x.layout, k) {
			continue
		}
		if cap(buf) < size {
			buf = make([]byte, size)
		}
		d.rehashed.Add(1)
		n, err := f.ReadAt(buf[:size], leaf.Offset)
		if isTransient(err) {
			return bad, err
		}
		if n == size && matches(buf[:size], leaf.CID) {
			continue
		}
		bad++
		d.mu.Lock()
		d.clearHave(k)
		d.dirtyRec = true
		d.mu.Unlock()
	}
	return bad, nil
}

// refetch makes ready to fetch what was taken back.
func (d *Download) refetch() error {
	d.mu.Lock()
	for i := range d.seen {
		if !d.have.get(i) && (d.want == nil || d.want.get(i)) && d.x.layout.LeafSize(i) != 0 && d.s.isZero(d.x.layout, i) {
			d.zeros = addSpan(d.zeros, i)
		}
	}
	d.mu.Unlock()
	d.respread()
	if err := d.fillZeros(); err != nil {
		return err
	}
	d.startLocal()
	return nil
}

// confirm looks at the result once more, at its place and recorded: what was changed after the last look is hashed, and is not called right.
func (d *Download) confirm(ctx context.Context, final string) error {
	rec, err := d.s.placeOf(d.rec.root, final)
	if errors.Is(err, ErrNotFound) {
		return nil // removed again
	}
	if err != nil {
		return err
	}
	d.watching.Lock()
	touched, all := d.watch.touched()
	all = all && d.watch != nil
	d.watching.Unlock()
	if rec, err = d.s.checkPlace(ctx, rec); err != nil || rec.state == Complete && len(touched) == 0 && !all {
		return err
	}
	var sum VerifyReport
	if err := d.s.verifyPlace(ctx, rec, len(touched) > 0 || all, &sum, nil); err != nil {
		return err
	}
	if rec, err = d.s.placeOf(d.rec.root, final); err != nil {
		return err
	}
	bits, err := d.s.served(rec)
	if err != nil || bits == nil {
		return err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for i := range d.seen {
		if (d.want == nil || d.want.get(i)) && !bits.get(i) {
			if _, err := chunker.LstatPath(final); errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%w: %s is not there any more", ErrVanished, final)
			}
			return fmt.Errorf("%w: another program changed it: %s", ErrChanged, rec.reason)
		}
	}
	return nil
}
