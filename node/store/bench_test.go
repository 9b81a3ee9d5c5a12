package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"shoal/chunker"
	"shoal/node/store"

	"github.com/ipfs/go-cid"
)

// ramDir is a directory on a RAM disk where there is one.
func ramDir(b *testing.B) string {
	dir, err := os.MkdirTemp("/dev/shm", "store")
	if err != nil {
		return b.TempDir()
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

const smallFiles = 10_000

// smallTree makes files of 4 KiB in directories of 100.
func smallTree(b *testing.B) string {
	dir := filepath.Join(ramDir(b), "tree")
	data := content(1, 4096)
	for i := range smallFiles {
		copy(data, fmt.Sprint(i, " "))
		path := filepath.Join(dir, fmt.Sprintf("dir%02d/sub%d/file%05d", i/1000, i/100, i))
		if i%100 == 0 {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

// BenchmarkReadSmall serves a tree of small files, in order.
func BenchmarkReadSmall(b *testing.B) {
	s := open(b, ramDir(b), store.Config{})
	sh := share(b, s, smallTree(b), chunker.Config{})
	r := openRoot(b, s, sh.Root)
	buf := make([]byte, 1<<20)
	b.SetBytes(4096)
	for i := 0; b.Loop(); i++ {
		if _, err := r.ReadLeaf(i%smallFiles, buf); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "files/s")
}

// BenchmarkWriteSmall downloads a tree of small files, up to and including Finish.
func BenchmarkWriteSmall(b *testing.B) {
	src := open(b, ramDir(b), store.Config{})
	sh := share(b, src, smallTree(b), chunker.Config{})
	nodes, leaves := blocks(b, src, sh)
	dir := ramDir(b)
	dst := open(b, ramDir(b), store.Config{})
	b.SetBytes(4096 * smallFiles)
	for n := 0; b.Loop(); n++ {
		d, err := dst.Download(context.Background(), store.Target{Root: sh.Root, Dir: dir, Name: fmt.Sprint(n)}, chunker.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		for _, block := range nodes {
			if err := d.AddNode(block); err != nil {
				b.Fatal(err)
			}
		}
		for i, data := range leaves {
			if err := d.Write(i, data); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := d.Finish(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := dst.Remove(sh.Root); err != nil {
			b.Fatal(err)
		}
		os.RemoveAll(filepath.Join(dir, fmt.Sprint(n)))
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N)*smallFiles/b.Elapsed().Seconds(), "files/s")
}

// blocks reads a share into memory.
func blocks(b *testing.B, s *store.Store, sh store.Share) (nodes, leaves [][]byte) {
	r := openRoot(b, s, sh.Root)
	for {
		block, err := r.Node(len(nodes))
		if err != nil {
			break
		}
		nodes = append(nodes, block)
	}
	buf := make([]byte, 1<<20)
	for i := range r.Leaves() {
		n, err := r.ReadLeaf(i, buf)
		if err != nil {
			b.Fatal(err)
		}
		leaves = append(leaves, append([]byte(nil), buf[:n]...))
	}
	return nodes, leaves
}

// BenchmarkWriteLarge downloads one file of 256 MiB.
func BenchmarkWriteLarge(b *testing.B) {
	const size = 256 << 20
	path := filepath.Join(ramDir(b), "file")
	if err := os.WriteFile(path, content(1, size), 0o644); err != nil {
		b.Fatal(err)
	}
	src := open(b, ramDir(b), store.Config{})
	sh := share(b, src, path, chunker.Config{})
	nodes, leaves := blocks(b, src, sh)
	dir := ramDir(b)
	dst := open(b, ramDir(b), store.Config{})
	b.SetBytes(size)
	for b.Loop() {
		d, err := dst.Download(context.Background(), store.Target{Root: sh.Root, Dir: dir, Name: "x", Force: true}, chunker.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		for _, block := range nodes {
			if err := d.AddNode(block); err != nil {
				b.Fatal(err)
			}
		}
		for i, data := range leaves {
			if err := d.Write(i, data); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := d.Finish(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := dst.Remove(sh.Root); err != nil {
			b.Fatal(err)
		}
		os.Remove(filepath.Join(dir, "x"))
		b.StartTimer()
	}
}

// BenchmarkImport commits a tree of small files that is hashed already: what sharing costs
// beside the hashing.
func BenchmarkImport(b *testing.B) {
	dir := smallTree(b)
	s := open(b, ramDir(b), store.Config{})
	type node struct {
		c     cid.Cid
		block []byte
	}
	var nodes []node
	t, err := chunker.Build(context.Background(), dir, chunker.Config{}, func(c cid.Cid, block []byte) error {
		nodes = append(nodes, node{c, block})
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		im := s.Import()
		for _, n := range nodes {
			if err := im.PutNode(n.c, n.block); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := im.Commit(context.Background(), t, dir, ""); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := s.Remove(t.Root); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N)*smallFiles/b.Elapsed().Seconds(), "files/s")
}

// BenchmarkLookUp asks an index of 512Ki leaves, half a TiB of shares, for the leaves of one inner node, of which it has
// none, or all.
func BenchmarkLookUp(b *testing.B) {
	const leaves, leaf, node = 512 << 10, 512, 1024
	path := filepath.Join(ramDir(b), "file")
	data := content(1, leaves*leaf)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		b.Fatal(err)
	}
	s := open(b, b.TempDir(), store.Config{})
	p := chunker.UnixFSV1_2025()
	p.ChunkSize = leaf
	share(b, s, path, chunker.Config{Profile: p})
	for _, row := range []struct {
		name string
		data []byte
		want int
	}{{"absent", content(2, node*leaf), 0}, {"present", data[1000*leaf:], node}} {
		digests := make([][32]byte, node)
		for i := range digests {
			digests[i] = sha256.Sum256(row.data[i*leaf:][:leaf])
		}
		slices.SortFunc(digests, func(x, y [32]byte) int { return bytes.Compare(x[:], y[:]) })
		b.Run(row.name, func(b *testing.B) {
			for b.Loop() {
				if n, err := s.HeldElsewhere(digests); err != nil || n != row.want {
					b.Fatal(n, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/node, "µs/leaf")
		})
	}
}
