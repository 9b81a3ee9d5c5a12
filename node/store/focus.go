package store

import (
	"context"
	"errors"
	"path/filepath"
	"slices"

	"shoal/chunker"
)

// This file is what a Target does that asks for less than an unfinished download of its root is for: only that is fetched, and what
// has come beyond it stays in the .part, so that the download goes on from there when more is asked for.

// focused tells whether a download for selects is for all of asked, and more.
func focused(selects, asked []string) bool {
	if len(asked) == 0 {
		return false
	}
	for _, s := range asked {
		if len(selects) > 0 && !slices.ContainsFunc(selects, func(t string) bool { return within(s, t) }) {
			return false
		}
	}
	return !slices.Equal(selects, asked)
}

// fetches tells whether leaves of an entry are fetched by this Download. Called under mu.
func (d *Download) fetches(entry int) bool { return d.focus == nil || d.focus.want[entry] }

// missingBytes counts what is still to come, before local copies. Called under mu.
func (d *Download) missingBytes() (missing int64) {
	if d.focus == nil {
		return d.wantBytes - d.haveBytes
	}
	for i := range d.seen {
		if entry, _, size := d.x.layout.Place(i); d.sel.want[entry] && d.focus.want[entry] && !d.have.get(i) {
			missing += int64(max(size, 0))
		}
	}
	return missing
}

// PartOf tells whether all that selects name is in the unfinished download as it is to be, and durable, and describes it there: Path is
// that of the .part. ErrNoMatch.
func (d *Download) PartOf(ctx context.Context, selects []string) (sh Share, whole bool, err error) {
	d.save.Lock()
	defer d.save.Unlock()
	d.mu.RLock()
	sh, part, err := d.partOf(cleanSelects(selects))
	d.mu.RUnlock()
	if part == nil || err != nil {
		return Share{}, false, err
	}
	err = d.finishPart(ctx, part)
	if errors.Is(err, ErrIncomplete) { // another program touched it: Finish tells, or it is fetched again
		return Share{}, false, nil
	}
	return sh, err == nil, d.dirGone(err)
}

// finishPart does for a part what Finish does for the whole: it adds what has no content, restores modes and times, looks at what
// another program may have touched, and syncs. What is at the destination already is left alone.
func (d *Download) finishPart(ctx context.Context, part *selection) error {
	entries := d.x.layout.Entries()
	wants := func(i int) bool {
		if _, kept := d.keptAt(i); kept || !part.want[i] || !d.sel.want[i] {
			return false
		}
		if d.there == nil || entries[i].Kind == chunker.File {
			return true
		}
		same, err := d.there.looksLike(d.sel.rel(entries[i].Path), entries[i])
		return !same || err != nil
	}
	stats, err := d.dress(ctx, wants)
	if err == nil {
		err = d.vouch(ctx, stats)
	}
	if err != nil {
		return err
	}
	d.mu.Lock()
	for i := range stats {
		d.files[i].rowed = false
		d.dirty[i] = struct{}{}
	}
	d.mu.Unlock()
	if err := d.checkpoint(ctx); err != nil {
		return err
	}
	if err := d.dressDirs(d.dst, wants); err != nil {
		return err
	}
	d.dst.dirs.shrink() // their modes may shut them to what is open
	return d.dst.syncAll(len(entries))
}

// partOf is called under mu.
func (d *Download) partOf(selects []string) (Share, *selection, error) {
	l := d.x.layout
	if d.stage != running || !l.Complete() || len(selects) == 0 {
		return Share{}, nil, nil
	}
	part := newSelection(d.rec.sub, selects)
	part.follow(l.Entries())
	if err := part.unmatched(l.Entries()); err != nil || !d.settled || d.wantN == d.haveN {
		return Share{}, nil, err
	}
	sh := Share{Root: d.rec.root, Name: d.rec.title(), Part: true, Path: filepath.Join(d.rec.dir, d.rec.part), Dir: d.rec.tree, State: Paused, Select: selects}
	for i, e := range l.Entries() {
		if e.Kind != chunker.File || !part.want[i] || !d.sel.want[i] {
			continue
		}
		for k := e.First; k < e.First+e.Leaves; k++ {
			if !d.have.get(k) {
				return Share{}, nil, nil
			}
			sh.HaveBytes += int64(d.sizeOf(k))
		}
		sh.Files++
		sh.Leaves += e.Leaves
	}
	sh.Size, sh.Have = sh.HaveBytes, sh.Leaves
	return sh, part, nil
}

// Asked is the result of a fetch as who asked for selects sees it: without what was left out of the rest.
func (sh Share) Asked(selects []string) Share {
	selects = cleanSelects(selects)
	if len(selects) == 0 || sh.LeftN > len(sh.Left) {
		return sh
	}
	sh.Left, sh.Replaceable = slices.Clone(sh.Left), 0
	sh.Left = slices.DeleteFunc(sh.Left, func(r Refusal) bool {
		left := cleanSub(sh.Sub + "/" + r.Path)
		asked := slices.ContainsFunc(selects, func(s string) bool { return within(s, left) || within(left, s) })
		if asked && r.Replaceable {
			sh.Replaceable++
		}
		return !asked
	})
	sh.LeftN = len(sh.Left)
	return sh
}

// EndPart ends a Download that was to bring a part of an unfinished one only, and has: the rest stays as by Pause. false: it was to
// bring all, or has.
func (d *Download) EndPart(ctx context.Context) (sh Share, part bool, err error) {
	if d.focus == nil {
		return Share{}, false, nil
	}
	if sh, part, err = d.PartOf(ctx, d.asked); part && err == nil {
		err = d.Pause()
	}
	return sh, part, err
}
