package chunker

import (
	"fmt"
	"io/fs"
	"time"
)

// role is what a node must be in the place it was linked from.
type role uint8

const (
	roleEntry role = iota // root of a file, directory or symlink
	rolePart              // part of a file
	roleShard             // part of a HAMT directory
)

// want is an inner node to be fetched, and its place.
type want struct {
	digest digest
	v0     bool
	role   role
	path   string // roleEntry: of the entry; roleShard: of the directory
	size   uint64 // rolePart: content bytes the parent claims
	fanout int    // roleShard: of the parent
	used   int    // roleShard: hash bits consumed above
	prefix uint64 // roleShard: these bits, at the top
}

// frame is a node whose links are being walked.
type frame struct {
	*node
	want
	next       int // link to walk next
	entry      int // of a node in roleEntry
	firstLeaf  int
	firstEntry int
	height     int // of the subtree below, as walked so far
	kind       Kind
}

// memo is the part of the Layout that a walked node stands for.
type memo struct {
	firstLeaf  int32
	leaves     int32
	firstEntry int32
	entries    int32
	base       int32 // bytes of the path that its entries' paths start with
	height     int32
	role       role
	kind       Kind
	used       uint8
	fanout     int16
	prefix     uint64
	size       int64
	attrs      attrs
}

// open takes in a wanted node that has arrived.
func (w *Walker) open(n *node) error {
	if len(w.stack) >= w.lim.Depth {
		return fmt.Errorf("%w: deeper than %d nodes", ErrLimit, w.lim.Depth)
	}
	if w.cost += n.cost(); w.cost > w.lim.Pending {
		return fmt.Errorf("%w: more than %d bytes of unfinished nodes", ErrLimit, w.lim.Pending)
	}
	f := frame{node: n, want: w.want, firstLeaf: w.l.leaves.n, firstEntry: len(w.l.entries)}
	if err := f.fit(w.lim); err != nil {
		return err
	}
	if f.role == roleEntry {
		f.entry = len(w.l.entries)
		if err := w.entry(f.path, f.kind, string(n.target), n.attrs); err != nil {
			return err
		}
	}
	w.stack = append(w.stack, f)
	return nil
}

// fit checks that the node suits the place it was linked from, and its links.
func (f *frame) fit(lim Limits) error {
	f.kind = File
	switch f.typ {
	case typeDirectory, typeHAMTShard:
		f.kind = Dir
	case typeSymlink:
		f.kind = Symlink
	}
	switch {
	case f.role == rolePart && f.kind != File:
		return fmt.Errorf("%w: %s inside a file", ErrMalformed, f.kind)
	case f.role == rolePart && f.node.size != f.want.size:
		return fmt.Errorf("%w: %d bytes of content where its parent says %d", ErrMalformed, f.node.size, f.want.size)
	case f.role == roleShard && (f.typ != typeHAMTShard || f.node.fanout != f.want.fanout):
		return fmt.Errorf("%w: not a HAMT shard like its parent", ErrMalformed)
	}
	switch f.typ {
	case typeDirectory:
		return f.checkNames(lim)
	case typeHAMTShard:
		return f.checkSlots(lim)
	}
	return nil
}

// entry appends an entry. Its leaves are counted later.
func (w *Walker) entry(path string, kind Kind, target string, a attrs) error {
	if len(w.l.entries) >= w.lim.Entries {
		return fmt.Errorf("%w: more than %d entries", ErrLimit, w.lim.Entries)
	}
	if w.paths += len(path) + len(target); w.paths > w.lim.PathBytes {
		return fmt.Errorf("%w: more than %d bytes of paths", ErrLimit, w.lim.PathBytes)
	}
	e := Entry{Path: path, Kind: kind, Target: target, First: w.l.leaves.n}
	if a.hasMode {
		e.Mode, e.HasMode = fs.FileMode(a.mode)&fs.ModePerm, true
	}
	if a.hasTime {
		e.ModTime = time.Unix(a.sec, int64(a.nsec)).UTC()
	}
	w.l.entries = append(w.l.entries, e)
	w.l.after = append(w.l.after, int32(len(w.l.entries)))
	return nil
}

// leaf appends a leaf of size bytes.
func (w *Walker) leaf(d digest, size uint64) error {
	if size > uint64(w.lim.BlockSize) {
		return fmt.Errorf("%w: leaf of %d bytes", ErrLimit, size)
	}
	if w.l.leaves.n >= w.lim.Leaves {
		return fmt.Errorf("%w: more than %d leaves", ErrLimit, w.lim.Leaves)
	}
	w.l.leaves.add(d, int64(size))
	return nil
}

// close ends the topmost frame: all its links are walked.
func (w *Walker) close() {
	f := &w.stack[len(w.stack)-1]
	w.settle(f)
	m := memo{
		firstLeaf:  int32(f.firstLeaf),
		leaves:     int32(w.l.leaves.n - f.firstLeaf),
		firstEntry: int32(f.firstEntry),
		entries:    int32(len(w.l.entries) - f.firstEntry),
		base:       int32(len(f.path)),
		height:     int32(f.height),
		role:       f.role,
		kind:       f.kind,
		used:       uint8(f.used),
		fanout:     int16(f.node.fanout),
		prefix:     f.prefix,
		size:       w.l.leaves.start(w.l.leaves.n) - w.l.leaves.start(f.firstLeaf),
		attrs:      f.attrs,
	}
	w.done[f.want.digest] = m
	w.cost -= f.cost()
	w.stack[len(w.stack)-1] = frame{}
	w.stack = w.stack[:len(w.stack)-1]
	if len(w.stack) > 0 {
		w.stack[len(w.stack)-1].saw(int(m.height) + 1)
	}
}

// saw notes that a subtree of the given height hangs below.
func (f *frame) saw(height int) { f.height = max(f.height, height) }

// settle writes what is known of an open entry into the Layout.
func (w *Walker) settle(f *frame) {
	if f.role != roleEntry {
		return
	}
	e := &w.l.entries[f.entry]
	e.Leaves = w.l.leaves.n - f.firstLeaf
	switch {
	case e.Kind == File:
		e.Size = int64(f.node.size)
	default:
		e.Size = w.l.leaves.start(w.l.leaves.n) - w.l.leaves.start(f.firstLeaf)
	}
	w.l.after[f.entry] = int32(len(w.l.entries))
}

// refresh settles all open entries, so that a Layout can be used while it grows.
func (w *Walker) refresh() {
	for i := range w.stack {
		w.settle(&w.stack[i])
	}
}
