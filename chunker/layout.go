package chunker

import (
	"io/fs"
	"sort"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
)

// Kind tells what an Entry is.
type Kind uint8

// The kinds of Entry.
const (
	File Kind = iota
	Dir
	Symlink
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case File:
		return "file"
	case Dir:
		return "dir"
	case Symlink:
		return "symlink"
	}
	return "unknown"
}

// Entry is a file, directory or symlink of a walked DAG. First and Leaves give its
// run of the leaf sequence; Leaves and the Size of a Dir cover its whole subtree
// and grow until that has been walked.
type Entry struct {
	Path    string // slash separated, relative to the root; "" is the root itself
	Kind    Kind
	Size    int64       // bytes of content; -1: unknown, a lone raw root
	Target  string      // of a Symlink, as written: anything but empty or with NUL
	First   int         // first leaf index
	Leaves  int         // leaves, repeats included
	Mode    fs.FileMode // permission bits only
	HasMode bool
	ModTime time.Time // zero: not recorded
}

// Leaf is one raw block of file data and its place.
type Leaf struct {
	CID    cid.Cid
	Entry  int   // index in Entries
	Offset int64 // bytes from the start of that file
	Size   int   // bytes; -1: unknown, a lone raw root
}

// Layout is the leaf sequence and the entries of a root, as far as walked. It only
// grows. A leaf costs 32 bytes; next to nothing where thousands in a row are the same,
// as in a sparse file.
type Layout struct {
	root     cid.Cid
	complete bool
	lone     bool // a raw root: its size is not written anywhere
	leaves   leafList
	entries  []Entry
	after    []int32 // by entry: index of the first entry behind its subtree
}

// Root is the CID the walk started from.
func (l *Layout) Root() cid.Cid { return l.root }

// Complete tells whether every inner node has been walked.
func (l *Layout) Complete() bool { return l.complete }

// Leaves counts the leaves known so far, repeats included.
func (l *Layout) Leaves() int { return l.leaves.n }

// Size is the bytes of content behind the leaves known so far; -1 for a lone raw
// root, whose size shows only when the block arrives.
func (l *Layout) Size() int64 {
	if l.lone {
		return -1
	}
	return l.leaves.start(l.leaves.n)
}

// Leaf returns leaf i of the sequence; i must be in [0, Leaves()).
func (l *Layout) Leaf(i int) Leaf {
	entry, offset, size := l.Place(i)
	return Leaf{CID: makeCID(cid.Raw, l.leaves.digest(i)), Entry: entry, Offset: offset, Size: size}
}

// Place is Leaf without the CID, which costs an allocation.
func (l *Layout) Place(i int) (entry int, offset int64, size int) {
	entry = l.entryOf(i)
	return entry, l.leaves.start(i) - l.leaves.start(l.entries[entry].First), l.LeafSize(i)
}

// Digest is the SHA2-256 sum of leaf i, which is what its CID holds.
func (l *Layout) Digest(i int) [32]byte { return l.leaves.digest(i) }

// LeafSize is the size of leaf i in bytes; -1: unknown, a lone raw root.
func (l *Layout) LeafSize(i int) int {
	if l.lone {
		return -1
	}
	return int(l.leaves.start(i+1) - l.leaves.start(i))
}

// entryOf finds the file that leaf i belongs to. In pre-order that is the last
// entry that starts at or before it: directories and empty entries that start at
// the same leaf come first.
func (l *Layout) entryOf(i int) int {
	return sort.Search(len(l.entries), func(k int) bool { return l.entries[k].First > i }) - 1
}

// Entries lists the entries in pre-order. The slice is the Layout's own; a later
// Add of the Walker may move it.
func (l *Layout) Entries() []Entry { return l.entries }

// Find returns the entry at path, as in Entry.Path.
func (l *Layout) Find(path string) (Entry, bool) {
	for i, end := 0, len(l.entries); i < end; {
		e := &l.entries[i]
		switch {
		case e.Path == path:
			return *e, true
		case e.Path == "" || strings.HasPrefix(path, e.Path) && path[len(e.Path)] == '/':
			end = int(l.after[i])
			i++
		default:
			i = int(l.after[i])
		}
	}
	return Entry{}, false
}
