package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// quietly changes a byte of a file and puts its time back.
func quietly(t *testing.T, path string) {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], 3)
	b[0] ^= 1
	if err == nil {
		_, err = f.WriteAt(b[:], 3)
	}
	if err := errors.Join(err, f.Close(), os.Chtimes(path, fi.ModTime(), fi.ModTime())); err != nil {
		t.Fatal(err)
	}
}

// TestNoTimeOfChange edits files on exFAT through FUSE, whose clock counts in seconds and which has no time of change: what looks as it was is
// hashed before it is called right.
func TestNoTimeOfChange(t *testing.T) {
	ctx := context.Background()
	disk := oddDisk(t, "exfat")
	files := map[string]string{"large": string(content(1, 3<<20)), "small": "bravo", "other": "charlie", "z": string(content(2, 3<<20))}
	src, sh := tree(t, files, chunker.Config{})

	t.Run("shared again", func(t *testing.T) {
		s := open(t, t.TempDir(), always())
		path := filepath.Join(disk, "shared")
		makeTree(t, path, files)
		share(t, s, path, chunker.Config{})
		quietly(t, filepath.Join(path, "large"))
		im := s.Import()
		known, err := im.Known(path)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := chunker.Build(ctx, path, chunker.Config{Known: known}, im.PutNode); err != nil || again.Root.Equals(sh.Root) {
			t.Errorf("the edited tree has the old CID, %v", err)
		}
	})
	t.Run("verified", func(t *testing.T) {
		s := open(t, t.TempDir(), always())
		path := filepath.Join(disk, "verified")
		makeTree(t, path, files)
		share(t, s, path, chunker.Config{})
		quietly(t, filepath.Join(path, "small"))
		if r, err := s.Verify(ctx, sh.Root, false, nil); err != nil || len(r.Bad) != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("paused", func(t *testing.T) {
		for _, name := range []string{"large", "small"} {
			dst := open(t, t.TempDir(), always())
			tgt := store.Target{Root: sh.Root, Dir: disk, Name: "paused " + name}
			d := begin(t, dst, tgt)
			if err := pump(t, openRoot(t, src, sh.Root), d, func(i int) bool { return i < 7 }); err != nil {
				t.Fatal(err)
			}
			if err := d.Pause(); err != nil {
				t.Fatal(err)
			}
			quietly(t, filepath.Join(disk, tgt.Name+".part", name))
			sameTree(t, readTree(t, fetch(t, src, dst, tgt).Path), files)
		}
	})
	t.Run("written", func(t *testing.T) {
		dst := open(t, t.TempDir(), always())
		tgt := store.Target{Root: sh.Root, Dir: disk, Name: "written"}
		d := begin(t, dst, tgt)
		if err := pump(t, openRoot(t, src, sh.Root), d, nil); err != nil {
			t.Fatal(err)
		}
		quietly(t, filepath.Join(disk, "written.part", "small"))
		if _, err := d.Finish(ctx); !errors.Is(err, store.ErrIncomplete) {
			t.Errorf("finish: %v", err)
		}
	})
	t.Run("there", func(t *testing.T) {
		dst := open(t, t.TempDir(), always())
		tgt := store.Target{Root: sh.Root, Dir: disk, Name: "there"}
		path := fetch(t, src, dst, tgt).Path
		quietly(t, filepath.Join(path, "other"))
		if got := fetch(t, src, dst, tgt); got.LeftN != 1 {
			t.Errorf("the edited file is called right: %+v", got)
		}
	})
	t.Run("kept", func(t *testing.T) {
		path := filepath.Join(disk, "kept")
		makeTree(t, path, map[string]string{"large": files["large"], "small": files["small"]})
		d := begin(t, open(t, t.TempDir(), always()), store.Target{Root: sh.Root, Dir: disk, Name: "kept"})
		if err := pump(t, openRoot(t, src, sh.Root), d, nil); err != nil {
			t.Fatal(err)
		}
		quietly(t, filepath.Join(path, "small"))
		if got, err := d.Finish(ctx); err != nil || got.LeftN != 1 {
			t.Errorf("the edited file is called right: %+v, %v", got, err)
		}
	})
}
