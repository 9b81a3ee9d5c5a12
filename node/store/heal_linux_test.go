package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/chunker"
	"shoal/node/store"
	"shoal/testnet/fault"
)

// shareMany shares trees until that fails, so that the log is started anew several times.
func shareMany(t *testing.T, s *store.Store, path string, times int) error {
	t.Helper()
	for range times {
		im := s.Import()
		tree, err := chunker.Build(context.Background(), path, chunker.Config{}, im.PutNode)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = im.Commit(context.Background(), tree, path, ""); err != nil {
			return err
		}
		if err := s.Remove(tree.Root); err != nil {
			return err
		}
	}
	return nil
}

// manyFiles is a tree whose rows fill a good part of a log.
func manyFiles(t *testing.T) string {
	t.Helper()
	files := map[string]string{}
	for i := range 3000 {
		files[fmt.Sprintf("d%d/a rather long name for a small file %d", i%10, i)] = fmt.Sprint(i)
	}
	path := filepath.Join(t.TempDir(), "many")
	makeTree(t, path, files)
	return path
}

// works waits until the index can be written again.
func works(t *testing.T, s *store.Store) {
	t.Helper()
	for end := time.Now().Add(time.Minute); s.Trouble() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not heal: %v", s.Trouble())
		}
	}
}

// TestIndexDiskFails makes the disk of the home fail under an open index, by refused writes and by syncs that fail. Reading goes
// on, writing is refused with a sentence, and when the disk works again so does the index, with all that was recorded.
// It needs FUSE: apt-get install fuse3.
func TestIndexDiskFails(t *testing.T) {
	for name, row := range map[string]struct{ fail, heal func(f *fault.FS) }{
		"writes": {func(f *fault.FS) { f.SetRoom(0) }, func(f *fault.FS) { f.SetRoom(-1) }},
		"syncs":  {func(f *fault.FS) { f.FailSyncs(true) }, func(f *fault.FS) { f.FailSyncs(false); f.Forget() }},
	} {
		t.Run(name, func(t *testing.T) {
			disk := fault.MountFS(t, filepath.Join(t.TempDir(), "disk"))
			home := filepath.Join(disk.Dir, "home")
			s, err := store.Open(home, always())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			many := manyFiles(t)
			path := filepath.Join(t.TempDir(), "first")
			makeTree(t, path, map[string]string{"a": "alpha"})
			first := share(t, s, path, chunker.Config{})
			edited := filepath.Join(t.TempDir(), "edited")
			makeTree(t, edited, map[string]string{"a": "bravo"})
			second := share(t, s, edited, chunker.Config{})
			looks := func(state store.State, bad int) { // verify and ls tell what they find, whether or not it can be recorded
				t.Helper()
				if rep, err := s.Verify(context.Background(), second.Root, true, nil); err != nil || len(rep.Bad) != bad {
					t.Errorf("verify: %+v, %v, want %d bad", rep, err, bad)
				}
				if list, err := s.Survey(context.Background()); err != nil || len(list) != 2 || list[1].State != state {
					t.Errorf("survey: %+v, %v, want %s", list, err, state)
				}
			}
			for round := range 2 {
				row.fail(disk)
				err := shareMany(t, s, many, 20)
				if err == nil || s.Trouble() == nil || !oneLine(s.Trouble()) {
					t.Fatalf("round %d: error %v, trouble %v", round, err, s.Trouble())
				}
				var h *store.HomeError
				if !errors.As(err, &h) || h.Home != home || h.Mount != disk.Dir {
					t.Errorf("round %d: %v does not name the disk of the home: %+v", round, err, h)
				}
				if got, err := s.Share(first.Root); err != nil || got.State != store.Complete {
					t.Errorf("round %d: share %+v, %v", round, got, err)
				}
				looks(store.Complete, 0)
				if err := os.WriteFile(filepath.Join(edited, "a"), []byte("other"), 0o644); err != nil {
					t.Fatal(err)
				}
				looks(store.Changed, 1)
				if _, err := openRoot(t, s, first.Root).ReadLeaf(0, make([]byte, 100)); err != nil {
					t.Errorf("round %d: read: %v", round, err)
				}
				row.heal(disk)
				works(t, s)
				looks(store.Changed, 1)
				if err := os.WriteFile(filepath.Join(edited, "a"), []byte("bravo"), 0o644); err != nil {
					t.Fatal(err)
				}
				looks(store.Complete, 0)
				for end := time.Now().Add(time.Minute); ; { // a flush of before may fail yet
					works(t, s)
					err := shareMany(t, s, many, 3)
					if err == nil {
						break
					}
					if time.Now().After(end) {
						t.Fatalf("round %d: after it healed: %v", round, err)
					}
				}
			}
			made := share(t, s, many, chunker.Config{})
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if c := examine(t, home); !c.Sound() || c.Shares != 3 {
				t.Errorf("after all: %+v", c)
			}
			s = open(t, home, always())
			for _, want := range []store.Share{first, made} {
				if got, err := s.Share(want.Root); err != nil || got.State != store.Complete {
					t.Errorf("opened again: %+v, %v", got, err)
				}
			}
		})
	}
}

// TestNoRemoval fetches to a disk on which nothing can be deleted: it works all the same or that is said, and when it can be the same Download
// leaves nothing behind. It needs FUSE: apt-get install fuse3.
func TestNoRemoval(t *testing.T) {
	src, sh := tree(t, map[string]string{"a": "alpha", "d/b": "bravo"}, chunker.Config{})
	for _, name := range []string{"x", "a:b"} {
		disk := fault.MountFS(t, filepath.Join(t.TempDir(), "disk"))
		dst := open(t, t.TempDir(), always())
		tgt := store.Target{Root: sh.Root, Dir: disk.Dir, Name: name}
		disk.FailRemoves(true)
		if d, err := dst.Download(context.Background(), tgt, chunker.Limits{}); err == nil {
			d.Close()
		} else if !oneLine(err) {
			t.Errorf("%q: %v", name, err)
		}
		disk.FailRemoves(false)
		if got := fetch(t, src, dst, tgt); got.LeftN != 0 {
			t.Errorf("%q: left out %v", name, got.Left)
		}
		if list, err := os.ReadDir(disk.Dir); err != nil || len(list) != 1 {
			t.Errorf("%q: left behind: %v, %v", name, list, err)
		}
	}
}

// TestNoInodes uses up the inodes on the disk of the home. It needs root, and mkfs.ext4: apt-get install e2fsprogs.
func TestNoInodes(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	fault.Format(t, disk, "ext4", 64<<20, "-N", "128", "-m", "0")
	home := filepath.Join(disk, "home")
	s, err := store.Open(home, always())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	path := filepath.Join(t.TempDir(), "first")
	makeTree(t, path, map[string]string{"a": "alpha"})
	first := share(t, s, path, chunker.Config{})
	other := filepath.Join(t.TempDir(), "other")
	makeTree(t, other, map[string]string{"b": "beta"})
	second := share(t, s, other, chunker.Config{})
	many := manyFiles(t)
	fill := filepath.Join(disk, "fill")
	if err := os.Mkdir(fill, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		if os.WriteFile(filepath.Join(fill, fmt.Sprint(i)), nil, 0o600) != nil {
			break
		}
	}
	if err := shareMany(t, s, many, 20); !errors.Is(err, store.ErrNoSpace) || !strings.Contains(err.Error(), "inodes") {
		t.Errorf("share: %v", err)
	}
	if err := s.Trouble(); err == nil || !strings.Contains(err.Error(), home) {
		t.Errorf("trouble: %v", err)
	}
	if got, err := s.Share(first.Root); err != nil || got.State != store.Complete {
		t.Errorf("share %+v, %v", got, err)
	}
	if err := s.Remove(second.Root); err != nil {
		t.Errorf("remove: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := store.Open(home, always()); !errors.Is(err, store.ErrNoSpace) || !oneLine(err) {
		t.Errorf("open: %v", err)
	}
	if err := os.RemoveAll(fill); err != nil {
		t.Fatal(err)
	}
	s, err = store.Open(home, always())
	if err != nil {
		t.Fatal(err)
	}
	if err := shareMany(t, s, many, 2); err != nil {
		t.Errorf("with inodes again: %v", err)
	}
	if all, err := s.Shares(); err != nil || len(all) != 1 {
		t.Errorf("shares %+v, %v", all, err)
	}
	if c := s.Close(); c != nil {
		t.Error(c)
	}
	if c := examine(t, home); !c.Sound() {
		t.Errorf("%+v", c)
	}
}

// TestInodesRunOut takes the inodes away while much is shared, so that Pebble meets the lack of them itself.
func TestInodesRunOut(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	fault.Format(t, disk, "ext4", 96<<20, "-N", "96", "-m", "0")
	home := filepath.Join(disk, "home")
	s, err := store.Open(home, always())
	if err != nil {
		t.Fatal(err)
	}
	s.NoReserve()
	defer s.Close()
	path := filepath.Join(t.TempDir(), "first")
	makeTree(t, path, map[string]string{"a": "alpha"})
	first := share(t, s, path, chunker.Config{})
	many := manyFiles(t)
	fill := filepath.Join(disk, "fill")
	os.Mkdir(fill, 0o700)
	for i := 0; os.WriteFile(filepath.Join(fill, fmt.Sprint(i)), nil, 0o600) == nil; i++ {
	}
	err = shareMany(t, s, many, 40)
	if err == nil || !oneLine(err) || s.Trouble() == nil {
		t.Fatalf("share: %v, trouble %v", err, s.Trouble())
	}
	if got, err := s.Share(first.Root); err != nil || got.State != store.Complete {
		t.Errorf("share %+v, %v", got, err)
	}
	os.RemoveAll(fill)
	works(t, s)
	if err := shareMany(t, s, many, 2); err != nil {
		t.Errorf("with inodes again: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if c := examine(t, home); !c.Sound() || c.Shares != 1 {
		t.Errorf("%+v", c)
	}
}
