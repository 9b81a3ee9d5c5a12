package chunker

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// dag collects hand-made nodes.
type dag map[cid.Cid][]byte

func (d dag) node(data []byte, kids ...child) child {
	block := encodeNode(kids, data)
	c := seal(kids, block)
	d[c.cid()] = block
	return c
}

func (d dag) file(kids ...child) child { return d.node(fileData(kids, attrs{}), kids...) }
func (d dag) dir(kids ...child) child  { return d.node(dirData(attrs{}), kids...) }

func (d dag) walk(root child, lim Limits) (*Layout, error) {
	return Walk(root.cid(), lim, func(c cid.Cid) ([]byte, error) {
		b, ok := d[c]
		if !ok {
			return nil, errors.New("asked for an unknown node")
		}
		return b, nil
	})
}

// leafOf is a raw leaf of n bytes of content b.
func leafOf(b byte, n int) child {
	return child{digest: sha256.Sum256(bytes.Repeat([]byte{b}, n)), raw: true, size: uint64(n), tsize: uint64(n)}
}

func named(name string, c child) child {
	c.name = name
	return c
}

// summary prints a layout in one line per entry: path, kind, size, leaf range.
func summary(l *Layout) string {
	var b strings.Builder
	for _, e := range l.Entries() {
		fmt.Fprintf(&b, "%q %s %d [%d+%d]\n", e.Path, e.Kind, e.Size, e.First, e.Leaves)
	}
	return b.String()
}

func TestWalkRepeats(t *testing.T) {
	d := dag{}
	part := d.file(leafOf('a', 5), leafOf('b', 5))
	file := d.file(part, part, leafOf('c', 1))
	sub := d.dir(named("empty", d.file()), named("f", file), named("link", d.node(symlinkData("f", attrs{}))), named("part", part))
	root := d.dir(named("x", sub), named("y", sub), named("z", d.dir(named("again", sub), named("raw", leafOf('r', 3)))))
	asked := 0
	l, err := Walk(root.cid(), Limits{}, func(c cid.Cid) ([]byte, error) { asked++; return d[c], nil })
	if err != nil {
		t.Fatal(err)
	}
	want := `"" dir 96 [0+22]
"x" dir 31 [0+7]
"x/empty" file 0 [0+0]
"x/f" file 21 [0+5]
"x/link" symlink 0 [5+0]
"x/part" file 10 [5+2]
"y" dir 31 [7+7]
"y/empty" file 0 [7+0]
"y/f" file 21 [7+5]
"y/link" symlink 0 [12+0]
"y/part" file 10 [12+2]
"z" dir 34 [14+8]
"z/again" dir 31 [14+7]
"z/again/empty" file 0 [14+0]
"z/again/f" file 21 [14+5]
"z/again/link" symlink 0 [19+0]
"z/again/part" file 10 [19+2]
"z/raw" file 3 [21+1]
`
	if got := summary(l); got != want {
		t.Errorf("entries are\n%s, want\n%s", got, want)
	}
	if asked != len(d) {
		t.Errorf("asked for %d nodes, there are %d", asked, len(d))
	}
	if leaf := l.Leaf(18); leaf.Offset != 20 || leaf.Size != 1 || l.Entries()[leaf.Entry].Path != "z/again/f" || leaf.CID != leafOf('c', 1).cid() {
		t.Errorf("leaf 18 is %+v", leaf)
	}
	if e, ok := l.Find("z/again/link"); !ok || e.Target != "f" {
		t.Errorf("Find gives %+v, %v", e, ok)
	}
	for _, path := range []string{"z/a", "z/again/", "w", "/", "z/again/f/g"} {
		if _, ok := l.Find(path); ok {
			t.Errorf("Find(%q) finds something", path)
		}
	}
}

func TestWalkGrows(t *testing.T) {
	d := dag{}
	var parts []child
	for i := range 4 {
		parts = append(parts, d.file(leafOf(byte(i), 10), leafOf(byte(i+100), 10)))
	}
	root := d.dir(named("f", d.file(parts...)))
	w, err := NewWalker(root.cid(), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	l := w.Layout()
	for i := 0; ; i++ {
		c, ok := w.Next()
		if !ok {
			break
		}
		if l.Complete() {
			t.Fatal("complete, and a node still wanted")
		}
		if err := w.Add([]byte("something else")); !errors.Is(err, ErrMismatch) {
			t.Fatalf("wrong block: %v", err)
		}
		if err := w.Add(d[c]); err != nil {
			t.Fatal(err)
		}
		if want := max(0, 2*(i-1)); l.Leaves() != want || l.Size() != int64(10*want) {
			t.Errorf("%d leaves, %d bytes after %d nodes", l.Leaves(), l.Size(), i+1)
		}
		for k := range l.Leaves() {
			if leaf := l.Leaf(k); leaf.Entry != 1 || leaf.Offset != int64(10*k) {
				t.Errorf("leaf %d is %+v", k, leaf)
			}
		}
	}
	if !l.Complete() || w.Add(nil) == nil || w.Layout() != l {
		t.Error("does not end as it should")
	}
}

func TestWalkLoneRawRoot(t *testing.T) {
	for _, tt := range []struct {
		name string
		leaf child
		size int
	}{
		{"some bytes", leafOf('a', 3), -1},
		{"empty", leafOf('a', 0), 0},
	} {
		l, err := dag{}.walk(tt.leaf, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		leaf, e := l.Leaf(0), l.Entries()[0]
		if !l.Complete() || l.Leaves() != 1 || leaf.Size != tt.size || e.Size != int64(tt.size) || l.Size() != int64(tt.size) || leaf.CID != tt.leaf.cid() {
			t.Errorf("%s: %+v of %+v", tt.name, leaf, e)
		}
	}
}

func TestWalkRefuses(t *testing.T) {
	raw, data := leafOf('a', 9), fileData([]child{leafOf('a', 9)}, attrs{})
	shard := func(d dag, fanout int, kids ...child) child {
		return d.node(shardData([]byte{1}, fanout, attrs{}), kids...)
	}
	unhashed := func(name string) child { // a HAMT link for name in its right slot
		return named(slotName(slotAt(nameHash(name), 0, 8), 2)+name, raw)
	}
	for _, tt := range []struct {
		name string
		make func(d dag) child
		want error
	}{
		{"name ..", func(d dag) child { return d.dir(named("..", raw)) }, ErrMalformed},
		{"name .", func(d dag) child { return d.dir(named(".", raw)) }, ErrMalformed},
		{"no name", func(d dag) child { return d.dir(raw) }, ErrMalformed},
		{"absolute name", func(d dag) child { return d.dir(named("/etc", raw)) }, ErrMalformed},
		{"name with a slash", func(d dag) child { return d.dir(named("a/b", raw)) }, ErrMalformed},
		{"name with NUL", func(d dag) child { return d.dir(named("a\x00", raw)) }, ErrMalformed},
		{"name not UTF-8", func(d dag) child { return d.dir(named("\xff", raw)) }, ErrMalformed},
		{"long name", func(d dag) child { return d.dir(named(strings.Repeat("a", 256), raw)) }, ErrLimit},
		{"name twice", func(d dag) child { return d.dir(named("a", raw), named("a", raw)) }, ErrMalformed},
		{"name twice, unsorted", func(d dag) child { return d.dir(named("b", raw), named("a", raw), named("b", raw)) }, ErrMalformed},
		{"directory in a file", func(d dag) child { return d.file(d.dir()) }, ErrMalformed},
		{"symlink in a file", func(d dag) child { return d.file(d.node(symlinkData("x", attrs{}))) }, ErrMalformed},
		{"known directory in a file", func(d dag) child {
			return d.dir(named("a", d.dir()), named("b", d.file(d.dir())))
		}, ErrMalformed},
		{"part of another size", func(d dag) child {
			p := d.file(raw)
			p.size++
			return d.file(p)
		}, ErrMalformed},
		{"known part of another size", func(d dag) child {
			p := d.file(raw)
			q := p
			q.size++
			return d.file(p, q)
		}, ErrMalformed},
		{"too few blocksizes", func(d dag) child { return d.node(data, raw, raw) }, ErrMalformed},
		{"too many blocksizes", func(d dag) child { return d.node(data) }, ErrMalformed},
		{"wrong filesize", func(d dag) child { return d.node([]byte{8, 2, 0x18, 8, 0x20, 9}, raw) }, ErrMalformed},
		{"sizes that overflow", func(d dag) child {
			big := child{digest: raw.digest, size: 1 << 62}
			return d.file(big, big, big, big)
		}, ErrMalformed},
		{"huge leaf", func(d dag) child { return d.file(child{digest: raw.digest, raw: true, size: 3 << 20}) }, ErrLimit},
		{"huge raw file", func(d dag) child { return d.dir(named("a", child{raw: true, tsize: 3 << 20})) }, ErrLimit},
		{"empty symlink", func(d dag) child { return d.node(symlinkData("", attrs{})) }, ErrMalformed},
		{"symlink with NUL", func(d dag) child { return d.node(symlinkData("a\x00b", attrs{})) }, ErrMalformed},
		{"symlink with links", func(d dag) child { return d.node(symlinkData("a", attrs{}), raw) }, ErrMalformed},
		{"long symlink", func(d dag) child { return d.node(symlinkData(strings.Repeat("a", 5000), attrs{})) }, ErrLimit},
		{"inline data", func(d dag) child { return d.node([]byte{8, 2, 0x12, 1, 'x', 0x18, 1}) }, ErrUnsupported},
		{"metadata node", func(d dag) child { return d.node([]byte{8, 3}) }, ErrUnsupported},
		{"unknown type", func(d dag) child { return d.node([]byte{8, 99}) }, ErrUnsupported},
		{"no type", func(d dag) child { return d.node([]byte{0x18, 0}) }, ErrMalformed},
		{"directory with data", func(d dag) child { return d.node([]byte{8, 1, 0x12, 1, 'x'}) }, ErrMalformed},
		{"HAMT of another hash", func(d dag) child { return d.node([]byte{8, 5, 0x28, 0x12, 0x30, 0x80, 2}) }, ErrUnsupported},
		{"HAMT fan-out 0", func(d dag) child { return shard(d, 0) }, ErrMalformed},
		{"HAMT fan-out 24", func(d dag) child { return shard(d, 24) }, ErrMalformed},
		{"HAMT fan-out 2048", func(d dag) child { return shard(d, 2048) }, ErrMalformed},
		{"HAMT prefix in lower case", func(d dag) child { return shard(d, 256, named("aax", raw)) }, ErrMalformed},
		{"HAMT prefix cut", func(d dag) child { return shard(d, 256, named("A", raw)) }, ErrMalformed},
		{"HAMT prefix over fan-out", func(d dag) child { return shard(d, 8, named("9x", raw)) }, ErrMalformed},
		{"HAMT name in a wrong slot", func(d dag) child { return shard(d, 256, named("00x", raw)) }, ErrMalformed},
		{"HAMT bad name", func(d dag) child { return shard(d, 256, unhashed("..")) }, ErrMalformed},
		{"HAMT name twice", func(d dag) child { return shard(d, 256, unhashed("a"), unhashed("a")) }, ErrMalformed},
		{"HAMT slot twice", func(d dag) child { return shard(d, 256, named("00", shard(d, 256)), named("00", shard(d, 256))) }, ErrMalformed},
		{"HAMT sub-shard of another fan-out", func(d dag) child { return shard(d, 256, named("00", shard(d, 8))) }, ErrMalformed},
		{"HAMT sub-shard is a directory", func(d dag) child { return shard(d, 256, named("00", d.dir())) }, ErrMalformed},
		{"HAMT sub-shard is raw", func(d dag) child { return shard(d, 256, named("00", raw)) }, ErrMalformed},
		{"HAMT shard at two places", func(d dag) child {
			return shard(d, 256, named("00", shard(d, 256)), named("01", shard(d, 256)))
		}, ErrMalformed},
		{"HAMT too deep", func(d dag) child {
			c := shard(d, 256)
			for range 9 {
				c = shard(d, 256, named("00", c))
			}
			return c
		}, ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := dag{}
			if _, err := d.walk(tt.make(d), Limits{}); !errors.Is(err, tt.want) {
				t.Errorf("error is %v, want %v", err, tt.want)
			}
		})
	}
}

func TestWalkLimits(t *testing.T) {
	a, b := leafOf('a', 9), leafOf('b', 9)
	// bomb is nested repeats: 16^6 leaves, or entries, out of seven nodes.
	bomb := func(d dag, in child, dirs bool) child {
		for range 6 {
			var kids []child
			for i := range 16 {
				kids = append(kids, in)
				if dirs {
					kids[i].name = fmt.Sprintf("%x", i)
				}
			}
			if dirs {
				in = d.dir(kids...)
			} else {
				in = d.file(kids...)
			}
		}
		return in
	}
	chain := func(d dag, n int) child {
		c := d.dir()
		for range n - 1 {
			c = d.dir(named("d", c))
		}
		return c
	}
	for _, tt := range []struct {
		name string
		lim  Limits
		make func(d dag) child
		want error
	}{
		{"leaf bomb", Limits{}, func(d dag) child { return bomb(d, a, false) }, ErrLimit},
		{"entry bomb", Limits{}, func(d dag) child { return bomb(d, d.file(), true) }, ErrLimit},
		{"path bomb", Limits{PathBytes: 1000}, func(d dag) child { return bomb(d, d.file(), true) }, ErrLimit},
		{"bomb of nothing", Limits{}, func(d dag) child { return bomb(d, d.file(), false) }, nil},
		{"links at the limit", Limits{Links: 2}, func(d dag) child { return d.file(a, b) }, nil},
		{"links over it", Limits{Links: 2}, func(d dag) child { return d.file(a, b, a) }, ErrLimit},
		{"leaves at the limit", Limits{Leaves: 2}, func(d dag) child { return d.file(a, b) }, nil},
		{"leaves over it", Limits{Leaves: 2}, func(d dag) child { return d.file(a, b, b) }, ErrLimit},
		{"repeated leaves over it", Limits{Leaves: 3}, func(d dag) child { return d.file(d.file(a, b), d.file(a, b)) }, ErrLimit},
		{"entries at the limit", Limits{Entries: 3}, func(d dag) child { return d.dir(named("a", a), named("b", a)) }, nil},
		{"entries over it", Limits{Entries: 2}, func(d dag) child { return d.dir(named("a", a), named("b", a)) }, ErrLimit},
		{"nodes at the limit", Limits{Nodes: 3}, func(d dag) child { return chain(d, 3) }, nil},
		{"nodes over it", Limits{Nodes: 3}, func(d dag) child { return chain(d, 4) }, ErrLimit},
		{"depth at the limit", Limits{Depth: 5}, func(d dag) child { return chain(d, 5) }, nil},
		{"depth over it", Limits{Depth: 5}, func(d dag) child { return chain(d, 6) }, ErrLimit},
		{"depth over it by a repeat", Limits{Depth: 5}, func(d dag) child {
			return d.dir(named("a", chain(d, 4)), named("b", d.dir(named("c", chain(d, 4)))))
		}, ErrLimit},
		{"names at the limit", Limits{Name: 3}, func(d dag) child { return d.dir(named("abc", a)) }, nil},
		{"names over it", Limits{Name: 3}, func(d dag) child { return d.dir(named("abcd", a)) }, ErrLimit},
		{"target over it", Limits{Target: 3}, func(d dag) child { return d.node(symlinkData("abcd", attrs{})) }, ErrLimit},
		{"pending over it", Limits{Pending: 300}, func(d dag) child { return chain(d, 8) }, ErrLimit},
		{"block over it", Limits{BlockSize: 100}, func(d dag) child { return d.file(a, b, a) }, ErrMismatch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := dag{}
			if _, err := d.walk(tt.make(d), tt.lim); !errors.Is(err, tt.want) {
				t.Errorf("error is %v, want %v", err, tt.want)
			}
		})
	}
}

// TestWalkAfterFailure: a bad DAG stays bad.
func TestWalkAfterFailure(t *testing.T) {
	d := dag{}
	root := d.dir(named("..", leafOf('a', 1)))
	w, err := NewWalker(root.cid(), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	first := w.Add(d[root.cid()])
	if _, ok := w.Next(); ok || !errors.Is(first, ErrMalformed) || w.Add(d[root.cid()]) != first {
		t.Errorf("after %v the walk goes on", first)
	}
}

func TestNewWalkerRefuses(t *testing.T) {
	sum := func(codec, hash uint64, n int) cid.Cid {
		mh, err := multihash.Sum([]byte("x"), hash, n)
		if err != nil {
			t.Fatal(err)
		}
		return cid.NewCidV1(codec, mh)
	}
	for name, c := range map[string]cid.Cid{
		"undefined": cid.Undef,
		"dag-cbor":  sum(cid.DagCBOR, multihash.SHA2_256, -1),
		"sha2-512":  sum(cid.Raw, multihash.SHA2_512, -1),
		"identity":  sum(cid.Raw, multihash.IDENTITY, -1),
		"cut":       sum(cid.Raw, multihash.SHA2_256, 20),
	} {
		if _, err := NewWalker(c, Limits{}); !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDecodeForms: forms that others write, each an annotated block.
func TestDecodeForms(t *testing.T) {
	d := leafOf('a', 9).digest
	leaf := "01551220" + hex.EncodeToString(d[:])
	v0 := "1220" + hex.EncodeToString(d[:])
	for _, tt := range []struct {
		name string
		hex  []string
		want error
	}{
		{"links first", []string{
			"122a", "0a24", leaf, "1200", "1809", // link: Hash, empty Name, Tsize 9
			"0a06", "0802", "1809", "2009", // Data: File, filesize 9, blocksize 9
		}, nil},
		{"data first", []string{"0a06", "0802", "1809", "2009", "122a", "0a24", leaf, "1200", "1809"}, nil},
		{"packed blocksizes", []string{"122a", "0a24", leaf, "1200", "1809", "0a07", "0802", "1809", "220109"}, nil},
		{"neither name nor Tsize", []string{"1226", "0a24", leaf, "0a06", "0802", "1809", "2009"}, nil},
		{"no filesize", []string{"1226", "0a24", leaf, "0a04", "0802", "2009"}, nil},
		{"unknown UnixFS field", []string{"1226", "0a24", leaf, "0a06", "0802", "2009", "7801"}, nil},
		{"CIDv0 link", []string{"1224", "0a22", v0, "0a04", "0802", "2009"}, nil},
		{"links around data", []string{"1226", "0a24", leaf, "0a06", "0802", "2009", "2009", "1226", "0a24", leaf}, ErrMalformed},
		{"data twice", []string{"0a020801", "0a020801"}, ErrMalformed},
		{"name before hash", []string{"1228", "1200", "0a24", leaf, "0a04", "0802", "2009"}, ErrMalformed},
		{"link without hash", []string{"12021200", "0a04", "0802", "2009"}, ErrMalformed},
		{"hash cut off", []string{"1206", "0a24", "01551220"}, ErrMalformed},
		{"identity CID", []string{"1207", "0a05", "0155000161", "0a04", "0802", "2001"}, ErrUnsupported},
		{"unknown node field", []string{"0a020801", "1a00"}, ErrMalformed},
		{"group", []string{"0b0c"}, ErrMalformed},
		{"no data", []string{"1226", "0a24", leaf}, ErrUnsupported},
		{"empty block", nil, ErrUnsupported},
	} {
		t.Run(tt.name, func(t *testing.T) {
			block, err := hex.DecodeString(strings.Join(tt.hex, ""))
			if err != nil {
				t.Fatal(err)
			}
			n, err := decodeNode(block, DefaultLimits())
			if !errors.Is(err, tt.want) {
				t.Fatalf("error is %v, want %v", err, tt.want)
			}
			if err == nil && (len(n.links) != 1 || n.links[0].size != 9 || n.digest(n.links[0]) != d) {
				t.Errorf("decodes to %+v", n.links)
			}
		})
	}
}

func TestDecodeTimes(t *testing.T) {
	for _, tt := range []struct {
		name, hex string
		want      time.Time
	}{
		{"seconds", "0801 4202 0805", time.Unix(5, 0)},
		{"nanoseconds", "0801 4207 0805 1501000000", time.Unix(5, 1)},
		{"negative", "0801 420b 08ffffffffffffffffff01", time.Unix(-1, 0)},
		{"no seconds", "0801 4205 1501000000", time.Time{}},
		{"too many nanoseconds", "0801 4207 0805 15ffffffff", time.Time{}},
		{"year 200,000", "0801 4208 0880c89e88f3b501", time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, err := hex.DecodeString(strings.ReplaceAll(tt.hex, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			d := dag{}
			l, err := d.walk(d.node(data), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := l.Entries()[0].ModTime; !got.Equal(tt.want) {
				t.Errorf("mtime is %v, want %v", got, tt.want)
			}
		})
	}
}

// TestWalkOtherShapes: random shapes of file nodes, as trickle or other widths make.
func TestWalkOtherShapes(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		d := dag{}
		var want []child
		var grow func(depth int) child
		grow = func(depth int) child {
			if depth == 0 || rnd.IntN(3) == 0 {
				l := leafOf(byte(rnd.IntN(4)), rnd.IntN(4))
				want = append(want, l)
				return l
			}
			var kids []child
			for range rnd.IntN(5) {
				kids = append(kids, grow(depth-1))
			}
			return d.file(kids...)
		}
		root := d.file(grow(6), grow(6))
		l, err := d.walk(root, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if l.Leaves() != len(want) || l.Size() != int64(root.size) {
			t.Fatalf("seed %d: %d leaves of %d bytes, want %d of %d", seed, l.Leaves(), l.Size(), len(want), root.size)
		}
		for i, w := range want {
			if leaf := l.Leaf(i); leaf.CID != w.cid() || leaf.Size != int(w.size) {
				t.Fatalf("seed %d: leaf %d is %+v", seed, i, leaf)
			}
		}
	}
}

// TestLayoutMemory: about 32 bytes a leaf.
func TestLayoutMemory(t *testing.T) {
	root, nodes := bigDAG(t)
	l, err := Walk(root, Limits{}, func(c cid.Cid) ([]byte, error) { return nodes[c], nil })
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, s := range l.leaves.segs {
		n += 32*cap(s.digests) + 8*cap(s.ends)
	}
	if n > 33*l.Leaves() {
		t.Errorf("%d bytes for %d leaves", n, l.Leaves())
	}
}
