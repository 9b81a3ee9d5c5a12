package chunker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"
)

// sparseFile makes a file of size bytes with data at the given offsets only. Where the
// file system has no holes it is full of zeros.
func sparseFile(t *testing.T, path string, size int64, data map[int64]string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for off, s := range data {
		if _, err := f.WriteAt([]byte(s), off); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSparse: a hole hashes like the zeros it stands for.
func TestSparse(t *testing.T) {
	const chunk = 64 << 10 // a chunk, here
	small := UnixFSV1_2025()
	small.ChunkSize = chunk
	tests := []struct {
		name string
		size int64
		data map[int64]string
	}{
		{"nothing but a hole", 5 * chunk, nil},
		{"a hole of less than a chunk", 1000, nil},
		{"a short last chunk in a hole", 5*chunk + 7, nil},
		{"data at the start", 4 * chunk, map[int64]string{0: "x"}},
		{"data at the end", 4 * chunk, map[int64]string{4*chunk - 1: "x"}},
		{"data around a chunk's border", 9 * chunk, map[int64]string{3*chunk - 2: "abcd"}},
		{"data, hole, data", 40 * chunk, map[int64]string{chunk + 5: "x", 30 * chunk: "y"}},
		{"more than a node", 1100 * chunk, map[int64]string{1050 * chunk: "x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			sparseFile(t, path, tt.size, tt.data)
			put := func(cid.Cid, []byte) error { return nil }
			tree, err := Build(context.Background(), path, Config{Profile: small}, put)
			if err != nil {
				t.Fatal(err)
			}
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			dense := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(dense, whole, 0o644); err != nil {
				t.Fatal(err)
			}
			want, err := Build(context.Background(), dense, Config{Profile: small}, put)
			if err != nil {
				t.Fatal(err)
			}
			if tree.Root != want.Root || tree.Size != tt.size {
				t.Errorf("root %s of %d bytes, want %s of %d", tree.Root, tree.Size, want.Root, tt.size)
			}
		})
	}
}

// TestSparseTerabyte: what was never written costs next to nothing, neither time nor
// memory in the Layout.
func TestSparseTerabyte(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	const size = 1 << 40
	sparseFile(t, path, size, map[int64]string{size / 2: "x"})
	if fi, err := os.Stat(path); err != nil || allocated(fi) > 1<<20 {
		t.Skip("the file system has no holes, or does not show them")
	}
	nodes := map[cid.Cid][]byte{}
	tree, err := Build(context.Background(), path, Config{}, func(c cid.Cid, b []byte) error {
		nodes[c] = b
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := Walk(tree.Root, Limits{}, func(c cid.Cid) ([]byte, error) { return nodes[c], nil })
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, s := range l.leaves.segs {
		n += 32*cap(s.digests) + 8*cap(s.ends)
	}
	if l.Leaves() != 1<<20 || l.Size() != size || n > 1<<20 {
		t.Errorf("%d leaves of %d bytes in %d bytes of memory", l.Leaves(), l.Size(), n)
	}
	zero := ZeroSum(1 << 20)
	if l.Digest(0) != zero || l.Digest(1<<19) == zero || l.Digest(1<<20-1) != zero || l.LeafSize(1<<20-1) != 1<<20 {
		t.Error("the leaves are not those of the file")
	}
}

func TestZeroSum(t *testing.T) {
	for _, n := range []int{0, 1, 65535, 65536, 65537, 300_000} {
		if ZeroSum(n) != sha256.Sum256(bytes.Repeat([]byte{0}, n)) {
			t.Errorf("of %d zeros", n)
		}
	}
}
