package chunker

import (
	"crypto/sha256"
	"reflect"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
)

// fuzzLimits are small enough that a fuzzer reaches them.
var fuzzLimits = Limits{Depth: 8, Links: 20, Nodes: 20, Leaves: 50, Entries: 40, PathBytes: 500, Name: 20, Target: 20, BlockSize: 4096, Pending: 8192}

func seedBlocks() [][]byte {
	d := dag{}
	f := d.file(leafOf('a', 3), d.file(leafOf('b', 2)))
	d.dir(named("f", f), named("g", f), named("l", d.node(symlinkData("x", attrs{mode: 1, hasMode: true, sec: 1, nsec: 2, hasTime: true}))))
	kids := []child{}
	for _, n := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"} {
		kids = append(kids, named(n, leafOf(n[0], 1)))
	}
	buildHAMT(kids, 8, attrs{}, func(c child, b []byte) error { d[c.cid()] = b; return nil })
	var blocks [][]byte
	for _, b := range d {
		blocks = append(blocks, b)
	}
	return blocks
}

// FuzzDecodeNode: what we accept, boxo accepts and reads the same way.
func FuzzDecodeNode(f *testing.F) {
	for _, b := range seedBlocks() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		n, err := decodeNode(block, fuzzLimits)
		if err != nil {
			return
		}
		if len(n.links) > fuzzLimits.Links {
			t.Fatalf("%d links", len(n.links))
		}
		pn, err := merkledag.DecodeProtobuf(block)
		if err != nil {
			t.Fatalf("boxo refuses it: %v", err)
		}
		fsn, err := unixfs.FSNodeFromBytes(pn.Data())
		if err != nil {
			t.Skip("boxo is stricter about unknown fields and UTF-8")
		}
		if uint64(fsn.Type()) != n.typ || len(pn.Links()) != len(n.links) {
			t.Fatalf("type %d with %d links, boxo reads %d with %d", n.typ, len(n.links), fsn.Type(), len(pn.Links()))
		}
		for i, l := range pn.Links() {
			if got := n.links[i]; l.Name != string(n.name(got)) || digestOf(l.Cid) != n.digest(got) {
				t.Fatalf("link %d differs", i)
			}
			if n.typ == typeFile && fsn.BlockSize(i) != n.links[i].size {
				t.Fatalf("blocksize %d differs", i)
			}
		}
	})
}

// FuzzWalker feeds arbitrary blocks, re-linked so that their hashes fit: each
// two bytes of shape choose a block, and each link of a block leads to some other.
func FuzzWalker(f *testing.F) {
	for _, b := range seedBlocks() {
		f.Add(b, []byte{1, 2, 3, 4}, uint8(3))
	}
	f.Fuzz(func(t *testing.T, block, shape []byte, fan uint8) {
		d := dag{}
		digests := []child{{digest: sha256.Sum256(block)}}
		d[digests[0].cid()] = block
		for i := 0; i+1 < len(shape) && i < 60; i += 2 {
			var kids []child
			for k := range int(shape[i]%8) + 1 {
				kid := digests[(int(shape[i+1])+k*int(fan))%len(digests)]
				if shape[i]&0x10 == 0 {
					kid.name = string('a' + rune(k))
				}
				kids = append(kids, kid, leafOf(byte(k), int(fan)))
				kids[len(kids)-1].name = string('A' + rune(k))
			}
			data := dirData(attrs{})
			if shape[i]&0x10 != 0 {
				data = fileData(kids, attrs{})
			}
			digests = append(digests, d.node(data, kids...))
		}
		checkWalk(t, d, digests[len(digests)-1])
	})
}

// checkWalk walks d and checks that the Layout, whole or not, is within limits.
func checkWalk(t *testing.T, d dag, root child) {
	w, err := NewWalker(root.cid(), fuzzLimits)
	if err != nil {
		t.Fatal(err)
	}
	l := w.Layout()
	asked := make(map[cid.Cid]bool)
	for {
		c, ok := w.Next()
		if !ok {
			break
		}
		if asked[c] {
			t.Fatalf("asks for %s twice", c)
		}
		asked[c] = true
		block, ok := d[c]
		if !ok || w.Add(block) != nil {
			break
		}
		if l.Leaves() > fuzzLimits.Leaves || len(l.Entries()) > fuzzLimits.Entries || len(asked) > fuzzLimits.Nodes {
			t.Fatalf("%d leaves, %d entries, %d nodes", l.Leaves(), len(l.Entries()), len(asked))
		}
		size := int64(0)
		for i := range l.Leaves() {
			leaf := l.Leaf(i)
			e := l.Entries()[leaf.Entry]
			if e.Kind != File || i < e.First || i >= e.First+e.Leaves || leaf.Size < 0 || leaf.Offset < 0 {
				t.Fatalf("leaf %d is %+v of %+v", i, leaf, e)
			}
			size += int64(leaf.Size)
		}
		if size != l.Size() {
			t.Fatalf("size %d, leaves sum to %d", l.Size(), size)
		}
	}
	for _, e := range l.Entries() {
		if got, ok := l.Find(e.Path); w.err == nil && (!ok || got != e) {
			t.Fatalf("Find(%q) gives %+v, %v", e.Path, got, ok)
		}
	}
}

func FuzzParseLink(f *testing.F) {
	for _, s := range []string{rawCID, oldCID, "ipfs://" + dirCID + "/a%20b?filename=x&provider=/ip4/1.2.3.4", "/ipfs/" + dirCID + "/x", "https://ipfs.io/ipfs/" + dirCID, "http://" + dirCID + ".ipfs.localhost/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLink(s)
		if err != nil {
			return
		}
		again, err := ParseLink(l.String())
		if err != nil || !reflect.DeepEqual(l, again) {
			t.Fatalf("%q reads as %+v, prints as %q, reads as %+v, %v", s, l, l, again, err)
		}
	})
}
