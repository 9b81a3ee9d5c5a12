package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"shoal/chunker"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"
)

// Download is a root on its way into a destination. Write, Has, Summary, HaveBytes
// and SetName may be called from any goroutine; AddNode and NextNode from one at a
// time. Call Checkpoint every two seconds or so, which is what a crash then costs in
// re-hashing, and end with Finish, Pause or Close.
type Download struct {
	s   *Store
	lim chunker.Limits
	dst *dest
	sel *selection

	asked []string   // what the request that began it selects, of all that is selected
	focus *selection // of asked, where only that is fetched; nil: all that is selected is

	homeDisk bool // the destination is on the same disk as the home

	// place is held by readers and writers of the .part, and taken by Finish while it
	// moves it.
	place sync.RWMutex
	// save lets one Checkpoint or Finish run at a time.
	save sync.Mutex

	mu        sync.RWMutex // guards all below, and the layout; taken after Store.mu
	rec       *record
	x         *indexer
	reps      *repeats
	have      bitmap // wanted leaves whose data is written
	want      bitmap // nil: all
	seen      int    // leaves looked at by follow
	wantN     int
	wantBytes int64
	wantFiles int
	haveN     int
	haveBytes int64
	loneSize  int64            // of a lone raw root, once written; else -1
	files     []fileState      // by entry
	dirty     map[int]struct{} // entries written to since the last Checkpoint
	unsaved   map[int]struct{} // segments of have that changed since
	dirtyRec  bool
	lost      int // syncs that failed: what was being written then may be lost
	stage     stage
	result    Share // once done

	zeros []span // leaves of zeros to be made holes
	brought
	late
	merger
	checked func(bytes int64) // Target.Checked
	local   *localCopy        // nil: not started

	writes leafLocks

	watching sync.Mutex // guards watch and noticed
	watch    *watch     // of the files that are written piece by piece; nil: there is none
	noticed  time.Time

	rehashed atomic.Int64 // leaves that were hashed again in doubt

	sealed bool // the last session ended in order
}

// fileState is what is known of the file of an entry in the .part.
type fileState struct {
	inode   uint64
	stat    chunker.FileStat // once nothing is left to write; else its ModTime is 0
	created bool
	rowed   bool // both are recorded

	doubted   bool // written piece by piece, and another program may have touched it
	unwatched bool // nothing can tell that of it
	hashed    bool // and it was hashed since, with this stat
}

// stage is where a Download stands.
type stage uint8

const (
	running stage = iota
	done          // finished: a share by now
	closed
)

// Root is the CID being fetched.
func (d *Download) Root() cid.Cid { return d.rec.root }

func (d *Download) id() shareID { return d.x.id }

// over tells whether it is finished or closed.
func (d *Download) over() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.stage != running
}

// NextNode is the inner node wanted next; false: all are known.
func (d *Download) NextNode() (cid.Cid, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.x.walker.Next()
}

// Nodes counts the inner nodes known, which is the walk index of NextNode.
func (d *Download) Nodes() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.x.nodes
}

// AddNode takes the block that NextNode asked for. Errors are final for the download:
// those of the DAG (chunker.ErrMalformed, ErrUnsupported, ErrLimit), and, with the last
// node, ErrNoMatch, ErrExists, ErrNoSpace, and ErrUnsettled, which asks for Settle. Only after chunker.ErrMismatch may
// another copy of the block be tried.
func (d *Download) AddNode(block []byte) error {
	if err := d.addNode(block); err != nil {
		return err
	}
	return d.known(context.Background(), false)
}

// known does what can be done once more nodes are known: takes further ones that are here,
// checks, and brings what need not be fetched. here is for ready.
func (d *Download) known(ctx context.Context, here bool) error {
	if err := d.addLocalNodes(); err != nil {
		return err
	}
	if err := d.lateStock(ctx); err != nil {
		return err
	}
	if err := d.ready(ctx, here); err != nil {
		return err
	}
	if err := d.fillZeros(); err != nil {
		return err
	}
	return d.lookUp()
}

// syncNodes is how many inner nodes a kill may cost while they still arrive.
const syncNodes = 256

// addNode walks one block and indexes it.
func (d *Download) addNode(block []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stage != running {
		return fmt.Errorf("add node to %s: %w", d.rec.root, ErrClosed)
	}
	out := &writer{s: d.s, b: d.s.db.NewBatch()}
	err := d.x.add(func(key, value []byte) error {
		_ = out.b.Set(key, value, nil)
		return out.flush(context.Background()) // a node can stand for millions of leaves
	}, block)
	if err != nil {
		out.b.Close()
		return fmt.Errorf("%s: %w", d.rec.root, err)
	}
	// The chunks of a download are only as safe as the nodes that name them.
	if err := d.s.commit(out.b, d.x.layout.Complete() || d.x.nodes%syncNodes == 0); err != nil {
		return err
	}
	d.dirtyRec = true
	d.follow()
	return nil
}

// addLocalNodes takes nodes that other shares here hold, so that they are not fetched.
func (d *Download) addLocalNodes() error {
	for {
		c, more := d.NextNode()
		if !more {
			return nil
		}
		block, err := d.s.Block(c, nil)
		if err != nil {
			return nil // not here, or not readable: a peer has it
		}
		if err := d.addNode(block); err != nil {
			return err
		}
	}
}

// follow takes in the entries and leaves that became known. Called under mu.
func (d *Download) follow() {
	l := d.x.layout
	entries := l.Entries()
	d.files = append(d.files, make([]fileState, len(entries)-len(d.files))...)
	old, unknown := len(d.sel.want), d.sel.root < 0
	d.sel.follow(entries)
	if d.focus != nil {
		d.focus.follow(entries)
	}
	if unknown && d.sel.root >= 0 && d.dst != nil {
		// Before any leaf of it is known, so before any Write looks.
		d.dst.tree = entries[d.sel.root].Kind == chunker.Dir
		d.rec.tree = d.dst.tree
	}
	for i := old; i < len(entries); i++ {
		if d.sel.want[i] && entries[i].Kind == chunker.File {
			d.wantFiles++
		}
	}
	n := l.Leaves()
	d.have, d.held = d.have.grown(n), d.held.grown(n)
	if !d.sel.everything() {
		d.want = d.want.grown(n)
	}
	for ; d.seen < n; d.seen++ {
		if entry, _, size := l.Place(d.seen); d.sel.want[entry] {
			d.followLeaf(d.seen, entry, size)
		}
	}
	d.wakeLocal()
}

// followLeaf takes in a wanted leaf.
func (d *Download) followLeaf(i, entry, size int) {
	if d.want != nil {
		d.want.set(i)
	}
	d.wantN++
	d.wantBytes += int64(max(size, 0))
	switch {
	case size == 0:
		d.setHave(i, 0) // nothing to fetch; Finish makes empty files
	case d.holding:
		d.held.set(i)
	case d.fetches(entry):
		d.sort(i)
	}
}

// sort finds out how a wanted leaf is to come. Called under mu.
func (d *Download) sort(i int) {
	if l := d.x.layout; d.s.isZero(l, i) {
		d.zeros = addSpan(d.zeros, i)
	} else if first := d.reps.add(i); first != i {
		d.repeat(i, first)
	} else {
		d.unseen = append(d.unseen, uint32(i))
	}
}

// setHave marks leaf i as written. Called under mu.
func (d *Download) setHave(i int, size int) {
	if d.have.get(i) {
		return
	}
	d.have.set(i)
	d.held.clear(i)
	d.unsaved[i/segLeaves] = struct{}{}
	d.haveN++
	d.haveBytes += int64(size)
}

// clearHave takes leaf i back. Called under mu.
func (d *Download) clearHave(i int) {
	if !d.have.get(i) {
		return
	}
	d.have.clear(i)
	d.unsaved[i/segLeaves] = struct{}{}
	d.haveN--
	d.haveBytes -= int64(d.sizeOf(i))
}

// sizeOf is the size of leaf i, 0 while it is unknown. Called under mu.
func (d *Download) sizeOf(i int) int {
	if n := d.x.layout.LeafSize(i); n >= 0 {
		return n
	}
	return int(max(d.loneSize, 0))
}

// Leaves counts the leaves known so far; complete: there are no more.
func (d *Download) Leaves() (known int, complete bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.x.layout.Leaves(), d.x.layout.Complete()
}

// Leaf is the CID and size in bytes of leaf i; -1: unknown, a lone raw root.
func (d *Download) Leaf(i int) (c cid.Cid, size int) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	leaf := d.x.layout.Leaf(i)
	return leaf.CID, leaf.Size
}

// Wanted tells whether leaf i is to be fetched.
func (d *Download) Wanted(i int) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.want != nil && !d.want.get(i) {
		return false
	}
	if d.focus == nil {
		return true
	}
	entry, _, _ := d.x.layout.Place(i)
	return d.fetches(entry)
}

// Has tells whether leaf i is written. It turns true by itself for repeats of a
// written leaf and for leaves found in other local shares.
func (d *Download) Has(i int) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.have.get(i)
}

// haveBits copies the bits for serving.
func (d *Download) haveBits() []byte {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return append([]byte{}, d.have...)
}

// SetName suggests a name, as a peer gave it. It is made harmless, the first one
// counts, and it is used at Finish if the Target named none.
func (d *Download) SetName(name string) {
	name = suggestedName(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	if name == "" || d.rec.suggested != "" || d.settled || d.stage != running {
		return
	}
	d.rec.suggested = name
	d.dirtyRec = true
	if d.rec.name != "" || d.rec.sub != "" || !d.x.layout.Complete() {
		return
	}
	if _, err := d.dst.parent.Lstat(d.rec.title()); err == nil { // the destination is known only now
		d.err = ErrUnsettled
		d.tell()
	}
}

// Summary is the name of the result, and the bytes and files wanted as far as known.
func (d *Download) Summary() (name string, size int64, files int) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.rec.title(), d.wantBytes + max(d.loneSize, 0), d.wantFiles
}

// HaveBytes counts the wanted bytes that are written.
func (d *Download) HaveBytes() int64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.haveBytes
}

// share describes the download as it is now.
func (d *Download) share() Share {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.stage == done {
		return d.result
	}
	r := *d.rec
	d.fillCounts(&r)
	return r.share()
}

// fillCounts writes the live numbers into r. Called under mu.
func (d *Download) fillCounts(r *record) {
	r.nodes, r.leaves = d.x.nodes, d.x.layout.Leaves()
	r.complete = d.x.layout.Complete()
	r.have, r.haveBytes = d.haveN, d.haveBytes
	r.files, r.size = d.wantFiles, d.wantBytes+max(d.loneSize, 0)
}

// Pause keeps what is there and marks it so that a restart does not resume it.
func (d *Download) Pause() error {
	d.mu.Lock()
	if d.stage == running {
		d.rec.state, d.dirtyRec = Paused, true
	}
	d.mu.Unlock()
	return d.Close()
}

// Close checkpoints and lets go; the next Download of the root goes on from there. It
// is idempotent, and does nothing after Finish.
func (d *Download) Close() error {
	d.stopLocal()
	if d.over() {
		return nil
	}
	err := d.Checkpoint(context.Background())
	if err == nil {
		err = d.seal()
	}
	return errors.Join(err, d.end(closed))
}

// end stops all use of the .part and takes the download off the live ones.
func (d *Download) end(st stage) error {
	d.place.Lock()
	defer d.place.Unlock()
	d.mu.Lock()
	if d.stage != running {
		d.mu.Unlock()
		return nil
	}
	d.stage = st
	d.mu.Unlock()
	d.s.unclaim(d.rec.root)
	d.watch.close()
	return errors.Join(d.closeThere(), d.dst.close())
}

// target is what would resume the download, as far as it was asked for last.
func (r *record) target() Target {
	t := Target{Root: r.root, Dir: r.dir, Name: r.name, Sub: r.sub, Select: r.selects, Force: r.force}
	if r.focus != nil {
		t.Select = r.focus
	}
	return t
}

// path is where a share is, or the .part of a download.
func (r *record) path() string {
	if len(r.bases) > 0 {
		return r.bases[0]
	}
	return filepath.Join(r.dir, r.part)
}

// saveRecord stores the record of a running download with b.
func (d *Download) saveRecord(b *pebble.Batch, sync bool) error {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	d.mu.RLock()
	putRecord(b, tagDownload, d.rec)
	d.mu.RUnlock()
	return d.s.commit(b, sync)
}
