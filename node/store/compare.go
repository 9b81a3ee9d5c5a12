package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"shoal/chunker"

	"golang.org/x/sync/errgroup"
)

// comparison is one look at a destination that exists.
type comparison struct {
	d        *Download
	t        *dest // nil: nothing is there
	progress func(int64)
	trusted  map[int]chunker.FileStat // by entry: right as long as the stat is this
	verdicts []verdict

	mu     sync.Mutex // guards all below, and calls of progress
	bytes  int64
	hashed []verdict
	good   map[int]bitmap // by entry that is replaced: leaves that are right where they are

	shut map[string]string // by directory of the destination: why nothing can be put there, "" if it can; the walk alone uses it
}

// verdict is on an entry of which something is at the destination: it is kept, replaced, or
// left out with all below it.
type verdict struct {
	entry   int
	kept    bool
	stat    chunker.FileStat // if kept
	refusal *Refusal
	below   []int // if left out: the wanted entries
}

// run looks at every wanted entry, and hashes the files that may be right.
func (c *comparison) run(ctx context.Context, final string) error {
	c.good, c.shut = map[int]bitmap{}, map[string]string{}
	if err := c.trust(filepath.Join(c.d.dst.dir, final)); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	err := c.walk(gctx, g)
	if err := errors.Join(g.Wait(), err); err != nil {
		return err
	}
	c.verdicts = append(c.verdicts, c.hashed...)
	for i, v := range c.verdicts {
		if !v.kept && v.refusal == nil {
			c.verdicts[i] = c.replaces(v)
		}
	}
	c.verdicts = slices.DeleteFunc(c.verdicts, func(v verdict) bool { return v.refusal != nil && len(v.below) == 0 })
	slices.SortFunc(c.verdicts, func(a, b verdict) int { return a.entry - b.entry })
	return ctx.Err()
}

// trust collects the files that a share of this root has at the destination, and those that
// were found to be right before.
func (c *comparison) trust(final string) error {
	c.d.mu.RLock()
	c.trusted = make(map[int]chunker.FileStat, len(c.d.kept))
	for i, st := range c.d.kept {
		c.trusted[i] = st
	}
	c.d.mu.RUnlock()
	rec, err := c.d.s.placeOf(c.d.rec.root, final)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	bits, err := c.d.s.served(rec)
	if err != nil {
		return err
	}
	entries := c.d.x.layout.Entries()
	return c.d.s.rows(rec.id, func(r *row) error {
		if r.entry >= len(entries) || !within(entries[r.entry].Path, c.d.sel.sub) {
			return nil
		}
		if rec.absPath(r) != filepath.Join(final, filepath.FromSlash(c.d.sel.rel(entries[r.entry].Path))) {
			return nil
		}
		for k := range r.cut.leaves {
			if bits != nil && !bits.get(r.leaf+k) {
				return nil
			}
		}
		c.trusted[r.entry] = r.stat
		return nil
	})
}

// walk goes through the entries, directories before what is in them. Below one that is not
// there nothing is looked at.
func (c *comparison) walk(ctx context.Context, g *errgroup.Group) error {
	entries := c.d.x.layout.Entries()
	skip, blocked := "", -1
	for i := range entries {
		e := &entries[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		if !within(e.Path, c.d.sel.sub) || e.Path == c.d.sel.sub && e.Kind == chunker.Dir {
			continue
		}
		if skip != "" && within(e.Path, skip) {
			if blocked >= 0 && c.d.sel.want[i] {
				c.verdicts[blocked].below = append(c.verdicts[blocked].below, i)
			}
			continue
		}
		if e.Kind != chunker.Dir && !c.d.sel.want[i] {
			continue
		}
		fi, err := c.t.lstat(c.d.sel.rel(e.Path))
		if e.Kind == chunker.Dir && (err != nil || !fi.IsDir()) {
			skip, blocked = e.Path, -1
		}
		if errors.Is(err, fs.ErrNotExist) {
			if why := c.shutAbove(e); why != "" {
				if e.Kind == chunker.Dir {
					blocked = len(c.verdicts)
				}
				c.verdicts = append(c.verdicts, *c.left(i, Refusal{Why: whyShut + why}))
			}
			continue
		}
		v := c.look(i, e, fi, err)
		if v == nil {
			if err := c.hash(ctx, g, i, e); err != nil {
				return err
			}
			continue
		}
		if e.Kind == chunker.Dir && v.refusal != nil {
			skip, blocked = e.Path, len(c.verdicts)
		}
		c.verdicts = append(c.verdicts, *v)
	}
	return nil
}

// shutAbove says why no name can be put into, or replaced in, the directory of e at the destination; "" where it can.
func (c *comparison) shutAbove(e *chunker.Entry) string {
	rel := c.d.sel.rel(e.Path)
	if rel == "" || !c.t.tree {
		return ""
	}
	above, _ := splitRel(rel)
	why, known := c.shut[above]
	if !known {
		if err := mayChange(c.t.path(above)); isRefusal(err) {
			why = bare(err)
		}
		c.shut[above] = why
	}
	return why
}

// replaces is v, by which something is replaced, or the verdict that it cannot be.
func (c *comparison) replaces(v verdict) verdict {
	e := &c.d.x.layout.Entries()[v.entry]
	if !c.t.tree {
		return v // its error names the file
	}
	why := c.shutAbove(e)
	if why == "" && isLocked(c.t.path(c.d.sel.rel(e.Path))) {
		why = "it is immutable"
	}
	if why == "" {
		return v
	}
	delete(c.good, v.entry)
	return *c.left(v.entry, Refusal{Why: whyShut + why})
}

// look decides by what a stat tells; nil: the content must be looked at.
func (c *comparison) look(i int, e *chunker.Entry, fi fs.FileInfo, err error) *verdict {
	if err != nil {
		return c.left(i, Refusal{Why: "cannot be looked at: " + bare(err)})
	}
	mode := fi.Mode()
	switch link := mode&fs.ModeSymlink != 0; {
	case e.Kind == chunker.Dir && link:
		return c.left(i, Refusal{Why: whyLink})
	case e.Kind == chunker.Dir && !mode.IsDir():
		return c.left(i, Refusal{Why: whyNoDir})
	case e.Kind == chunker.Dir && IsHome(c.t.path(c.d.sel.rel(e.Path))):
		return c.left(i, Refusal{Why: whyHome})
	case e.Kind == chunker.Dir:
		return &verdict{entry: i, kept: true}
	case mode.IsDir():
		return c.left(i, Refusal{Why: whyDir})
	case !link && !mode.IsRegular():
		return c.left(i, Refusal{Why: whySpecial})
	case link && e.Kind == chunker.File:
		return c.left(i, Refusal{Why: whyLink, Replaceable: true})
	case e.Kind == chunker.Symlink:
		if same, err := c.t.looksLike(c.d.sel.rel(e.Path), *e); same && err == nil {
			return &verdict{entry: i, kept: true}
		}
		return c.left(i, Refusal{Why: whyDiffers, Replaceable: true})
	}
	is := chunker.StatOf(fi)
	if was, ok := c.trusted[i]; ok && was == is && is.Proves(was) {
		return &verdict{entry: i, kept: true, stat: is}
	}
	if fits := e.Size < 0 && is.Size <= int64(c.d.s.cfg.Limits.BlockSize) || is.Size == e.Size; !fits && !c.d.rec.force {
		return c.left(i, Refusal{Why: whyDiffers, Replaceable: true})
	}
	return nil
}

// left is the verdict on what is not as the share has it.
func (c *comparison) left(i int, r Refusal) *verdict {
	if r.Replaceable && c.d.rec.force {
		return &verdict{entry: i}
	}
	e := &c.d.x.layout.Entries()[i]
	r.Path = c.d.sel.rel(e.Path)
	v := &verdict{entry: i, refusal: &r}
	if c.d.sel.want[i] {
		v.below = []int{i}
	}
	return v
}

// candidate is a file of the destination that is being hashed, in runs of leaves.
type candidate struct {
	c     *comparison
	entry int
	e     *chunker.Entry
	f     *os.File
	fi    fs.FileInfo
	good  bitmap
	runs  atomic.Int32 // still to be done
	wrong atomic.Bool
}

// hash has the file of entry i hashed. Large ones are hashed by several goroutines.
func (c *comparison) hash(ctx context.Context, g *errgroup.Group, i int, e *chunker.Entry) error {
	f, err := c.t.readFile(c.d.sel.rel(e.Path))
	var fi fs.FileInfo
	if err == nil {
		if fi, err = f.Stat(); err != nil {
			f.Close()
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // this very moment
	case err != nil && isTransient(err):
		return fsError("open", c.t.path(c.d.sel.rel(e.Path)), err)
	case err != nil:
		c.verdicts = append(c.verdicts, *c.left(i, Refusal{Why: "cannot be read: " + bare(err), Replaceable: true}))
		return nil
	}
	k := &candidate{c: c, entry: i, e: e, f: f, fi: fi, good: newBitmap(e.Leaves)}
	k.runs.Store(int32(max(1, (e.Leaves+hashRun-1)/hashRun)))
	for first := 0; first == 0 || first < e.Leaves; first += hashRun {
		g.Go(func() error {
			err := k.hash(ctx, first, min(first+hashRun, e.Leaves))
			if k.runs.Add(-1) == 0 {
				k.done()
			}
			return err
		})
	}
	return nil
}

// hash looks at the leaves [first, end) of the file.
func (k *candidate) hash(ctx context.Context, first, end int) error {
	d, l := k.c.d, k.c.d.x.layout
	var buf []byte
	holes := chunker.NewHoles(k.f, k.fi)
	for n := first; n < end && (!k.wrong.Load() || d.rec.force); n++ {
		if err := ctx.Err(); err != nil {
			k.wrong.Store(true)
			return err
		}
		leaf := k.e.First + n
		_, offset, size := l.Place(leaf)
		if size < 0 {
			size = int(k.fi.Size())
		}
		if holes.Covers(offset, int64(size)) && d.s.isZero(l, leaf) {
			k.good.set(n)
			k.c.count(size)
			continue
		}
		if cap(buf) < size {
			buf = make([]byte, size)
		}
		if got, _ := k.f.ReadAt(buf[:size], offset); got == size && sha256.Sum256(buf[:size]) == l.Digest(leaf) {
			k.good.set(n)
		} else {
			k.wrong.Store(true)
		}
		k.c.count(size)
	}
	return nil
}

// count tells how far the hashing is.
func (c *comparison) count(bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += int64(bytes)
	if c.progress != nil {
		c.progress(c.bytes)
	}
}

// done gives the verdict once all is hashed, if nobody wrote to the file meanwhile.
func (k *candidate) done() {
	defer k.f.Close() // only read from
	c, was := k.c, chunker.StatOf(k.fi)
	fi, err := k.f.Stat()
	still := err == nil && chunker.StatOf(fi) == was
	v := verdict{entry: k.entry, kept: true, stat: was}
	if k.wrong.Load() || !still || k.e.Size >= 0 && was.Size != k.e.Size {
		why := whyDiffers
		if !still {
			why = "is being written to"
		}
		v = *c.left(k.entry, Refusal{Why: why, Replaceable: true})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hashed = append(c.hashed, v)
	if !v.kept && v.refusal == nil && still {
		c.good[k.entry] = k.good
	}
}

// copyGood copies what is right in files that are replaced, so that only the rest is fetched.
func (c *comparison) copyGood(ctx context.Context) error {
	for i, good := range c.good {
		if err := c.copyFrom(ctx, i, good); err != nil {
			return err
		}
	}
	c.good = nil
	return nil
}

func (c *comparison) copyFrom(ctx context.Context, i int, good bitmap) error {
	d := c.d
	e := d.x.layout.Entries()[i]
	f, err := c.t.readFile(d.sel.rel(e.Path))
	if err != nil {
		return nil // gone: it is fetched
	}
	defer f.Close() // only read from
	var buf []byte
	for n := range e.Leaves {
		k := e.First + n
		if !good.get(n) || d.Has(k) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		_, offset, size := d.x.layout.Place(k)
		if size < 0 {
			continue // a lone leaf that is right is kept
		}
		if cap(buf) < size {
			buf = make([]byte, size)
		}
		if got, _ := f.ReadAt(buf[:size], offset); got != size || sha256.Sum256(buf[:size]) != d.x.layout.Digest(k) {
			continue
		}
		if err := d.write(k, buf[:size], true); err != nil {
			return err
		}
	}
	return nil
}
