package chunker

import (
	"crypto/sha256"
	"fmt"

	"github.com/ipfs/go-cid"
)

// Walker turns the inner nodes of a root into a Layout, one at a time as they
// arrive. Every block is checked against the CID that named it, and everything
// it claims against Limits before memory is spent on it.
//
// A node that occurs again is not asked for again: its part of the Layout is
// copied.
type Walker struct {
	lim   Limits
	l     *Layout
	stack []frame
	want  want
	more  bool // want is valid
	done  map[digest]memo
	cost  int   // of the nodes on the stack, in bytes
	paths int   // bytes of paths and targets so far
	err   error // why the walk ended early
}

// NewWalker starts a walk at root. Errors: ErrUnsupported, ErrMalformed.
func NewWalker(root cid.Cid, lim Limits) (*Walker, error) {
	if err := checkCID(root); err != nil {
		return nil, err
	}
	w := &Walker{lim: lim.orDefault(), l: &Layout{root: root}, done: make(map[digest]memo)}
	if root.Type() != cid.Raw {
		w.want = want{digest: digestOf(root), v0: root.Version() == 0, role: roleEntry}
		w.more = true
		return w, nil
	}
	d := digestOf(root)
	w.l.lone = d != sha256.Sum256(nil)
	w.l.complete = true
	w.l.leaves.add(d, 0)
	w.l.entries = []Entry{{Kind: File, Leaves: 1, Size: w.l.Size()}}
	w.l.after = []int32{1}
	return w, nil
}

// Layout is what has been walked so far; always the same pointer.
func (w *Walker) Layout() *Layout { return w.l }

// Next is the inner node wanted next, in pre-order of first occurrence. It stays
// the same until an Add succeeds. False: there is none, the walk is complete or
// has failed.
func (w *Walker) Next() (cid.Cid, bool) {
	if !w.more || w.err != nil {
		return cid.Undef, false
	}
	c := makeCID(cid.DagProtobuf, w.want.digest)
	if w.want.v0 {
		c = cid.NewCidV0(c.Hash())
	}
	return c, true
}

// Add takes the block that Next asked for; it keeps no reference to it. After
// ErrMismatch nothing has changed and another copy of the block may be tried. Any
// other error (ErrMalformed, ErrUnsupported, ErrLimit) condemns the DAG, is
// returned by every later Add, and the Layout must not be used.
func (w *Walker) Add(block []byte) error {
	if w.err != nil {
		return w.err
	}
	if !w.more {
		return fmt.Errorf("%w: no block was wanted", ErrMismatch)
	}
	c, _ := w.Next()
	if len(block) > w.lim.BlockSize || sha256.Sum256(block) != w.want.digest {
		return fmt.Errorf("%w: %s", ErrMismatch, c)
	}
	if err := w.add(block); err != nil {
		w.err = fmt.Errorf("node %s: %w", c, err)
		w.stack, w.done = nil, nil
		return w.err
	}
	return nil
}

func (w *Walker) add(block []byte) error {
	if len(w.done)+len(w.stack) >= w.lim.Nodes {
		return fmt.Errorf("%w: more than %d nodes", ErrLimit, w.lim.Nodes)
	}
	n, err := decodeNode(block, w.lim)
	if err != nil {
		return err
	}
	if err := w.open(n); err != nil {
		return err
	}
	if err := w.advance(); err != nil {
		return err
	}
	w.refresh()
	return nil
}

// Walk walks a whole DAG. get returns the block of an inner node; errors of get
// are wrapped, those of the DAG are as for Add.
func Walk(root cid.Cid, lim Limits, get func(cid.Cid) ([]byte, error)) (*Layout, error) {
	w, err := NewWalker(root, lim)
	if err != nil {
		return nil, err
	}
	for {
		c, ok := w.Next()
		if !ok {
			return w.l, nil
		}
		block, err := get(c)
		if err != nil {
			return nil, fmt.Errorf("get node %s: %w", c, err)
		}
		if err := w.Add(block); err != nil {
			return nil, err
		}
	}
}
