package store

import (
	"context"
	"os"

	"shoal/chunker"
)

// late is what a Download does about a .part whose content is told only by nodes that are not known yet, as when the index
// was lost: as they come, its leaves are looked for, before anybody is asked for them.
type late struct {
	restock    bool     // the .part is ours, and was there before its nodes were known
	restocked  int      // leaves looked for
	candidates []string // names of .part files of nobody here, which may be ours of earlier
	tried      int      // leaves that the candidates were compared with
}

// lateStock looks for the leaves that became known since in a .part that was there before.
func (d *Download) lateStock(ctx context.Context) error {
	if d.dst == nil {
		return nil
	}
	if err := d.lateClaim(ctx); err != nil || !d.restock {
		return err
	}
	d.mu.RLock()
	from, to := d.restocked, d.seen
	d.mu.RUnlock()
	d.restocked = to
	for from < to {
		entry, _, _ := d.x.layout.Place(from)
		e := d.x.layout.Entries()[entry]
		end := min(to, max(from+1, e.First+e.Leaves))
		if e.Kind == chunker.File && d.sel.want[entry] {
			if err := d.lateFile(ctx, entry, e, from, end); err != nil {
				return err
			}
		}
		from = end
	}
	return nil
}

// lateFile looks for the leaves [first, end) of one file.
func (d *Download) lateFile(ctx context.Context, entry int, e chunker.Entry, first, end int) error {
	rel := d.sel.rel(e.Path)
	f, _, err := d.dst.openFile(rel, false)
	if err != nil {
		return ctx.Err() // not there, or not ours: it is fetched
	}
	defer f.Close()
	if err := d.created(entry, f, false, false); err != nil {
		return nil // the file of another entry
	}
	if err := fitSize(f, e.Size); err != nil {
		return fsError("resize", d.dst.path(rel), err)
	}
	return d.rehash(ctx, f, entry, first, end)
}

// lateClaim takes over a .part that has a wanted leaf at its place, as long as nothing is written to another one.
func (d *Download) lateClaim(ctx context.Context) error {
	d.mu.RLock()
	from, to := d.tried, d.seen
	d.mu.RUnlock()
	if len(d.candidates) == 0 || from == to {
		return nil
	}
	d.tried = to
	d.place.Lock() // nobody writes meanwhile
	defer d.place.Unlock()
	d.mu.RLock()
	made := d.rec.made
	d.mu.RUnlock()
	if made {
		d.candidates = nil
		return nil
	}
	for _, name := range d.candidates {
		fi, err := d.dst.parent.Lstat(name)
		if err != nil || fi.IsDir() != d.dst.tree || !d.recognisesIn(ctx, name, from, to) {
			continue
		}
		d.mu.Lock()
		d.rec.part, d.dst.part = name, name
		d.mu.Unlock()
		d.restock, d.restocked, d.candidates = true, 0, nil
		if err := d.noteMade(chunker.StatOf(fi).Inode); err != nil {
			return err
		}
		d.own()
		d.s.cfg.Logger.Info("takes up an unfinished file that was here", "path", d.dst.path(""))
		return nil
	}
	return ctx.Err()
}

// recognisesIn tells whether the .part of that name has one of the wanted leaves [from, to) at its place. It only reads.
func (d *Download) recognisesIn(ctx context.Context, name string, from, to int) bool {
	t := d.dst.beside(name)
	defer t.closeHandles()
	for i, e := range d.x.layout.Entries() {
		first, end := max(e.First, from), min(e.First+e.Leaves, to)
		if e.Kind != chunker.File || !d.sel.want[i] || e.Size == 0 || first >= end {
			continue
		}
		f, err := t.readFile(d.sel.rel(e.Path))
		if err != nil {
			continue
		}
		found := d.hasOne(ctx, f, first, end)
		f.Close()
		if found || ctx.Err() != nil {
			return found
		}
	}
	return false
}

func (d *Download) hasOne(ctx context.Context, f *os.File, first, end int) (found bool) {
	_ = d.findLeaves(ctx, f, first, end, func(int, []byte) bool {
		found = true
		return false
	})
	return found
}
