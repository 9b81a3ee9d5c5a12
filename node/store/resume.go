package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"shoal/chunker"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"
)

// Download starts to fetch t, or goes on with an unfinished download of the same root.
// Then nodes come back from the index, recorded leaves are trusted where the .part is
// still the same file, and the others are re-hashed from it. A selection is united
// with the earlier one, but where it is less only that is fetched (EndPart); another destination is ErrConflict. ErrBusy: it is live already.
//
// A destination that holds the same content already gives a Download that is
// complete, with nothing to fetch; one that holds something else is ErrExists, now or as
// soon as enough is known, unless t.Force. lim bounds the DAG; zero: Config.Limits.
func (s *Store) Download(ctx context.Context, t Target, lim chunker.Limits) (*Download, error) {
	d, err := s.download(ctx, t, lim)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", t.Root, err)
	}
	if !d.over() {
		d.startLocal()
	}
	return d, nil
}

func (s *Store) download(ctx context.Context, t Target, lim chunker.Limits) (*Download, error) {
	if err := s.awayFrom(t); err != nil {
		return nil, err
	}
	t, err := t.checked()
	if err != nil {
		return nil, err
	}
	if lim == (chunker.Limits{}) {
		lim = s.cfg.Limits
	}
	if err := s.claim(t.Root); err != nil {
		return nil, err
	}
	if t, err = fitName(t, s.home); err != nil {
		s.unclaim(t.Root)
		return nil, err
	}
	d := newDownload(s, lim)
	d.rec = &record{root: t.Root}
	if rec, err := s.record(tagDownload, t.Root); err == nil && rec.placing {
		if err := s.recoverPlaced(rec); err != nil {
			s.unclaim(t.Root)
			return nil, err
		}
	}
	sh, same, err := s.existing(ctx, t)
	if err == nil && same {
		if err = d.finished(sh); err == nil {
			s.unclaim(t.Root)
		}
	} else if err == nil {
		err = d.start(ctx, t)
	}
	if err != nil {
		d.abandon()
		return nil, err
	}
	return d, nil
}

// checked is t with an absolute directory and clean paths.
func (t Target) checked() (Target, error) {
	if !t.Root.Defined() {
		return t, errors.New("no root is named")
	}
	if len(t.Name) > maxName {
		return t, fmt.Errorf("destination name %q: %w", t.Name, syscall.ENAMETOOLONG)
	}
	if t.Name != "" && !elementOf(t.Name) {
		return t, fmt.Errorf("destination name %q is not one path element", t.Name)
	}
	dir, err := filepath.Abs(t.Dir)
	if err != nil {
		return t, err
	}
	t.Dir, t.Sub, t.Select = dir, cleanSub(t.Sub), cleanSelects(t.Select)
	fi, err := chunker.StatPath(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !fi.IsDir() {
		return t, fmt.Errorf("open destination %s: %w", dir, ErrNoDir)
	}
	if home := HomeAround(dir); home != "" {
		return t, &BlockedError{Path: home, Why: whyHome}
	}
	return t, fsError("open destination", dir, err)
}

func newDownload(s *Store, lim chunker.Limits) *Download {
	return &Download{s: s, lim: lim, loneSize: -1, dirty: map[int]struct{}{}, unsaved: map[int]struct{}{}, brought: newBrought(), merger: newMerger()}
}

// claim reserves root for one Download.
func (s *Store) claim(root cid.Cid) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := root.KeyString()
	if s.closed {
		return ErrClosed
	}
	if s.busy[key] {
		return ErrBusy
	}
	s.busy[key] = true
	return nil
}

// unclaim undoes claim, and start's making it live.
func (s *Store) unclaim(root cid.Cid) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, root.KeyString())
	delete(s.live, root.KeyString())
	s.parts.Range(func(part, of any) bool {
		if of == root.KeyString() {
			s.parts.Delete(part)
		}
		return true
	})
}

// abandon undoes claim after a failed start. What is recorded stays for the next try.
func (d *Download) abandon() {
	if _, gone := d.s.record(tagDownload, d.rec.root); gone == nil && d.x != nil && d.stage == running && d.dropMisses(nil) {
		if err := d.saveRecord(d.s.db.NewBatch(), true); err != nil {
			d.s.cfg.Logger.Warn("a path that is not in the share stays selected", "root", d.rec.root, "error", err)
		}
	}
	d.s.unclaim(d.rec.root)
	d.watch.close()
	if d.dst != nil {
		d.dst.close()
	}
}

// finished makes d a view of a share that is whole already.
func (d *Download) finished(sh Share) error {
	rec, err := d.s.placeOf(sh.Root, sh.Path)
	if err != nil {
		return err
	}
	x, err := newIndexer(rec.id, rec.root, d.s.cfg.Limits)
	if err == nil {
		err = d.s.replay(x, nowhere)
	}
	if err != nil {
		return err
	}
	// An unfinished download to this place has become pointless.
	old, err := d.s.record(tagDownload, sh.Root)
	if err == nil && filepath.Join(old.dir, old.title()) == sh.Path {
		if old, err = d.s.forget(tagDownload, sh.Root); err == nil {
			err = removePart(old)
		}
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rec, d.x, d.sel, d.reps = rec, x, newSelection(rec.sub, rec.selects), newRepeats(x.layout)
	d.follow()
	d.have = allOf(d.seen)
	d.haveN, d.haveBytes, d.loneSize = d.wantN, d.wantBytes, -1
	if x.layout.Size() < 0 {
		d.loneSize, d.haveBytes = sh.Size, sh.Size
	}
	d.stage, d.result = done, sh
	return nil
}

// start loads or makes the record and takes stock of the .part.
func (d *Download) start(ctx context.Context, t Target) error {
	rec, fresh, err := d.s.recordFor(t)
	if err == nil && fresh {
		d.candidates, err = d.s.strayParts(t)
	}
	if err != nil {
		return err
	}
	d.asked = t.Select
	d.sealed, rec.sealed = rec.sealed, false
	d.watch = newWatch()
	if d.dst, err = openDest(rec.dir, rec.part, rec.tree, d.s.cfg.OpenFiles); err != nil {
		return err
	}
	d.rec = rec
	d.checked = t.Checked
	d.own()
	d.hold()
	if err := d.probe(); err != nil {
		return err
	}
	d.homeDisk = sameDisk(rec.dir, d.s.home)
	if err := d.load(rec); err != nil {
		return err
	}
	if err := d.begin(ctx, fresh); err != nil {
		if !fresh || d.HaveBytes() > 0 { // of an earlier one, found again
			return err
		}
		if _, gone := d.s.record(tagDownload, t.Root); errors.Is(gone, ErrNotFound) {
			return err
		}
		return errors.Join(err, d.dst.closeHandles(), d.s.drop(t.Root)) // nothing was fetched yet
	}
	d.s.mu.Lock()
	d.s.live[t.Root.KeyString()] = d
	d.s.mu.Unlock()
	return nil
}

// begin stores the record and takes in what is here already.
func (d *Download) begin(ctx context.Context, fresh bool) error {
	b := d.s.db.NewBatch()
	if fresh {
		if err := d.x.indexLeaves(into(b)); err != nil {
			b.Close()
			return err
		}
	}
	if err := d.saveRecord(b, true); err != nil {
		return err
	}
	if d.x.layout.Complete() {
		if err := d.checkNames(); err != nil { // by which the files of the .part are called
			return err
		}
	}
	rest, err := d.moveFormers()
	if err == nil {
		err = d.takeStock(ctx)
	}
	if err == nil {
		err = d.copyFormers(ctx, rest)
	}
	if err != nil {
		return err
	}
	if err := d.known(ctx, true); err != nil {
		return err
	}
	d.respread()
	return nil
}

// newRecord makes the record of a fresh one.
func (s *Store) newRecord(t Target) (*record, error) {
	part, err := s.choosePart(t)
	if err != nil {
		return nil, err
	}
	b := s.db.NewBatch()
	rec := &record{
		root: t.Root, id: s.newID(b), name: t.Name, dir: t.Dir, part: part, selects: t.Select, sub: t.Sub,
		force: t.Force, rename: t.Rename, state: Fetching, added: time.Now().UnixNano(),
	}
	return rec, s.commit(b, false)
}

// load walks the stored nodes and reads the recorded bits.
func (d *Download) load(rec *record) error {
	x, err := newIndexer(rec.id, rec.root, d.lim)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rec, d.x = rec, x
	d.sel, d.reps = newSelection(rec.sub, rec.selects), newRepeats(x.layout)
	if rec.focus != nil {
		d.focus = newSelection(rec.sub, d.asked)
	}
	if err := d.s.replay(x, nowhere); err != nil {
		return err
	}
	d.follow()
	saved := *rec
	saved.leaves = d.seen
	bits, err := d.s.loadBits(&saved)
	if err != nil {
		return err
	}
	for i := range d.seen {
		if bits.get(i) && (d.want == nil || d.want.get(i)) && d.x.layout.LeafSize(i) != 0 {
			d.setHave(i, d.sizeOf(i))
		}
	}
	clear(d.unsaved)
	return nil
}

// takeStock compares the .part with what is recorded of it: leaves of files that are
// not the recorded ones are dropped, then what is not recorded is re-hashed.
func (d *Download) takeStock(ctx context.Context) error {
	if ours, err := d.claimPart(ctx); err != nil || !ours {
		d.dropAll()
		return err
	}
	d.restock, d.restocked = !d.x.layout.Complete(), d.seen
	known := map[int]chunker.FileStat{}
	err := d.s.rows(d.id(), func(r *row) error {
		known[r.entry] = r.stat
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	owners := make(map[uint64]int, len(known))
	for i, st := range known {
		owners[st.Inode] = i
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, e := range d.x.layout.Entries() {
		if e.Kind == chunker.File && d.sel.want[i] && e.Leaves > 0 {
			g.Go(func() error { return d.stockFile(ctx, i, e, known, owners) })
		}
	}
	return g.Wait()
}

// dropAll forgets every written leaf: there is no .part.
func (d *Download) dropAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.seen {
		if d.x.layout.LeafSize(i) != 0 {
			d.clearHave(i)
		}
	}
}

// stockFile checks one file of the .part and re-hashes its unrecorded leaves.
func (d *Download) stockFile(ctx context.Context, i int, e chunker.Entry, rows map[int]chunker.FileStat, owners map[uint64]int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, _, err := d.dst.openFile(d.sel.rel(e.Path), false)
	var fi fs.FileInfo
	if err == nil {
		defer f.Close()
		fi, err = f.Stat()
	}
	if err == nil && e.Leaves > 1 {
		d.watchFile(i, f) // before the look at its stat
		fi, err = f.Stat()
	}
	if isFault(err) { // what is there is not known to be wrong
		return fsError("open", d.dst.path(d.sel.rel(e.Path)), err)
	}
	was, known := rows[i]
	if k, ok := owners[inodeOf(fi)]; err == nil && ok && k != i && inodeOf(fi) != 0 {
		err = errOneName // or a hard link; the other one's content stays
	}
	d.mu.Lock()
	st := &d.files[i]
	if err == nil {
		st.inode, st.created = chunker.StatOf(fi).Inode, true
	}
	// What was recorded counts without a look where the file is as the last session left it, and that ended in order. A lone raw
	// root, of unknown size, is hashed.
	ours := known && err == nil && st.inode == was.Inode && e.Size >= 0
	trusted := ours && d.sealed && fi.Size() == e.Size && was.ModTime != 0 && chunker.StatOf(fi).Proves(was)
	if err == nil && e.Leaves == 1 {
		st.stat, st.rowed = chunker.StatOf(fi), trusted // if it is written again, this does not fit and it is hashed in the end
	}
	first, end := e.First, min(e.First+e.Leaves, d.seen)
	if !ours {
		for k := first; k < end; k++ {
			if d.x.layout.LeafSize(k) != 0 {
				d.clearHave(k)
			}
		}
	}
	d.mu.Unlock()
	if err != nil {
		return nil // not there, or not ours: it is fetched
	}
	if ours && !trusted {
		if bad, err := d.recheckLeaves(ctx, f, first, end); err != nil {
			return fsError("read", d.dst.path(d.sel.rel(e.Path)), err)
		} else if bad > 0 {
			d.s.cfg.Logger.Warn("another program changed what was fetched", "path", d.dst.path(d.sel.rel(e.Path)), "chunks", bad)
		}
	}
	if e.Size >= 0 && fi.Size() != e.Size {
		if err := f.Truncate(e.Size); err != nil {
			return fsError("resize", d.dst.path(d.sel.rel(e.Path)), err)
		}
	}
	return d.rehash(ctx, f, i, first, end)
}

// rehash marks the leaves [first, end) of entry that are in f already. They are written again: the sync of the last session may have
// failed, after which they are in memory only and no sync would write them.
func (d *Download) rehash(ctx context.Context, f *os.File, entry, first, end int) error {
	var failed error
	err := d.findLeaves(ctx, f, first, end, func(k int, data []byte) bool {
		d.mu.RLock()
		at, lost := d.spotOf(k), d.lost
		d.mu.RUnlock()
		if failed = writeSparse(f, data, at.offset); failed == nil {
			d.wrote(k, entry, len(data), false, lost)
		}
		return failed == nil
	})
	if err == nil {
		err = fsError("write", f.Name(), failed)
	}
	return err
}

// findLeaves calls found for those of the leaves [first, end) not had yet that are in f,
// until it says no. Holes are skipped where the system shows them.
func (d *Download) findLeaves(ctx context.Context, f *os.File, first, end int, found func(k int, data []byte) bool) error {
	fi, err := f.Stat()
	if err != nil {
		return fsError("look at", f.Name(), err)
	}
	var buf []byte
	holes := chunker.NewHoles(f, fi)
	for k := first; k < end; k++ {
		d.mu.RLock()
		leaf, had := d.x.layout.Leaf(k), d.have.get(k)
		d.mu.RUnlock()
		if had || leaf.Size == 0 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		size := leaf.Size
		if size < 0 {
			if fi.Size() > int64(d.s.cfg.Limits.BlockSize) {
				return nil
			}
			size = int(fi.Size())
		}
		if holes.Covers(leaf.Offset, int64(size)) {
			continue // if it is to be zeros, fillZeros knows
		}
		if cap(buf) < size {
			buf = make([]byte, size)
		}
		n, _ := f.ReadAt(buf[:size], leaf.Offset)
		if n == size && matches(buf[:size], leaf.CID) && !found(k, buf[:size]) {
			return nil
		}
	}
	return nil
}

// matches tells whether data is the block of c.
func matches(data []byte, c cid.Cid) bool {
	digest, ok := digestOf(c)
	sum := sha256.Sum256(data)
	return ok && string(sum[:]) == string(digest)
}
