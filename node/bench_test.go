package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"shoal/node/api"
)

// BenchmarkGet moves one file between two nodes of this process, through store,
// engine and transports.
func BenchmarkGet(b *testing.B) {
	const size = 256 << 20
	dir := b.TempDir()
	if fi, err := os.Stat("/dev/shm"); err == nil && fi.IsDir() {
		if dir, err = os.MkdirTemp("/dev/shm", "shoal-bench-"); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { os.RemoveAll(dir) })
	}
	seeder, _ := startNode(b, filepath.Join(dir, "a"))
	fetcher, _ := startNode(b, filepath.Join(dir, "b"), seeder)
	path, _ := randomFile(b, dir, "file", size)
	shared := mustShare(b, seeder, path)
	b.SetBytes(size)
	for b.Loop() {
		got, err := fetcher.Get(b.Context(), api.GetRequest{Link: shared.Link, Output: filepath.Join(dir, "copy")}, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if _, err := fetcher.Remove(b.Context(), shared.CID); err != nil {
			b.Fatal(err)
		}
		if err := os.Remove(got.Path); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkShareTree shares a tree of 10,000 small files.
func BenchmarkShareTree(b *testing.B) {
	dir := b.TempDir()
	for i := range 10_000 {
		path := filepath.Join(dir, "tree", fmt.Sprint(i/100), fmt.Sprintf("file %d.go", i))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, fmt.Appendf(nil, "%4096d", i), 0o644)); err != nil {
			b.Fatal(err)
		}
	}
	n, _ := startNode(b, filepath.Join(dir, "home"))
	for b.Loop() {
		shared := mustShare(b, n, filepath.Join(dir, "tree"))
		b.StopTimer()
		if _, err := n.Remove(b.Context(), shared.CID); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
