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

func examine(t *testing.T, home string) *store.Checkup {
	t.Helper()
	c, err := store.Examine(context.Background(), home, store.Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func repair(t *testing.T, home string) map[string]store.RepairedShare {
	t.Helper()
	m, err := store.Repair(context.Background(), home, store.Config{}, func(string) chunker.Config { return chunker.Config{} }, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]store.RepairedShare{}
	for _, s := range m.Shares {
		out[s.Name] = s
	}
	return out
}

// TestAdopt loses the whole home during a download: the same Download takes its .part up, whatever is in the way of that,
// and no written leaf is asked for again.
func TestAdopt(t *testing.T) {
	big := map[string]string{}
	for i := range 40 {
		big[filepath.Join("d", string(rune('a'+i%26)), string(rune('a'+i/26)))] = string(content(uint64(i), 3000))
	}
	for name, make := range map[string]func(t *testing.T) (*store.Store, store.Share){
		"file": func(t *testing.T) (*store.Store, store.Share) {
			s, sh, _ := lone(t, 12<<20+5)
			return s, sh
		},
		"tree":  func(t *testing.T) (*store.Store, store.Share) { return tree(t, big, chunker.Config{}) },
		"small": func(t *testing.T) (*store.Store, store.Share) { return tree(t, big, smallChunks()) },
	} {
		t.Run(name, func(t *testing.T) {
			src, sh := make(t)
			to := t.TempDir()
			tgt := store.Target{Root: sh.Root, Dir: to, Name: "x"}
			d := begin(t, open(t, t.TempDir(), always()), tgt)
			n := 0
			if err := pump(t, openRoot(t, src, sh.Root), d, func(int) bool { n++; return n <= 7 }); err != nil {
				t.Fatal(err)
			}
			had := d.HaveBytes()
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			d = begin(t, open(t, t.TempDir(), always()), tgt)
			if err := pumpNodes(t, openRoot(t, src, sh.Root), d); err != nil {
				t.Fatal(err)
			}
			if d.HaveBytes() != had || had == 0 {
				t.Errorf("%d bytes are found again, of %d", d.HaveBytes(), had)
			}
			if err := pump(t, openRoot(t, src, sh.Root), d, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Finish(context.Background()); err != nil {
				t.Fatal(err)
			}
			if l, err := os.ReadDir(to); err != nil || len(l) != 1 || l[0].Name() != "x" {
				t.Errorf("the destination holds %v, %v", l, err)
			}
		})
	}
	t.Run("another program's", func(t *testing.T) {
		src, sh, _ := lone(t, 3<<20)
		to := t.TempDir()
		other := filepath.Join(to, "x.part")
		if err := os.WriteFile(other, content(99, 3<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		fetch(t, src, open(t, t.TempDir(), always()), store.Target{Root: sh.Root, Dir: to, Name: "x"})
		if b, err := os.ReadFile(other); err != nil || string(b) != string(content(99, 3<<20)) {
			t.Errorf("it was touched: %v", err)
		}
	})
}

// TestRepair takes the index away, and makes it anew: shares, downloads, what has changed and what is not there.
func TestRepair(t *testing.T) {
	home, files, to := t.TempDir(), t.TempDir(), t.TempDir()
	s := open(t, home, always())
	src, far, _ := lone(t, 6<<20)
	paths := map[string]string{}
	roots := map[string]store.Share{}
	for _, name := range []string{"same", "preserved", "changed", "gone", "bytes\xff"} {
		paths[name] = filepath.Join(files, name)
		makeTree(t, paths[name], map[string]string{"a": name, "sub/b": "b"})
		roots[name] = share(t, s, paths[name], chunker.Config{Preserve: name == "preserved"})
	}
	fetched := fetch(t, src, s, store.Target{Root: far.Root, Dir: to, Name: "whole"})
	src2, half := tree(t, map[string]string{"1": string(content(1, 3<<20)), "2": string(content(2, 3<<20))}, chunker.Config{})
	d := begin(t, s, store.Target{Root: half.Root, Dir: to, Name: "half"})
	if err := pump(t, openRoot(t, src2, half.Root), d, func(i int) bool { return i < 2 }); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if c := examine(t, home); !c.Sound() || c.Shares != 6 || c.Downloads != 1 || c.Nodes < 10 || c.Rows < 10 {
		t.Errorf("a sound home: %+v", c)
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(home, "index")), os.RemoveAll(paths["gone"]),
		os.WriteFile(filepath.Join(paths["changed"], "a"), []byte("else"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if c := examine(t, home); c.Sound() {
		t.Errorf("a home without index: %+v", c)
	}
	if _, err := os.Stat(filepath.Join(home, "index")); err == nil {
		t.Error("the check made an index")
	}
	got := repair(t, home)
	for name, want := range map[string]store.Outcome{
		"same": store.Restored, "preserved": store.Restored, "whole": store.Restored, "bytes\xff": store.Restored,
		"changed": store.Differs, "gone": store.Missing, "half": store.Resumed,
	} {
		if got[name].Outcome != want {
			t.Errorf("%q: %+v, want %s", name, got[name], want)
		}
	}
	if c := examine(t, home); !c.Sound() || c.Shares != 4 || c.Downloads != 1 {
		t.Errorf("after the repair: %+v", c)
	}
	makeTree(t, paths["gone"], map[string]string{"a": "gone", "sub/b": "b"})
	if got := repair(t, home); len(got) != 1 || got["gone"].Outcome != store.Restored {
		t.Errorf("the second repair: %+v", got)
	}
	s = open(t, home, always())
	for _, name := range []string{"same", "preserved", "gone", "bytes\xff"} {
		if sh, err := s.Share(roots[name].Root); err != nil || sh.State != store.Complete || sh.Path != paths[name] {
			t.Errorf("%q: %+v, %v", name, sh, err)
		}
	}
	if sh, err := s.Share(far.Root); err != nil || sh.Path != fetched.Path {
		t.Errorf("fetched: %+v, %v", sh, err)
	}
	if _, err := s.Share(roots["changed"].Root); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("changed is shared: %v", err)
	}
	d = begin(t, s, store.Target{Root: half.Root, Dir: to, Name: "half"})
	if err := pumpNodes(t, openRoot(t, src2, half.Root), d); err != nil {
		t.Fatal(err)
	}
	if d.HaveBytes() != 2<<20 {
		t.Errorf("%d bytes of the download are found again", d.HaveBytes())
	}
	if err := pump(t, openRoot(t, src2, half.Root), d, nil); err != nil {
		t.Fatal(err)
	}
	if sh, err := d.Finish(context.Background()); err != nil {
		t.Error(err)
	} else {
		sameTree(t, readTree(t, sh.Path), map[string]string{"1": string(content(1, 3<<20)), "2": string(content(2, 3<<20))})
	}
}

// TestRepairAfterReshare shares again what was written anew with the same bytes: the journal goes on telling of it.
func TestRepairAfterReshare(t *testing.T) {
	home, path := t.TempDir(), filepath.Join(t.TempDir(), "docs")
	s := open(t, home, always())
	for range 2 {
		makeTree(t, path, map[string]string{"a": "one", "b": "two"})
		share(t, s, path, chunker.Config{})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(home, "index")); err != nil {
		t.Fatal(err)
	}
	if got := repair(t, home); got["docs"].Outcome != store.Restored {
		t.Errorf("%+v", got)
	}
}

// TestRepairOldIndex puts an older copy of the index in its place: what was removed since is not shared again, and what was shared since is.
func TestRepairOldIndex(t *testing.T) {
	home, files := t.TempDir(), t.TempDir()
	s := open(t, home, always())
	var removed store.Share
	for _, name := range []string{"removed", "kept"} {
		makeTree(t, filepath.Join(files, name), map[string]string{"a": name})
		if sh := share(t, s, filepath.Join(files, name), chunker.Config{}); name == "removed" {
			removed = sh
		}
	}
	index, old := filepath.Join(home, "index"), filepath.Join(home, "old")
	if err := errors.Join(s.Close(), os.CopyFS(old, os.DirFS(index))); err != nil {
		t.Fatal(err)
	}
	s = open(t, home, always())
	makeTree(t, filepath.Join(files, "later"), map[string]string{"a": "later"})
	share(t, s, filepath.Join(files, "later"), chunker.Config{})
	if err := errors.Join(s.Remove(removed.Root), s.Close(), os.RemoveAll(index), os.Rename(old, index)); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(home, always()); !errors.Is(err, store.ErrIndexOld) {
		t.Fatalf("opens: %v", err)
	}
	got := repair(t, home)
	if len(got) != 2 || got["kept"].Outcome != store.Restored || got["later"].Outcome != store.Restored {
		t.Errorf("%+v", got)
	}
}

// TestRepairFormat puts a directory where the format version is: the home says so, and a repair makes another.
func TestRepairFormat(t *testing.T) {
	home, shares := usedHome(t, false)
	path := filepath.Join(home, store.FormatName)
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(home, store.Config{}); !errors.Is(err, store.ErrIndexDamaged) {
		t.Errorf("opens: %v", err)
	}
	if got := repair(t, home); len(got) != len(shares) {
		t.Errorf("%+v", got)
	}
	open(t, home, store.Config{})
}

// TestExamineFinds deletes and damages single rows: each is found, and named.
func TestExamineFinds(t *testing.T) {
	for _, row := range []struct {
		name  string
		tag   byte
		value []byte
		what  string
	}{
		{"node", 'n', nil, "node"}, {"false node", 'n', []byte("false"), "node"}, {"row", 'f', nil, "row"},
		{"false row", 'f', []byte{9}, "record"}, {"block key", 'b', nil, "blocks"}, {"id", 'i', nil, "record"},
		{"record", 's', nil, "orphan"}, {"false record", 's', []byte("false"), "record"},
	} {
		t.Run(row.name, func(t *testing.T) {
			home, shares := usedHome(t, false)
			s := open(t, home, store.Config{})
			if err := errors.Join(s.Spoil(row.tag, row.value), s.Close()); err != nil {
				t.Fatal(err)
			}
			c := examine(t, home)
			found := false
			for _, f := range c.Findings {
				found = found || f.Harm && f.What == row.what
			}
			if !found || c.Sound() {
				t.Errorf("findings %+v, want a %q", c.Findings, row.what)
			}
			if got := repair(t, home); len(got) != len(shares) {
				t.Errorf("repaired %+v", got)
			}
			if c := examine(t, home); !c.Sound() || c.Shares != len(shares) {
				t.Errorf("after the repair: %+v", c)
			}
		})
	}
}

// TestExamineLocked leaves a home alone that a daemon uses, and one that does not exist.
func TestExamineLocked(t *testing.T) {
	home := t.TempDir()
	s := open(t, home, store.Config{})
	if _, err := store.Examine(context.Background(), home, store.Config{}, nil); !errors.Is(err, store.ErrLocked) {
		t.Errorf("examine: %v", err)
	}
	if _, err := store.Repair(context.Background(), home, store.Config{}, nil, nil); !errors.Is(err, store.ErrLocked) {
		t.Errorf("repair: %v", err)
	}
	s.Close()
	if _, err := store.Examine(context.Background(), filepath.Join(home, "none"), store.Config{}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no home: %v", err)
	}
	if _, err := os.Stat(filepath.Join(home, "none")); err == nil {
		t.Error("a home was made")
	}
}
