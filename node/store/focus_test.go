//go:build unix

package store_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"shoal/chunker"
	"shoal/node/store"
)

// dressedTree shares bookTree with modes and times of its own.
func dressedTree(t testing.TB) (src *store.Store, sh store.Share) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "book")
	makeTree(t, dir, bookTree())
	for name, mode := range map[string]fs.FileMode{"a/one.bin": 0o640, "a/two.txt": 0o444, "a/none": 0o600, "a/void": 0o711, "a": 0o550, "b/four.txt": 0o751} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
		then := time.Unix(1_000_000_000+int64(len(name)), 0)
		if err := os.Chtimes(filepath.Join(dir, name), then, then); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(dir, "a"), 0o755) })
	src = open(t, t.TempDir(), always())
	return src, share(t, src, dir, chunker.Config{Preserve: true})
}

// sameLooks compares modes, times, kinds and symlink targets of all below rel.
func sameLooks(t testing.TB, got, want, rel string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(want, rel), func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(want, p)
		w, err := os.Lstat(p)
		if err != nil {
			return err
		}
		g, err := os.Lstat(filepath.Join(got, name))
		if err != nil {
			t.Errorf("%v", err)
			return nil
		}
		if g.Mode() != w.Mode() || !g.ModTime().Equal(w.ModTime()) {
			t.Errorf("%s is %v of %v, want %v of %v", name, g.Mode(), g.ModTime(), w.Mode(), w.ModTime())
		}
		if w.Mode().Type() == fs.ModeSymlink {
			is, _ := os.Readlink(filepath.Join(got, name))
			if is2, _ := os.Readlink(p); is != is2 {
				t.Errorf("%s leads to %q, not %q", name, is, is2)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A part that has come of an unfinished download has all that belongs to it: empty files, directories, symlinks, modes and times.
func TestNarrowedDownloadIsDressed(t *testing.T) {
	src, sh := dressedTree(t)
	home, to := t.TempDir(), t.TempDir()
	dst := open(t, home, always())
	tgt := store.Target{Root: sh.Root, Dir: to, Name: "book"}
	t.Cleanup(func() {
		for _, name := range []string{"book", "book.part"} {
			os.Chmod(filepath.Join(to, name, "a"), 0o755)
		}
	})
	paused(t, src, dst, tgt, 1)
	part := tgt
	part.Select = []string{"a"}
	d := begin(t, dst, part)
	if err := pump(t, openRoot(t, src, sh.Root), d, nil); err != nil {
		t.Fatal(err)
	}
	got, ended, err := d.EndPart(context.Background())
	if err != nil || !ended {
		t.Fatalf("%+v, %v, %v", got, ended, err)
	}
	sameLooks(t, got.Path, sh.Path, "a")
	if err := dst.Close(); err != nil {
		t.Fatal(err)
	}
	dst = open(t, home, always())
	whole, _ := comes(t, src, dst, tgt)
	sameLooks(t, whole.Path, sh.Path, "")
	sameTree(t, readTree(t, whole.Path), bookTree())
	noParts(t, to)
}

// So it has where the download goes on meanwhile.
func TestPartOfARunningDownloadIsDressed(t *testing.T) {
	src, sh := dressedTree(t)
	to := t.TempDir()
	dst := open(t, t.TempDir(), always())
	t.Cleanup(func() {
		for _, name := range []string{"book", "book.part"} {
			os.Chmod(filepath.Join(to, name, "a"), 0o755)
		}
	})
	d := begin(t, dst, store.Target{Root: sh.Root, Dir: to, Name: "book"})
	r := openRoot(t, src, sh.Root)
	l, err := src.Layout(sh.Root)
	if err != nil {
		t.Fatal(err)
	}
	inA := func(i int) bool {
		entry, _, _ := l.Place(i)
		return filepath.Dir(l.Entries()[entry].Path) == "a"
	}
	if err := pump(t, r, d, inA); err != nil {
		t.Fatal(err)
	}
	got, whole, err := d.PartOf(context.Background(), []string{"a"})
	if err != nil || !whole {
		t.Fatalf("%+v, %v, %v", got, whole, err)
	}
	sameLooks(t, got.Path, sh.Path, "a")
	if err := pump(t, r, d, nil); err != nil {
		t.Fatal(err)
	}
	done, err := d.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	sameLooks(t, done.Path, sh.Path, "")
	sameTree(t, readTree(t, done.Path), bookTree())
}

// Nor do the modes of directories that a part was given stand in the way of what follows: merging, moving to another disk, fetching again
// what was deleted, giving up.
func TestNarrowedDownloadWithClosedDirs(t *testing.T) {
	if runsAsNobody(t) {
		return
	}
	src, sh := dressedTree(t)
	for _, row := range []string{"merged", "on another disk", "deleted", "given up"} {
		t.Run(row, func(t *testing.T) {
			to, dst := t.TempDir(), open(t, t.TempDir(), always())
			tgt := store.Target{Root: sh.Root, Dir: to, Name: "book"}
			far := otherDisk(t)
			t.Cleanup(func() {
				for _, dir := range []string{to, far} {
					os.Chmod(filepath.Join(dir, "book", "a"), 0o755)
					os.Chmod(filepath.Join(dir, "book.part", "a"), 0o755)
				}
			})
			paused(t, src, dst, tgt, 1)
			part := tgt
			part.Select = []string{"a"}
			d := begin(t, dst, part)
			if err := pump(t, openRoot(t, src, sh.Root), d, nil); err != nil {
				t.Fatal(err)
			}
			got, ended, err := d.EndPart(context.Background())
			if err != nil || !ended {
				t.Fatalf("%+v, %v, %v", got, ended, err)
			}
			closed := filepath.Join(got.Path, "a")
			if fi, err := os.Stat(closed); err != nil || fi.Mode().Perm() != 0o550 {
				t.Fatalf("%v, %v", fi, err)
			}
			switch row {
			case "merged":
				err = os.Mkdir(filepath.Join(to, "book"), 0o755)
			case "on another disk":
				if tgt.Dir = far; far == "" {
					t.Skip("there is no second file system to write to (/dev/shm)")
				}
			case "deleted":
				err = errors.Join(os.Chmod(closed, 0o750), os.Remove(filepath.Join(closed, "one.bin")), os.Chmod(closed, 0o550))
			case "given up":
				if err := dst.Remove(sh.Root); err != nil {
					t.Fatal(err)
				}
				noParts(t, to)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			whole, _ := comes(t, src, dst, tgt)
			if whole.LeftN > 0 {
				t.Errorf("left out: %+v", whole.Left)
			}
			sameLooks(t, whole.Path, sh.Path, "a")
			sameTree(t, readTree(t, whole.Path), bookTree())
			noParts(t, to, far)
		})
	}
}

// A restart goes on with what was asked for last, not with all that the download is for.
func TestRestartOfANarrowedDownload(t *testing.T) {
	src, sh := tree(t, bookTree(), chunker.Config{})
	home, to := t.TempDir(), t.TempDir()
	dst := open(t, home, always())
	tgt := store.Target{Root: sh.Root, Dir: to, Name: "book"}
	paused(t, src, dst, tgt, 1)
	restart := func(selects, want []string) {
		t.Helper()
		tgt.Select = selects
		begin(t, dst, tgt)
		if err := dst.Close(); err != nil {
			t.Fatal(err)
		}
		dst = open(t, home, always())
		if got, err := dst.Unfinished(); err != nil || len(got) != 1 || !slices.Equal(got[0].Select, want) {
			t.Errorf("after %q: %+v, %v", selects, got, err)
		}
	}
	restart([]string{"b"}, []string{"b"})
	restart([]string{"a", "top.txt"}, []string{"a", "top.txt"})
	tgt.Select = []string{"typo"}
	if _, err := dst.Download(context.Background(), tgt, chunker.Limits{}); err == nil {
		t.Fatal("a typo was found")
	}
	restart(nil, nil)
	got, _ := comes(t, src, dst, tgt)
	sameTree(t, readTree(t, got.Path), bookTree())
}
