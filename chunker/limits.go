package chunker

import "math"

// Limits bound what a hostile DAG can cost a Walker in memory and time. A zero
// field means the default. What is expanded (leaves, entries, paths) counts
// every repeat of a subtree, so that a few small blocks cannot grow into a
// billion entries.
type Limits struct {
	Depth     int // inner nodes on the way from the root to a leaf
	Links     int // links in one node
	Nodes     int // distinct inner nodes
	Leaves    int // leaves
	Entries   int // files, directories and symlinks
	PathBytes int // bytes of all entry paths and symlink targets together
	Name      int // bytes in one name
	Target    int // bytes in one symlink target
	BlockSize int // bytes in one block, inner node or leaf
	Pending   int // bytes of nodes that are not yet walked to their end
}

// DefaultLimits admit 4 TiB in chunks of 1 MiB, and a million entries: at
// their worst about 160 MiB of leaves and 250 MiB of entries.
func DefaultLimits() Limits {
	return Limits{
		Depth:     1024,
		Links:     1 << 16,
		Nodes:     1 << 20,
		Leaves:    1 << 22,
		Entries:   1 << 20,
		PathBytes: 128 << 20,
		Name:      maxName,
		Target:    4096,
		BlockSize: MaxBlockSize,
		Pending:   64 << 20,
	}
}

// orDefault fills in the fields left zero.
func (l Limits) orDefault() Limits {
	def := DefaultLimits()
	for _, f := range []struct{ have, def *int }{
		{&l.Depth, &def.Depth},
		{&l.Links, &def.Links},
		{&l.Nodes, &def.Nodes},
		{&l.Leaves, &def.Leaves},
		{&l.Entries, &def.Entries},
		{&l.PathBytes, &def.PathBytes},
		{&l.Name, &def.Name},
		{&l.Target, &def.Target},
		{&l.BlockSize, &def.BlockSize},
		{&l.Pending, &def.Pending},
	} {
		if *f.have <= 0 {
			*f.have = *f.def
		}
		*f.have = min(*f.have, math.MaxInt32) // indices are kept in 32 bits
	}
	return l
}
