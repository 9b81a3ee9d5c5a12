package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"shoal/chunker"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sync/errgroup"
)

// snapshot is what one Checkpoint records: only leaves whose Write had returned.
type snapshot struct {
	segs  map[int][]byte // by segment
	files []int          // entries to sync
	rows  []int          // entries whose inode is new
	none  bool           // nothing changed
}

// Checkpoint syncs the data written so far and then records it, durably. If the sync
// fails, the leaves that depended on it count as not written: the kernel may have
// dropped them. With nothing new it costs nothing.
func (d *Download) Checkpoint(ctx context.Context) error {
	d.save.Lock()
	defer d.save.Unlock()
	if d.over() {
		return nil
	}
	return d.checkpoint(ctx)
}

func (d *Download) checkpoint(ctx context.Context) error {
	d.notice()
	snap := d.snapshot()
	if snap.none {
		return nil
	}
	if err := d.dst.sync(ctx, snap.files, d.relsOf(snap.files)); err != nil {
		d.takeBack(snap)
		return fmt.Errorf("checkpoint %s: %w", d.rec.root, err)
	}
	b := d.s.db.NewBatch()
	for seg, v := range snap.segs {
		_ = b.Set(keyIndex(tagHave, d.id(), seg), v, nil)
	}
	d.mu.Lock()
	for _, i := range snap.rows {
		d.putRow(b, i)
	}
	d.fillCounts(d.rec)
	d.mu.Unlock()
	if err := d.saveRecord(b, true); err != nil {
		d.putBack(snap)
		return fmt.Errorf("checkpoint %s: %w", d.rec.root, err)
	}
	return nil
}

// putRow adds what a resume must know of the file of entry i. How it is cut is written
// by Finish. Called under mu.
func (d *Download) putRow(b *pebble.Batch, i int) {
	e, st := &d.x.layout.Entries()[i], &d.files[i]
	stat := st.stat
	stat.Size, stat.Inode = max(e.Size, 0), st.inode
	r := row{path: d.sel.rel(e.Path), stat: stat, cut: cut{chunk: 1}}
	_ = b.Set(keyFile(tagFile, d.id(), e.First, i), r.encode(), nil)
	st.rowed = true
}

// seal records the stats of files that are written piece by piece and that nobody else touched, and that the session
// ended in order, so that the next start can tell whether somebody else wrote to them since. After a crash it cannot.
func (d *Download) seal() error {
	d.save.Lock()
	defer d.save.Unlock()
	d.place.Lock()
	defer d.place.Unlock()
	if d.over() {
		return nil
	}
	b := d.s.db.NewBatch()
	d.mu.Lock()
	for i, e := range d.x.layout.Entries() {
		if st := &d.files[i]; st.created && e.Leaves > 1 {
			fi, err := d.dst.lstat(d.sel.rel(e.Path))
			if err == nil && chunker.StatOf(fi).Inode == st.inode {
				st.stat = chunker.StatOf(fi)
			}
		}
	}
	d.mu.Unlock()
	d.notice() // last, so that nothing comes between
	d.mu.Lock()
	for i, e := range d.x.layout.Entries() {
		if st := &d.files[i]; st.created && e.Leaves > 1 {
			if st.doubted {
				st.stat = chunker.FileStat{}
			}
			d.putRow(b, i)
		}
	}
	d.rec.sealed = true
	d.mu.Unlock()
	return d.saveRecord(b, true)
}

// putBack leaves what could not be recorded to the next Checkpoint.
func (d *Download) putBack(snap snapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dirtyRec = true
	for seg := range snap.segs {
		d.unsaved[seg] = struct{}{}
	}
	for _, i := range snap.files {
		d.dirty[i] = struct{}{}
	}
	for _, i := range snap.rows {
		d.files[i].rowed = false
	}
}

// snapshot takes what is new and starts afresh.
func (d *Download) snapshot() snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	snap := snapshot{segs: map[int][]byte{}, none: len(d.unsaved)+len(d.dirty) == 0 && !d.dirtyRec}
	for seg := range d.unsaved {
		snap.segs[seg] = d.have.segment(seg)
	}
	for i := range d.dirty {
		snap.files = append(snap.files, i)
		if !d.files[i].rowed {
			snap.rows = append(snap.rows, i)
		}
	}
	d.unsaved, d.dirty, d.dirtyRec = map[int]struct{}{}, map[int]struct{}{}, false
	return snap
}

// takeBack forgets the leaves whose sync failed, and those written meanwhile: the error tells not which data was lost, and
// the next sync would not tell it again.
func (d *Download) takeBack(snap snapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dirtyRec = true
	d.lost++
	for seg := range d.unsaved {
		snap.segs[seg] = nil
	}
	for seg := range snap.segs {
		stored, err := d.s.get(keyIndex(tagHave, d.id(), seg))
		if err != nil {
			stored = make([]byte, segBytes)
		}
		for k := range segLeaves {
			i := seg*segLeaves + k
			if i < d.seen && d.have.get(i) && d.x.layout.LeafSize(i) != 0 && !bitmap(stored).get(k) {
				d.clearHave(i)
			}
		}
		d.unsaved[seg] = struct{}{}
	}
}

// relsOf is where entries are below the result.
func (d *Download) relsOf(entries []int) []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	rels := make([]string, len(entries))
	for k, i := range entries {
		rels[k] = d.sel.rel(d.x.layout.Entries()[i].Path)
	}
	return rels
}

// sync writes the data of files to the disk.
func (t *dest) sync(ctx context.Context, entries []int, rels []string) error {
	if len(rels) == 0 {
		return nil
	}
	if len(rels) > syncFewFiles {
		return fsError("sync", t.dir, t.syncDisk())
	}
	g, _ := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for k, rel := range rels {
		g.Go(func() error {
			// An error of writing back is told once for each descriptor that was open then.
			if h := t.files.peek(entries[k]); h != nil {
				defer t.files.release(h)
				return fsError("sync", t.path(rel), syncData(h.v))
			}
			f, err := t.openSync(rel)
			if errors.Is(err, fs.ErrNotExist) {
				return nil // someone deleted it; Finish finds out
			}
			if err == nil {
				err = errors.Join(syncData(f), f.Close())
			}
			return fsError("sync", t.path(rel), err)
		})
	}
	return g.Wait()
}

// syncDisk writes all data of the file system to the disk. Its descriptor is older than all writes: a failed write back is told
// once for each that was open then.
func (t *dest) syncDisk() error {
	t.diskMu.Lock()
	defer t.diskMu.Unlock()
	if t.disk == nil {
		f, err := t.openParent()
		if err != nil {
			return err
		}
		t.disk = f
	}
	return syncFS(t.disk)
}

// openSync opens rel as a sync needs it: Windows wants write access for that.
func (t *dest) openSync(rel string) (*os.File, error) {
	if runtime.GOOS == "windows" {
		f, _, err := t.openFile(rel, false)
		return f, err
	}
	return t.readFile(rel)
}

// syncParent makes what happened to names in the parent directory durable.
func (t *dest) syncParent() error {
	f, err := t.openParent()
	if err == nil {
		err = errors.Join(syncDir(f), f.Close())
	}
	return fsError("sync", t.dir, err)
}
