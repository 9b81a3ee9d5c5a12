package store_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// diskUse is the apparent size and the blocks of all files below dir.
func diskUse(t *testing.T, dir string) (apparent, blocks int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		apparent += fi.Size()
		blocks += 512 * fi.Sys().(*syscall.Stat_t).Blocks
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return apparent, blocks
}

// TestHomeSize shares and fetches 1 GiB: each home stays below 10 MiB, from nothing,
// Pebble's preallocated log included.
func TestHomeSize(t *testing.T) {
	if testing.Short() {
		t.Skip("hashes 1 GiB")
	}
	path := filepath.Join(t.TempDir(), "file")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	// Sparse, but no two chunks are alike.
	for i := range 1024 {
		if _, err := f.WriteAt([]byte{byte(i), byte(i >> 8), 1}, int64(i)<<20); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	f.Close()
	home := t.TempDir()
	s := open(t, home, store.Config{})
	check := func(what, home string) {
		t.Helper()
		apparent, blocks := diskUse(t, home)
		t.Logf("%s: %d KiB, %d KiB on disk", what, apparent>>10, blocks>>10)
		if max(apparent, blocks) > 10<<20 {
			t.Errorf("home holds %d bytes, %d on disk, %s", apparent, blocks, what)
		}
	}
	check("empty", home)
	sh := share(t, s, path, chunker.Config{})
	check("after sharing", home)
	dir := filepath.Join(t.TempDir(), "tree")
	makeTree(t, dir, map[string]string{"a": "alpha"})
	share(t, s, dir, chunker.Config{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check("closed", home)
	s = open(t, home, store.Config{})
	check("opened again", home)
	to := t.TempDir()
	homeTwo := t.TempDir()
	dst := open(t, homeTwo, store.Config{})
	got := fetch(t, s, dst, store.Target{Root: sh.Root, Dir: to, Name: "x"})
	check("after fetching", homeTwo)
	if err := os.Remove(got.Path); err != nil {
		t.Fatal(err)
	}
}
