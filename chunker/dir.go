package chunker

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// maxTreeDepth bounds how deep directories nest; deeper ones are left out.
const maxTreeDepth = 256

// maxName is the longest name in bytes, that of the common file systems.
const maxName = 255

// dirNode is a directory whose children are still being made.
type dirNode struct {
	parent  *dirNode
	slot    int    // index in parent.kids
	rel     string // path below the root; "" is the root
	abs     string // path to open
	depth   int
	f       *os.File // open while there is work in it, so that nobody can put a symlink in its place; nil if lone
	attrs   attrs
	ignore  Ignore       // rules that hold in it
	kids    []child      // sorted by name; whoever makes a child writes its slot
	gone    []bool       // children left out; written like kids
	lone    bool         // stands for the missing directory around a lone file
	pending atomic.Int64 // children not made yet, and the scan itself
}

// path gives the relative and absolute path of child i.
func (d *dirNode) path(i int) (rel, abs string) {
	if d.lone {
		return "", d.abs
	}
	name := d.kids[i].name
	return joinRel(d.rel, name), d.abs + string(filepath.Separator) + name
}

func joinRel(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// scanRoot walks the tree. Files go to the workers; a directory is made by
// whoever finishes its last child.
func (b *builder) scanRoot(ctx context.Context) {
	d := &dirNode{abs: b.root}
	if err := b.scan(ctx, d); err != nil {
		b.cancel(err)
	}
}

// scan reads one directory and passes on its children. An error means that the
// directory could not be read and nothing was passed on.
func (b *builder) scan(ctx context.Context, d *dirNode) error {
	if d.depth > maxTreeDepth {
		return fmt.Errorf("%w: directories nest deeper than %d", ErrLimit, maxTreeDepth)
	}
	entries, err := b.list(d)
	if err != nil {
		b.closeDir(d)
		return err
	}
	d.kids = make([]child, len(entries))
	d.gone = make([]bool, len(entries))
	d.pending.Store(int64(len(entries)) + 1)
	for i, e := range entries {
		d.kids[i].name = e.Name()
	}
	for i, e := range entries {
		if ctx.Err() != nil {
			return nil
		}
		b.scanEntry(ctx, d, i, e)
	}
	b.release(d)
	return nil
}

// openDir opens d in the directory above it, which is open.
func (b *builder) openDir(d *dirNode) (*os.File, error) {
	var up *os.File
	var name string
	if d.parent != nil {
		up, name = d.parent.f, d.parent.kids[d.slot].name
	}
	f, err := openDir(up, name, d.abs)
	if err != nil {
		return nil, err
	}
	d.f = f
	b.treeMu.Lock()
	defer b.treeMu.Unlock()
	b.open[f] = struct{}{}
	return f, nil
}

// closeDir closes d if it is open.
func (b *builder) closeDir(d *dirNode) {
	if d.f == nil {
		return
	}
	d.f.Close() // only read from
	b.treeMu.Lock()
	defer b.treeMu.Unlock()
	delete(b.open, d.f)
	d.f = nil
}

// list reads the entries of d that belong in the tree, sorted by name.
func (b *builder) list(d *dirNode) ([]fs.DirEntry, error) {
	f, err := b.openDir(d)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	for _, not := range b.exclude {
		if os.SameFile(fi, not) {
			return nil, fmt.Errorf("%w: %s", ErrExcluded, d.abs)
		}
	}
	if b.cfg.Preserve {
		d.attrs = attrsOf(fi)
	}
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	if b.cfg.Refuse != nil {
		if err := b.cfg.Refuse(d.abs, entries); err != nil {
			return nil, err
		}
	}
	if entries, err = b.chosen(d, entries); err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(x, y fs.DirEntry) int { return strings.Compare(x.Name(), y.Name()) })
	return entries, nil
}

// chosen are the entries of d that the user did not leave out.
func (b *builder) chosen(d *dirNode, entries []fs.DirEntry) ([]fs.DirEntry, error) {
	file := slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == IgnoreFile })
	if err := b.readIgnore(d, file); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		rel := joinRel(d.rel, e.Name())
		out := b.cfg.NoHidden && strings.HasPrefix(e.Name(), ".") || b.cfg.Ignore.leavesOut(rel, e.IsDir()) || d.ignore.leavesOut(rel, e.IsDir())
		if out && e.Name() == IgnoreFile {
			b.tree.Ignored = append(b.tree.Ignored, rel)
		}
		return out
	}), nil
}

// scanEntry passes on child i of d: a file to the workers, the rest is done here.
func (b *builder) scanEntry(ctx context.Context, d *dirNode, i int, e fs.DirEntry) {
	err := checkNewName(e.Name())
	if err == nil {
		switch mode := e.Type(); {
		case mode.IsRegular():
			select {
			case b.jobs <- job{d, i}:
			case <-ctx.Done():
			}
			return
		case mode.IsDir():
			rel, abs := d.path(i)
			err = b.scan(ctx, &dirNode{parent: d, slot: i, rel: rel, abs: abs, depth: d.depth + 1})
			if err == nil {
				return
			}
		case mode&fs.ModeSymlink != 0:
			if err = b.symlink(d, i, e); err == nil {
				b.release(d)
				return
			}
			if ctx.Err() != nil { // the node could not be stored
				return
			}
		default:
			err = fmt.Errorf("%w: %s", ErrNotFile, mode)
		}
	}
	if passing(err) {
		b.cancel(err)
		return
	}
	b.leaveOut(d, i, err)
}

// leaveOut gives up on child i of d.
func (b *builder) leaveOut(d *dirNode, i int, err error) {
	rel, _ := d.path(i)
	b.skip(rel, err)
	d.gone[i] = true
	b.release(d)
}

// checkNewName refuses names that no Walker would accept back.
func checkNewName(name string) error {
	if !utf8.ValidString(name) {
		return fmt.Errorf("%w: name %q is not UTF-8", ErrUnsupported, name)
	}
	if len(name) > maxName {
		return fmt.Errorf("%w: name of %d bytes", ErrLimit, len(name))
	}
	return nil
}

// symlink makes the node of a symlink, which is never followed.
func (b *builder) symlink(d *dirNode, i int, e fs.DirEntry) error {
	_, abs := d.path(i)
	target, err := readLink(d.f, e.Name(), abs)
	if err != nil {
		return err
	}
	var a attrs
	if b.cfg.Preserve {
		fi, err := LstatPath(abs)
		if err != nil {
			return err
		}
		a = attrsOf(fi)
	}
	block := encodeNode(nil, symlinkData(target, a))
	c := seal(nil, block)
	if err := b.store(c, block); err != nil {
		return err
	}
	c.name = d.kids[i].name
	d.kids[i] = c
	return nil
}

// release counts a child of d as done. The last one makes the directory, and so
// up to the root.
func (b *builder) release(d *dirNode) {
	for d.pending.Add(-1) == 0 {
		c, err := b.makeDir(d)
		if err != nil {
			b.cancel(err)
			return
		}
		if d.parent == nil {
			b.finish(c)
			return
		}
		c.name = d.parent.kids[d.slot].name
		d.parent.kids[d.slot] = c
		d = d.parent
	}
}

// makeDir writes the block of d, or its shards when that would be too large.
func (b *builder) makeDir(d *dirNode) (child, error) {
	b.closeDir(d)
	kids := make([]child, 0, len(d.kids))
	data := dirData(d.attrs)
	size := bytesField(len(data))
	for i := range d.kids {
		if !d.gone[i] {
			kids = append(kids, d.kids[i])
			size += linkSize(&d.kids[i])
		}
	}
	d.kids, d.gone = nil, nil
	if size > b.cfg.Profile.HAMTThreshold {
		return buildHAMT(kids, b.cfg.Profile.HAMTFanout, d.attrs, b.store)
	}
	block := encodeNode(kids, data)
	c := seal(kids, block)
	return c, b.store(c, block)
}
