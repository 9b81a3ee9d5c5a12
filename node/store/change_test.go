package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/chunker"
	"shoal/node/store"
)

// TestChanged alters one file of a shared tree: only that file stops being served,
// the reason tells what happened, and it is served again once it fits.
func TestChanged(t *testing.T) {
	rows := []struct {
		name   string
		alter  func(path string) error
		reason string
		undo   bool // put the old file back
	}{
		{"edited", func(p string) error { return os.WriteFile(p, []byte("ALPHA"), 0o644) }, "a.txt was edited", false},
		{"truncated", func(p string) error { return os.Truncate(p, 2) }, "a.txt was truncated from 5 to 2 bytes", false},
		{"grown", func(p string) error { return os.Truncate(p, 9) }, "a.txt grew from 5 to 9 bytes", false},
		{"deleted", os.Remove, "a.txt was deleted", true},
		{"replaced", func(p string) error {
			return errors.Join(os.WriteFile(p+"2", []byte("alpha"), 0o644), os.Rename(p+"2", p))
		}, "a.txt was replaced by another file", true},
		{"turned into a directory", func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o755)) }, "a.txt is no regular file any more", true},
		{"unreadable", func(p string) error { return errors.Join(os.Remove(p), os.Symlink(p, p)) }, "a.txt cannot be read", true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			home := t.TempDir()
			s := open(t, home, always())
			dir := filepath.Join(t.TempDir(), "tree")
			makeTree(t, dir, map[string]string{"a.txt": "alpha", "b.txt": "bravo"})
			sh := share(t, s, dir, chunker.Config{})
			path := filepath.Join(dir, "a.txt")
			keep := filepath.Join(t.TempDir(), "keep")
			if err := os.Link(path, keep); err != nil {
				t.Fatal(err)
			}
			if err := row.alter(path); err != nil {
				t.Fatal(err)
			}
			if row.name == "edited" {
				os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour))
			}

			r := openRoot(t, s, sh.Root)
			buf := make([]byte, 1<<20)
			if _, err := r.ReadLeaf(0, buf); !errors.Is(err, store.ErrChanged) || !strings.Contains(err.Error(), row.reason) {
				t.Errorf("read: %v, want %q", err, row.reason)
			}
			if n, err := r.ReadLeaf(1, buf); err != nil || string(buf[:n]) != "bravo" {
				t.Errorf("the other file: %q, %v", buf[:n], err)
			}
			if have := r.Have(); len(have) != 1 || have[0] != 0b10 {
				t.Errorf("have %b, want 10", have)
			}
			check := func(s *store.Store) {
				t.Helper()
				got, err := s.Shares()
				if err != nil || len(got) != 1 || got[0].State != store.Changed || got[0].Have != 1 || !strings.Contains(got[0].Reason, row.reason) {
					t.Errorf("shares: %+v, %v", got, err)
				}
			}
			check(s)
			r.Close()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, home, always())
			check(s)
			if !row.undo {
				return
			}
			if err := errors.Join(os.RemoveAll(path), os.Rename(keep, path)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Verify(context.Background(), sh.Root, false, nil); err != nil { // its time of change is new
				t.Fatal(err)
			}
			got, err := s.Share(sh.Root)
			if err != nil || got.State != store.Complete || got.Reason != "" || got.Have != 2 || got.HaveBytes != 10 {
				t.Errorf("put back: %+v, %v", got, err)
			}
			servesAll(t, s, sh.Root, []byte("alphabravo"))
		})
	}
}

// TestChangedWhileOpen replaces a file that a Root holds open.
func TestChangedWhileOpen(t *testing.T) {
	s := open(t, t.TempDir(), always())
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, content(1, 3<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	sh := share(t, s, path, chunker.Config{})
	r := openRoot(t, s, sh.Root)
	buf := make([]byte, 1<<20)
	if _, err := r.ReadLeaf(0, buf); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadLeaf(1, buf); !errors.Is(err, store.ErrChanged) || !strings.Contains(err.Error(), "f was deleted") {
		t.Errorf("read after delete: %v", err)
	}
	if have := r.Have(); len(have) != 1 || have[0] != 0 {
		t.Errorf("have %b, want none", have)
	}
	if err := s.Check(context.Background(), sh.Root); err != nil {
		t.Error(err)
	}
}

func TestReshare(t *testing.T) {
	s := open(t, t.TempDir(), always())
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	data := content(2, 2<<20+9)
	for _, p := range []string{one, two} {
		if err := os.WriteFile(p, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	first := share(t, s, one, chunker.Config{})
	if again := share(t, s, two, chunker.Config{}); again.Path != two || len(again.Places) != 2 {
		t.Errorf("path %s, places %+v: want both", again.Path, again.Places)
	}
	if err := os.Remove(one); err != nil {
		t.Fatal(err)
	}
	if again := share(t, s, two, chunker.Config{}); again.Path != two || again.State != store.Complete {
		t.Errorf("after the first was deleted: %+v", again)
	}
	servesAll(t, s, first.Root, data)
	if all, err := s.Shares(); err != nil || len(all) != 1 {
		t.Errorf("shares: %v, %v", all, err)
	}
	// The same path with other content is another root. It replaces the old one, whose other place was gone, and was dropped above.
	if err := os.WriteFile(two, data[1:], 0o644); err != nil {
		t.Fatal(err)
	}
	if other := share(t, s, two, chunker.Config{}); other.Root.Equals(first.Root) {
		t.Error("same root for other content")
	}
	if old, err := s.Share(first.Root); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("old share: %+v, %v", old, err)
	}
	if all, err := s.Shares(); err != nil || len(all) != 1 {
		t.Errorf("shares: %v, %v", all, err)
	}
}

func TestVerify(t *testing.T) {
	s := open(t, t.TempDir(), always())
	dir := filepath.Join(t.TempDir(), "tree")
	big := string(content(5, 3<<20))
	makeTree(t, dir, map[string]string{"big": big, "gone": "gone", "moved": "moved", "ok": "ok", "rot": "rot"})
	sh := share(t, s, dir, chunker.Config{})
	at := func(name string) string { return filepath.Join(dir, name) }
	// big: the second chunk edited. moved: another inode and time, same content. rot: other
	// content under the same size and modification time.
	stat, _ := os.Stat(at("rot"))
	f, err := os.OpenFile(at("big"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte("!"), 1<<20+5)
	f.Close()
	err = errors.Join(os.Remove(at("gone")), os.Remove(at("moved")), os.WriteFile(at("moved"), []byte("moved"), 0o600),
		os.WriteFile(at("rot"), []byte("ROT"), 0o644), os.Chtimes(at("rot"), time.Time{}, stat.ModTime()),
		os.Chtimes(at("big"), time.Time{}, time.Now().Add(time.Hour)), os.Chtimes(at("moved"), time.Time{}, time.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]store.FileStatus{"big": store.FileChanged, "gone": store.FileMissing, "rot": store.FileChanged}
	verify := func(full bool) {
		t.Helper()
		var last int64
		rep, err := s.Verify(context.Background(), sh.Root, full, func(n int64) { last = n })
		if err != nil || rep.Files != 5 || rep.OK != 5-len(want) || last != rep.Bytes {
			t.Errorf("report %+v, progress %d, %v", rep, last, err)
		}
		for _, b := range rep.Bad {
			if want[b.Path] != b.Status {
				t.Errorf("%s is %v: %s", b.Path, b.Status, b.Reason)
			}
			if b.Path == "big" && b.BadLeaves != 1 {
				t.Errorf("big: %d bad leaves, want 1", b.BadLeaves)
			}
		}
		if len(rep.Bad) != len(want) {
			t.Errorf("bad: %+v", rep.Bad)
		}
	}
	verify(false)
	want["rot"] = store.FileDamaged
	want["big"] = store.FileDamaged // the stat was taken over
	verify(true)
	r := openRoot(t, s, sh.Root)
	if have := r.Have(); len(have) != 1 || have[0] != 0b0110101 {
		t.Errorf("have %07b, want 0110101: big 1 0 1, gone, moved, ok, rot", have)
	}
	if got, err := s.Share(sh.Root); err != nil || got.State != store.Changed || got.Have != 4 || got.HaveBytes != 2<<20+7 {
		t.Errorf("share %+v, %v", got, err)
	}
	// Everything put right.
	makeTree(t, dir, map[string]string{"big": big, "gone": "gone", "rot": "rot"})
	clear(want)
	verify(false)
	if got, err := s.Share(sh.Root); err != nil || got.State != store.Complete || got.Have != got.Leaves {
		t.Errorf("share %+v, %v", got, err)
	}
	servesAll(t, s, sh.Root, []byte(big+"gonemovedokrot"))
}
