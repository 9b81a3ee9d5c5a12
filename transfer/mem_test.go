package transfer

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
)

// The tests' DAG: the root node names section nodes, a section names leaves.
//
//	root node: 'R', then a digest for each section
//	section:   'S', then u32 size and digest for each leaf
//
// A share of one leaf is that leaf.

type leafRef struct {
	c    cid.Cid
	size int
}

// content is one root in memory, whole or being fetched: what node/store is to
// the daemon.
type content struct {
	root cid.Cid
	name string

	mu      sync.Mutex
	nodes   [][]byte
	pending []cid.Cid // nodes wanted, in pre-order
	leaves  []leafRef
	data    [][]byte // by leaf, nil: not here
	changed map[int]bool
	reads   map[int]int // by leaf, how often it was served
	once    bool        // serve each leaf once only
	onRead  func(i int) // before a leaf is read
	noNode  func(i int) bool
	onClose func() // a root is closed
	torn    int    // reads of a leaf beyond this byte fail, 0: none

	rot     map[int]bool // leaves that are read with a wrong byte
	marked  map[int]bool // of these, known to be damaged
	tornIn  map[int]bool // leaves that torn is about, nil: all
	removed bool
	checked int // calls of CheckLeaf
}

func sumCID(codec uint64, b []byte) cid.Cid {
	d := sha256.Sum256(b)
	m, err := mh.Encode(d[:], mh.SHA2_256)
	if err != nil {
		panic(err)
	}
	return cid.NewCidV1(codec, m)
}

func rawCID(b []byte) cid.Cid { return sumCID(cid.Raw, b) }

// newContent makes a root of random leaves of the given sizes.
func newContent(seed uint64, perNode int, sizes ...int) *content {
	rnd := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1})
	c := &content{name: fmt.Sprintf("share-%d", seed), changed: map[int]bool{}, reads: map[int]int{}}
	for _, size := range sizes {
		b := make([]byte, size)
		_, _ = rnd.Read(b)
		c.data = append(c.data, b)
		c.leaves = append(c.leaves, leafRef{rawCID(b), size})
	}
	if len(sizes) == 1 {
		c.root = c.leaves[0].c
		return c
	}
	top := []byte{'R'}
	var sections [][]byte
	for part := range slices.Chunk(c.leaves, perNode) {
		s := []byte{'S'}
		for _, l := range part {
			s = binary.BigEndian.AppendUint32(s, uint32(l.size))
			s = append(s, l.c.Hash()[2:]...)
		}
		sections = append(sections, s)
		top = append(top, sumCID(cid.DagProtobuf, s).Hash()[2:]...)
	}
	c.nodes = append([][]byte{top}, sections...)
	c.root = sumCID(cid.DagProtobuf, top)
	return c
}

// empty is a root nothing is known of yet.
func empty(root cid.Cid) *content {
	c := &content{root: root, changed: map[int]bool{}, reads: map[int]int{}}
	if root.Type() == cid.Raw {
		c.leaves, c.data = []leafRef{{root, -1}}, make([][]byte, 1)
	} else {
		c.pending = []cid.Cid{root}
	}
	return c
}

func cidOfDigest(codec uint64, d []byte) cid.Cid {
	m, err := mh.Encode(d, mh.SHA2_256)
	if err != nil {
		panic(err)
	}
	return cid.NewCidV1(codec, m)
}

func (c *content) addNode(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) == 0 || sumCID(cid.DagProtobuf, b) != c.pending[0] {
		return errors.New("not the node wanted")
	}
	c.pending = c.pending[1:]
	c.nodes = append(c.nodes, slices.Clone(b))
	for b = b[1:]; len(b) > 0; {
		if len(c.nodes) == 1 {
			c.pending = append(c.pending, cidOfDigest(cid.DagProtobuf, b[:32]))
			b = b[32:]
			continue
		}
		c.leaves = append(c.leaves, leafRef{cidOfDigest(cid.Raw, b[4:36]), int(binary.BigEndian.Uint32(b))})
		c.data = append(c.data, nil)
		b = b[36:]
	}
	return nil
}

func (c *content) missing() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, d := range c.data {
		if d == nil {
			n++
		}
	}
	return n
}

// only is a partial peer's copy: keep tells which leaves it has.
func (c *content) only(keep func(i int) bool) *content {
	out := &content{root: c.root, name: c.name, nodes: c.nodes, leaves: c.leaves, changed: map[int]bool{}, reads: map[int]int{}}
	for i, d := range c.data {
		if !keep(i) {
			d = nil
		}
		out.data = append(out.data, d)
	}
	return out
}

// memSource serves contents.
type memSource struct {
	mu    sync.Mutex
	roots map[cid.Cid]*content
}

func (s *memSource) put(c *content) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.roots == nil {
		s.roots = make(map[cid.Cid]*content)
	}
	s.roots[c.root] = c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removed = false
}

func (s *memSource) remove(c *content) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.roots, c.root)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removed = true
}

func (s *memSource) OpenRoot(root cid.Cid) (Root, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.roots[root]; c != nil {
		return &memRoot{c}, nil
	}
	return nil, ErrNotFound
}

func (s *memSource) Block(c cid.Cid, buf []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.roots {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, n := range r.nodes {
			if sumCID(cid.DagProtobuf, n) == c {
				return n, nil
			}
		}
		for i, l := range r.leaves {
			if l.c == c && r.data[i] != nil {
				return r.data[i], nil
			}
		}
	}
	return nil, ErrNotFound
}

type memRoot struct{ c *content }

func (r *memRoot) Name() string { return r.c.name }
func (r *memRoot) Close() error {
	if r.c.onClose != nil {
		r.c.onClose()
	}
	return nil
}

func (r *memRoot) Leaves() int {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	return len(r.c.leaves)
}

func (r *memRoot) Complete() bool {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	return len(r.c.pending) == 0
}

func (r *memRoot) Have() []byte {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	all := len(r.c.pending) == 0
	bits := make([]byte, (len(r.c.data)+7)/8)
	for i, d := range r.c.data {
		if d == nil || r.c.marked[i] {
			all = false
		} else {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	if all {
		return nil
	}
	return bits
}

func (r *memRoot) Node(i int) ([]byte, error) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if i >= len(r.c.nodes) || r.c.noNode != nil && r.c.noNode(i) {
		return nil, io.EOF
	}
	return r.c.nodes[i], nil
}

func (r *memRoot) ReadLeafAt(i int, buf []byte, off int) (n, size int, err error) {
	if r.c.onRead != nil {
		r.c.onRead(i)
	}
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	switch {
	case r.c.removed:
		return 0, 0, ErrNotFound
	case i >= len(r.c.data) || r.c.data[i] == nil:
		return 0, 0, ErrNotHave
	case r.c.once && r.c.reads[i] > 0 && off == 0:
		return 0, 0, ErrNotHave
	case r.c.changed[i], r.c.marked[i]:
		return 0, 0, fmt.Errorf("leaf %d: %w", i, ErrChanged)
	}
	if r.c.torn > 0 && off >= r.c.torn && (r.c.tornIn == nil || r.c.tornIn[i]) {
		return 0, 0, fmt.Errorf("leaf %d: %w", i, io.ErrUnexpectedEOF)
	}
	if off == 0 {
		r.c.reads[i]++
	}
	n = copy(buf, r.c.data[i][off:])
	if off == 0 && n > 0 && r.c.rot[i] {
		buf[0]++
	}
	return n, len(r.c.data[i]), nil
}

// CheckLeaf is Checker's.
func (s *memSource) CheckLeaf(root cid.Cid, i int) (bool, error) {
	s.mu.Lock()
	c := s.roots[root]
	s.mu.Unlock()
	if c == nil {
		return false, ErrNotFound
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.checked++; !c.rot[i] {
		return false, nil
	}
	if c.marked == nil {
		c.marked = map[int]bool{}
	}
	c.marked[i] = true
	return true, nil
}

// mend makes all of it readable again.
func (c *content) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.changed)
	clear(c.rot)
	clear(c.marked)
	c.torn = 0
}

// memJob fetches into a content.
type memJob struct {
	*content
	want    func(i int) bool // nil: all
	onWrite func(i int) error
	names   []string
}

func newJob(root cid.Cid) *memJob { return &memJob{content: empty(root)} }

func (j *memJob) Root() cid.Cid { return j.root }

func (j *memJob) NextNode() (cid.Cid, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.pending) == 0 {
		return cid.Undef, false
	}
	return j.pending[0], true
}

func (j *memJob) Nodes() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.nodes)
}

func (j *memJob) AddNode(b []byte) error { return j.addNode(b) }

func (j *memJob) Leaves() (int, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.leaves), len(j.pending) == 0
}

func (j *memJob) Leaf(i int) (cid.Cid, int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.leaves[i].c, j.leaves[i].size
}

func (j *memJob) Wanted(i int) bool { return j.want == nil || j.want(i) }

func (j *memJob) Has(i int) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.data[i] != nil
}

func (j *memJob) Write(i int, b []byte) error {
	if j.onWrite != nil {
		if err := j.onWrite(i); err != nil {
			return err
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if rawCID(b) != j.leaves[i].c {
		return fmt.Errorf("leaf %d was not verified", i)
	}
	if j.data[i] != nil {
		return fmt.Errorf("leaf %d written twice", i)
	}
	j.data[i] = slices.Clone(b)
	if j.leaves[i].size < 0 {
		j.leaves[i].size = len(b)
	}
	return nil
}

func (j *memJob) SetName(name string) { j.names = append(j.names, name) }

// check compares a fetched content with the original.
func check(t *testing.T, got *memJob, want *content) {
	t.Helper()
	got.mu.Lock()
	defer got.mu.Unlock()
	if len(got.leaves) != len(want.leaves) {
		t.Fatalf("%d leaves, want %d", len(got.leaves), len(want.leaves))
	}
	for i := range want.leaves {
		wanted := got.Wanted(i)
		if (got.data[i] != nil) != wanted {
			t.Fatalf("leaf %d: here %v, wanted %v", i, got.data[i] != nil, wanted)
		}
		if wanted && rawCID(got.data[i]) != want.leaves[i].c {
			t.Fatalf("leaf %d differs", i)
		}
	}
}

func sizesOf(n, size int) []int { return slices.Repeat([]int{size}, n) }
