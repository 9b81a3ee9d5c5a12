package node

import (
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
