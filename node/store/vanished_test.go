package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// TestDestinationVanishes deletes and renames the directory that is fetched into. That is said as what it is, neither as a
// path that the user got wrong nor as a changed share, and the next fetch starts at a place that is there.
func TestDestinationVanishes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("open directories cannot be renamed")
	}
	files := map[string]string{"a/x": string(content(1, 2<<20)), "b/y": string(content(2, 2<<20))}
	src, sh := tree(t, files, chunker.Config{})
	for _, row := range []struct {
		name   string
		before func(i int) bool // which leaves come first
		do     func(dir string) error
	}{
		{"deleted in the midst of it", func(i int) bool { return i < 2 }, os.RemoveAll},
		{"renamed before the end", func(int) bool { return true }, func(dir string) error { return os.Rename(dir, dir+"2") }},
	} {
		t.Run(row.name, func(t *testing.T) {
			dst, dir := open(t, t.TempDir(), always()), filepath.Join(t.TempDir(), "dir")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			tgt := store.Target{Root: sh.Root, Dir: dir, Name: "out"}
			d := begin(t, dst, tgt)
			if err := pump(t, openRoot(t, src, sh.Root), d, row.before); err != nil {
				t.Fatal(err)
			}
			if err := row.do(dir); err != nil {
				t.Fatal(err)
			}
			err := pump(t, openRoot(t, src, sh.Root), d, func(int) bool { return true })
			if err == nil {
				_, err = d.Finish(context.Background())
			}
			if !errors.Is(err, store.ErrVanished) || errors.Is(err, store.ErrChanged) {
				t.Errorf("%v, want ErrVanished", err)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			tgt.Dir = t.TempDir()
			got, _ := comes(t, src, dst, tgt)
			sameTree(t, readTree(t, got.Path), files)
		})
	}
}
