package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// replaceInode deletes path and puts a file with content in its place that was given the inode of the deleted one.
func replaceInode(t *testing.T, path, content string) {
	t.Helper()
	inode := func(path string) uint64 {
		fi, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return fi.Sys().(*syscall.Stat_t).Ino
	}
	was := inode(path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		name := fmt.Sprint(path, ".", i) // in this directory, whose inodes are given from one group
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(name)
		if inode(name) == was {
			if err := os.Rename(name, path); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Skip("this file system gives no inode again, as ext4 does")
}

// TestReusedInode puts another program's file, which was given the inode of the .part, in its place: it is not taken for the .part.
func TestReusedInode(t *testing.T) {
	const mine = "mine, and no part of it"
	for _, what := range []string{"removed", "resumed", "moved"} {
		t.Run(what, func(t *testing.T) {
			src, sh, data := lone(t, 3<<20+5)
			to := t.TempDir()
			dst := open(t, t.TempDir(), always())
			tgt := store.Target{Root: sh.Root, Dir: to, Name: "x"}
			d := begin(t, dst, tgt)
			if err := pump(t, openRoot(t, src, sh.Root), d, func(i int) bool { return i < 2 }); err != nil {
				t.Fatal(err)
			}
			if err := d.Pause(); err != nil {
				t.Fatal(err)
			}
			part := filepath.Join(to, "x.part")
			replaceInode(t, part, mine)
			if what == "moved" {
				tgt.Name = "y"
			}
			if what == "removed" {
				if err := dst.Remove(sh.Root); err != nil {
					t.Fatal(err)
				}
			} else if b, err := os.ReadFile(fetch(t, src, dst, tgt).Path); err != nil || string(b) != string(data) {
				t.Errorf("result differs: %v", err)
			}
			if b, err := os.ReadFile(part); err != nil || string(b) != mine {
				t.Errorf("the other program's file: %q, %v", b, err)
			}
		})
	}
}

// TestReusedInodeInTree is TestReusedInode for a file in the .part of a tree that is given up. One of ours that somebody has
// only written to goes.
func TestReusedInodeInTree(t *testing.T) {
	src, sh := tree(t, map[string]string{"a": string(content(1, 3<<20)), "b": string(content(2, 3<<20))}, chunker.Config{})
	dst, to := open(t, t.TempDir(), always()), t.TempDir()
	d := begin(t, dst, store.Target{Root: sh.Root, Dir: to, Name: "out"})
	if err := pump(t, openRoot(t, src, sh.Root), d, func(i int) bool { return i < 5 }); err != nil {
		t.Fatal(err)
	}
	if err := d.Pause(); err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(to, "out.part")
	replaceInode(t, filepath.Join(part, "a"), "mine")
	f, err := os.OpenFile(filepath.Join(part, "b"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("scribble"), 0)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if err := dst.Remove(sh.Root); err != nil {
		t.Fatal(err)
	}
	sameTree(t, readTree(t, part), map[string]string{"a": "mine"})
}
