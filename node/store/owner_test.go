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

// TestLatePart lets another program make NAME.part after the download chose that name:
// its file is neither written to, nor cut, nor deleted.
func TestLatePart(t *testing.T) {
	const mine = "mine, and longer than nothing"
	rows := []struct {
		name   string
		leaves int  // written before
		closed bool // meanwhile
		remove bool // the download, instead of going on with it
	}{
		{"before the first write", 0, false, false},
		{"before the first write, restarted", 0, true, false},
		{"half way, restarted", 2, true, false},
		{"before the first write, removed", 0, true, true},
		{"half way, removed", 2, true, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			src, sh, data := lone(t, 3<<20+5)
			to := t.TempDir()
			part := filepath.Join(to, "x.part")
			dst := open(t, t.TempDir(), always())
			tgt := store.Target{Root: sh.Root, Dir: to, Name: "x"}
			d := begin(t, dst, tgt)
			r := openRoot(t, src, sh.Root)
			if err := pump(t, r, d, func(i int) bool { return i < row.leaves }); err != nil {
				t.Fatal(err)
			}
			if row.closed {
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(os.WriteFile(part+"2", []byte(mine), 0o644), os.Rename(part+"2", part)); err != nil {
				t.Fatal(err)
			}
			switch {
			case row.remove:
				if err := dst.Remove(sh.Root); err != nil {
					t.Fatal(err)
				}
			case !row.closed:
				if err := pump(t, r, d, nil); !errors.Is(err, store.ErrExists) {
					t.Errorf("write: %v", err)
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if !row.remove {
				got := fetch(t, src, dst, tgt)
				if b, err := os.ReadFile(got.Path); err != nil || string(b) != string(data) {
					t.Errorf("result differs: %v", err)
				}
			}
			if b, err := os.ReadFile(part); err != nil || string(b) != mine {
				t.Errorf("the other program's file: %d bytes, %v", len(b), err)
			}
		})
	}
}

// TestEditedPart edits a .part in place while the download is paused: recorded chunks
// are looked at again.
func TestEditedPart(t *testing.T) {
	src, sh := tree(t, map[string]string{"a": "alpha", "b": string(content(1, 3<<20))}, chunker.Config{})
	for _, file := range []string{"a", "b"} {
		to := t.TempDir()
		dst := open(t, t.TempDir(), always())
		tgt := store.Target{Root: sh.Root, Dir: to, Name: "x"}
		d := begin(t, dst, tgt)
		if err := errors.Join(pump(t, openRoot(t, src, sh.Root), d, nil), d.Pause()); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(filepath.Join(to, "x.part", file), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		tick(t, f)
		if _, err := f.WriteAt([]byte("!"), 1); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		got := fetch(t, src, dst, tgt)
		sameTree(t, readTree(t, got.Path), map[string]string{"a": "alpha", "b": string(content(1, 3<<20))})
	}
}

// tick waits until the clock of f's file system has moved on from its time.
func tick(t *testing.T, f *os.File) {
	t.Helper()
	was, err := f.Stat()
	for err == nil {
		var tmp *os.File
		if tmp, err = os.CreateTemp(filepath.Dir(f.Name()), "tick"); err != nil {
			break
		}
		fi, serr := tmp.Stat()
		err = errors.Join(serr, tmp.Close(), os.Remove(tmp.Name()))
		if err == nil && fi.ModTime().After(was.ModTime()) {
			return
		}
	}
	t.Fatal(err)
}

// TestOneName stands in for a file system on which two names of a share are one file.
func TestOneName(t *testing.T) {
	src, sh := tree(t, map[string]string{"A": "one", "a": "two"}, chunker.Config{})
	for _, restart := range []bool{false, true} {
		to := t.TempDir()
		dst := open(t, t.TempDir(), always())
		tgt := store.Target{Root: sh.Root, Dir: to, Name: "x"}
		d := begin(t, dst, tgt)
		if err := pump(t, openRoot(t, src, sh.Root), d, func(i int) bool { return i == 0 }); err != nil {
			t.Fatal(err)
		}
		if restart {
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Link(filepath.Join(to, "x.part/A"), filepath.Join(to, "x.part/a")); err != nil {
			t.Fatal(err)
		}
		if restart {
			d = begin(t, dst, tgt)
		}
		if err := pump(t, openRoot(t, src, sh.Root), d, nil); err == nil {
			t.Error("two names for one file were written")
		}
		if b, err := os.ReadFile(filepath.Join(to, "x.part/A")); err != nil || string(b) != "one" {
			t.Errorf("the first holds %q, %v", b, err)
		}
		d.Close()
	}
}

// TestDirGone takes the directory of the destination away from under a fetch: the error says so, whatever else it says.
func TestDirGone(t *testing.T) {
	src, sh, _ := lone(t, 4<<20)
	for name, take := range map[string]func(dir string) error{
		"deleted": os.RemoveAll,
		"moved":   func(dir string) error { return os.Rename(dir, dir+".moved") },
		"replaced": func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".moved"), os.Mkdir(dir, 0o755))
		},
		"replaced by a symlink": func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".moved"), os.Mkdir(dir+".other", 0o755), os.Symlink(dir+".other", dir))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "dir")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			s := open(t, t.TempDir(), always())
			d := begin(t, s, store.Target{Root: sh.Root, Dir: dir, Name: "x"})
			if err := pump(t, openRoot(t, src, sh.Root), d, func(i int) bool { return i < 2 }); err != nil {
				t.Fatal(err)
			}
			if err := take(dir); err != nil {
				t.Fatal(err)
			}
			err := pump(t, openRoot(t, src, sh.Root), d, nil)
			if err == nil {
				_, err = d.Finish(context.Background())
			}
			if !errors.Is(err, store.ErrDirGone) {
				t.Errorf("error %v", err)
			}
			if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
				t.Errorf("written to the new directory: %v", list)
			}
		})
	}
}

// TestSwappedFiles has another program swap files of a .part while they are written, and when all are: they are fetched again, and are
// not taken for one name.
func TestSwappedFiles(t *testing.T) {
	files := map[string]string{"a": "alpha", "b": "bravo", "c": string(content(1, 3<<20)), "d": string(content(2, 3<<20))}
	src, sh := tree(t, files, chunker.Config{})
	for _, pair := range [][2]string{{"a", "b"}, {"c", "d"}, {"a", "c"}} {
		for _, at := range []int{3, 6, 100} {
			to := t.TempDir()
			d := begin(t, open(t, t.TempDir(), always()), store.Target{Root: sh.Root, Dir: to, Name: "x"})
			if err := pump(t, openRoot(t, src, sh.Root), d, func(i int) bool { return i < at }); err != nil {
				t.Fatal(err)
			}
			part := func(name string) string { return filepath.Join(to, "x.part", name) }
			if err := errors.Join(os.Rename(part(pair[0]), part("tmp")), os.Rename(part(pair[1]), part(pair[0])), os.Rename(part("tmp"), part(pair[1]))); err != nil {
				continue // not there yet
			}
			for try := 1; ; try++ {
				if err := pump(t, openRoot(t, src, sh.Root), d, nil); err != nil {
					t.Fatalf("%v at %d: %v", pair, at, err)
				}
				_, err := d.Finish(context.Background())
				if err == nil {
					break
				}
				if !errors.Is(err, store.ErrIncomplete) || try == 5 {
					t.Fatalf("%v at %d, try %d: %v", pair, at, try, err)
				}
			}
			sameTree(t, readTree(t, filepath.Join(to, "x")), files)
		}
	}
}

// TestLateWrite writes a chunk once more after it is there, as an endgame may: nothing
// is touched, so that the finished file stays as it was recorded.
func TestLateWrite(t *testing.T) {
	src, sh, data := lone(t, 2<<20)
	dst := open(t, t.TempDir(), always())
	d := begin(t, dst, store.Target{Root: sh.Root, Dir: t.TempDir(), Name: "x"})
	if err := pump(t, openRoot(t, src, sh.Root), d, nil); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2000 {
			_ = d.Write(1, data[1<<20:])
		}
	}()
	got, err := d.Finish(context.Background())
	<-done
	if err != nil {
		t.Fatal(err)
	}
	servesAll(t, dst, sh.Root, data)
	if _, err := os.Lstat(got.Path + ".part"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a .part was left: %v", err)
	}
}
