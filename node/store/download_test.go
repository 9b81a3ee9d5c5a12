package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/chunker"
	"shoal/node/store"
)

// begin starts a download.
func begin(t testing.TB, s *store.Store, tgt store.Target) *store.Download {
	t.Helper()
	d, err := s.Download(context.Background(), tgt, chunker.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// lone shares a file of n random bytes in a new store.
func lone(t testing.TB, n int) (*store.Store, store.Share, []byte) {
	t.Helper()
	s := open(t, t.TempDir(), always())
	path, data := filepath.Join(t.TempDir(), "f.bin"), content(uint64(n), n)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return s, share(t, s, path, chunker.Config{}), data
}

// tree shares sampleTree in a new store.
func tree(t testing.TB, files map[string]string, cfg chunker.Config) (*store.Store, store.Share) {
	t.Helper()
	s := open(t, t.TempDir(), always())
	dir := filepath.Join(t.TempDir(), "tree")
	makeTree(t, dir, files)
	return s, share(t, s, dir, cfg)
}

func TestResume(t *testing.T) {
	rows := []struct {
		name string
		n    int                     // leaves written before
		part func(part string) error // done to the .part meanwhile
		want int                     // leaves there after
	}{
		{"recorded", 5, nil, 5},
		{"everything recorded", 9, nil, 9},
		{"part deleted", 5, os.Remove, 0},
		{"part truncated", 5, func(p string) error { return os.Truncate(p, 3<<20) }, 3},
		{"part replaced by a copy", 5, func(p string) error {
			b, err := os.ReadFile(p)
			return errors.Join(err, os.WriteFile(p+"2", b, 0o600), os.Rename(p+"2", p))
		}, 5},
		{"part replaced by something else", 5, func(p string) error {
			return errors.Join(os.WriteFile(p+"2", content(9, 9<<20), 0o600), os.Rename(p+"2", p))
		}, 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			src, sh, data := lone(t, 8<<20+77)
			home, to := t.TempDir(), t.TempDir()
			dst := open(t, home, always())
			tgt := store.Target{Root: sh.Root, Dir: to, Name: "out"}
			d := begin(t, dst, tgt)
			if err := pump(t, openRoot(t, src, sh.Root), d, func(i int) bool { return i < row.n }); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(d.Close(), dst.Close()); err != nil {
				t.Fatal(err)
			}
			if row.part != nil {
				if err := row.part(filepath.Join(to, "out.part")); err != nil {
					t.Fatal(err)
				}
			}
			dst = open(t, home, always())
			if got, err := dst.Unfinished(); err != nil || len(got) != 1 || got[0].Dir != to || got[0].Name != "out" || !got[0].Root.Equals(sh.Root) {
				t.Errorf("unfinished: %+v, %v", got, err)
			}
			d = begin(t, dst, tgt)
			if _, missing := d.NextNode(); missing {
				t.Error("nodes were not kept")
			}
			n := 0
			for i := range 9 {
				if d.Has(i) {
					n++
				}
			}
			if n != row.want {
				t.Errorf("%d leaves after resume, want %d", n, row.want)
			}
			if err := pump(t, openRoot(t, src, sh.Root), d, nil); err != nil {
				t.Fatal(err)
			}
			got, err := d.Finish(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(got.Path); err != nil || string(b) != string(data) {
				t.Errorf("content differs: %v", err)
			}
			if list, _ := dst.Unfinished(); len(list) != 0 {
				t.Errorf("still unfinished: %v", list)
			}
		})
	}
}

func TestPause(t *testing.T) {
	src, sh, _ := lone(t, 4<<20)
	home, to := t.TempDir(), t.TempDir()
	dst := open(t, home, always())
	d := begin(t, dst, store.Target{Root: sh.Root, Dir: to})
	if err := pump(t, openRoot(t, src, sh.Root), d, func(i int) bool { return i < 2 }); err != nil {
		t.Fatal(err)
	}
	if _, err := dst.Download(context.Background(), store.Target{Root: sh.Root, Dir: to}, chunker.Limits{}); !errors.Is(err, store.ErrBusy) {
		t.Errorf("second download: %v", err)
	}
	if err := dst.Remove(sh.Root); !errors.Is(err, store.ErrBusy) {
		t.Errorf("remove while live: %v", err)
	}
	if err := d.Pause(); err != nil {
		t.Fatal(err)
	}
	if got, err := dst.Share(sh.Root); err != nil || got.State != store.Paused || got.Have != 2 || got.HaveBytes != 2<<20 || got.Leaves != 4 {
		t.Errorf("share %+v, %v", got, err)
	}
	if list, err := dst.Unfinished(); err != nil || len(list) != 0 {
		t.Errorf("a paused download is resumed by itself: %v, %v", list, err)
	}
	part := filepath.Join(to, sh.Root.String()+".part")
	if _, err := os.Stat(part); err != nil {
		t.Error(err)
	}
	if err := dst.Remove(sh.Root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(part); !os.IsNotExist(err) {
		t.Errorf("part after remove: %v", err)
	}
	if _, err := dst.Share(sh.Root); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("share after remove: %v", err)
	}
}

func TestNames(t *testing.T) {
	rows := []struct{ name, given, suggested, want string }{
		{"given", "given.bin", "peer.bin", "given.bin"},
		{"suggested", "", "peer.bin", "peer.bin"},
		{"a path", "", "../../etc/passwd", "passwd"},
		{"a windows path", "", `C:\x\evil.exe`, "evil.exe"},
		{"hidden", "", "..profile", "profile"},
		{"control characters", "", "a\x00b\nc", "a_b_c"},
		{"nothing left", "", "...", ""},
		{"none", "", "", ""},
		{"too long", "", strings.Repeat("é", 200), strings.Repeat("é", 127)},
		{"too long, with an extension", "", strings.Repeat("x", 300) + ".tar", strings.Repeat("x", 251) + ".tar"},
		{"as long as can be", strings.Repeat("x", 251) + ".bin", "", strings.Repeat("x", 251) + ".bin"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			src, sh, _ := lone(t, 100)
			to := t.TempDir()
			dst := open(t, t.TempDir(), always())
			d := begin(t, dst, store.Target{Root: sh.Root, Dir: to, Name: row.given})
			d.SetName(row.suggested)
			if err := pump(t, openRoot(t, src, sh.Root), d, nil); err != nil {
				t.Fatal(err)
			}
			got, err := d.Finish(context.Background())
			want := row.want
			if want == "" {
				want = sh.Root.String()
			}
			if err != nil || got.Path != filepath.Join(to, want) || got.Name != want {
				t.Errorf("path %q, name %q, %v; want %q", got.Path, got.Name, err, want)
			}
		})
	}
	for _, bad := range []string{"a/b", "..", ".", "x\x00"} {
		dst := open(t, t.TempDir(), always())
		_, sh, _ := lone(t, 1)
		if _, err := dst.Download(context.Background(), store.Target{Root: sh.Root, Dir: t.TempDir(), Name: bad}, chunker.Limits{}); err == nil {
			t.Errorf("name %q was accepted", bad)
		}
	}
}

func TestPreserve(t *testing.T) {
	old := time.Date(2001, 2, 3, 4, 5, 6, 789000000, time.UTC)
	s := open(t, t.TempDir(), always())
	dir := filepath.Join(t.TempDir(), "tree")
	makeTree(t, dir, map[string]string{"d/ro": "x", "d/run": "y", "link": "->d/ro", "e/": ""})
	modes := map[string]os.FileMode{"d/ro": 0o444, "d/run": 0o755 | os.ModeSetuid, "e": 0o700 | os.ModeSticky, "d": 0o555, "": 0o750}
	for _, name := range []string{"d/ro", "d/run", "e", "d", ""} {
		if err := errors.Join(os.Chmod(filepath.Join(dir, name), modes[name]), os.Chtimes(filepath.Join(dir, name), old, old)); err != nil {
			t.Fatal(err)
		}
	}
	sh := share(t, s, dir, chunker.Config{Preserve: true})
	to := t.TempDir()
	dst := open(t, t.TempDir(), always())
	got := fetch(t, s, dst, store.Target{Root: sh.Root, Dir: to, Name: "copy"})
	for name, mode := range modes {
		fi, err := os.Stat(filepath.Join(got.Path, name))
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode()&(os.ModePerm|os.ModeSetuid|os.ModeSticky) != mode.Perm() {
			t.Errorf("%s: mode %v, want %v", name, fi.Mode(), mode.Perm())
		}
		if !fi.ModTime().Equal(old) {
			t.Errorf("%s: time %v, want %v", name, fi.ModTime(), old)
		}
	}
	servesAll(t, dst, sh.Root, []byte("xy"))
	os.Chmod(filepath.Join(got.Path, "d"), 0o755) // for the clean-up
	os.Chmod(filepath.Join(dir, "d"), 0o755)
}

func TestSelect(t *testing.T) {
	all := sampleTree()
	pick := func(prefixes ...string) map[string]string {
		out := map[string]string{}
		for name, v := range all {
			for _, p := range prefixes {
				if name == p || strings.HasPrefix(name, p+"/") {
					out[name] = v
				}
			}
		}
		return out
	}
	src, sh := tree(t, all, chunker.Config{})
	to := t.TempDir()
	dst := open(t, t.TempDir(), always())
	tgt := store.Target{Root: sh.Root, Dir: to, Name: "part", Select: []string{"b/c", "twin1"}}
	got := fetch(t, src, dst, tgt)
	sameTree(t, readTree(t, got.Path), pick("b/c", "twin1"))
	if got.State != store.Complete || got.Files != 3 || got.Have != 3 || got.Leaves != sh.Leaves {
		t.Errorf("share %+v", got)
	}
	r := openRoot(t, dst, sh.Root)
	n := 0
	for i := range r.Leaves() {
		if r.Have()[i/8]&(1<<(i%8)) != 0 {
			n++
		} else if _, err := r.ReadLeaf(i, make([]byte, 1<<20)); !errors.Is(err, store.ErrNotHave) {
			t.Errorf("leaf %d was not selected: %v", i, err)
		}
	}
	if n != 3 {
		t.Errorf("%d leaves are served, want 3", n)
	}

	// The same again is there already; more is merged into the same directory.
	d := begin(t, dst, tgt)
	if again, err := d.Finish(context.Background()); err != nil || again.Path != got.Path {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	tgt.Select = []string{"copy", "void", "in"}
	got = fetch(t, src, dst, tgt)
	sameTree(t, readTree(t, got.Path), pick("b/c", "twin1", "copy", "void", "in"))
	if got.Files != 4 || got.State != store.Complete || len(got.Select) != 5 {
		t.Errorf("share %+v", got)
	}
	third := open(t, t.TempDir(), always())
	fetch(t, dst, third, store.Target{Root: sh.Root, Dir: t.TempDir(), Select: []string{"b/c/e.txt", "copy/big.bin"}})

	// A file in the way that differs.
	if err := os.WriteFile(filepath.Join(to, "part", "a.txt"), []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	tgt.Select = []string{"a.txt"}
	got = fetch(t, src, dst, tgt)
	if got.LeftN != 1 || got.Replaceable != 1 || len(got.Left) != 1 || got.Left[0].Path != "a.txt" {
		t.Errorf("file in the way: %+v", got)
	}
	if b, err := os.ReadFile(filepath.Join(to, "part", "a.txt")); err != nil || string(b) != "other" {
		t.Errorf("file in the way: %q, %v", b, err)
	}
	tgt.Force = true
	got = fetch(t, src, dst, tgt)
	sameTree(t, readTree(t, got.Path), pick("b/c", "twin1", "copy", "void", "in", "a.txt"))

	tgt = store.Target{Root: sh.Root, Dir: to, Name: "none", Select: []string{"nope"}}
	if _, err := dst.Download(context.Background(), tgt, chunker.Limits{}); !errors.Is(err, store.ErrNoMatch) {
		t.Errorf("no match: %v", err)
	}
	if list, _ := dst.Unfinished(); len(list) != 0 {
		t.Errorf("failed starts are remembered: %v", list)
	}
	tgt.Select = nil
	got = fetch(t, src, dst, tgt)
	sameTree(t, readTree(t, got.Path), all)
}

func TestSub(t *testing.T) {
	src, sh := tree(t, sampleTree(), chunker.Config{})
	to := t.TempDir()
	dst := open(t, t.TempDir(), always())
	got := fetch(t, src, dst, store.Target{Root: sh.Root, Dir: to, Sub: "b/c/d.txt"})
	if b, err := os.ReadFile(filepath.Join(to, "d.txt")); err != nil || string(b) != "delta" || got.Dir || got.Size != 5 {
		t.Errorf("file inside: %q, %v, %+v", b, err, got)
	}
	got = fetch(t, src, dst, store.Target{Root: sh.Root, Dir: to, Sub: "b", Name: "bee"})
	sameTree(t, readTree(t, filepath.Join(to, "bee")), map[string]string{"c/d.txt": "delta", "c/e.txt": "echo", "empty2": "", "twin2": "same bytes"})
	if !got.Dir || got.State != store.Complete {
		t.Errorf("share %+v", got)
	}
	// Both places are served from one share.
	third := open(t, t.TempDir(), always())
	fetch(t, dst, third, store.Target{Root: sh.Root, Dir: t.TempDir(), Select: []string{"b/c/d.txt", "b/twin2"}})
	got = fetch(t, src, dst, store.Target{Root: sh.Root, Dir: to, Sub: "in"})
	if target, err := os.Readlink(got.Path); err != nil || target != "b/c/d.txt" {
		t.Errorf("symlink: %q, %v", target, err)
	}
	if _, err := dst.Download(context.Background(), store.Target{Root: sh.Root, Dir: to, Sub: "nope"}, chunker.Limits{}); !errors.Is(err, store.ErrNoMatch) {
		t.Errorf("no such path: %v", err)
	}
}

func TestExisting(t *testing.T) {
	put := func(v string) func(string) error {
		return func(p string) error { return os.WriteFile(p, []byte(v), 0o644) }
	}
	rows := []struct {
		name   string
		before func(path string) error
		force  bool
		fails  bool
	}{
		{"nothing", nil, false, false},
		{"same content", put("hello"), false, false},
		{"different", put("other"), false, true},
		{"different, forced", put("other"), true, false},
		{"directory", func(p string) error { return os.MkdirAll(filepath.Join(p, "x"), 0o755) }, false, true},
		{"directory, forced", func(p string) error { return os.MkdirAll(filepath.Join(p, "x"), 0o755) }, true, true},
		{"dangling symlink", func(p string) error { return os.Symlink("/nowhere", p) }, false, true},
		{"symlink, forced", func(p string) error { return os.Symlink("/nowhere", p) }, true, false},
	}
	for _, row := range rows {
		for _, late := range []bool{false, true} {
			name := row.name
			if late {
				name += ", late"
			}
			t.Run(name, func(t *testing.T) {
				src := open(t, t.TempDir(), always())
				from, to := filepath.Join(t.TempDir(), "f"), t.TempDir()
				if err := os.WriteFile(from, []byte("hello"), 0o644); err != nil {
					t.Fatal(err)
				}
				sh := share(t, src, from, chunker.Config{})
				dst := open(t, t.TempDir(), always())
				final := filepath.Join(to, "out")
				if row.before != nil && !late {
					if err := row.before(final); err != nil {
						t.Fatal(err)
					}
				}
				tgt := store.Target{Root: sh.Root, Dir: to, Name: "out", Force: row.force}
				d, err := dst.Download(context.Background(), tgt, chunker.Limits{})
				if err == nil {
					if err := pump(t, openRoot(t, src, sh.Root), d, nil); err != nil {
						t.Fatal(err)
					}
					if row.before != nil && late {
						if err := row.before(final); err != nil {
							t.Fatal(err)
						}
					}
					_, err = d.Finish(context.Background())
				}
				if row.fails {
					if !errors.Is(err, store.ErrExists) {
						t.Errorf("error %v, want ErrExists", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if b, err := os.ReadFile(final); err != nil || string(b) != "hello" {
					t.Errorf("result %q, %v", b, err)
				}
				if names, _ := os.ReadDir(to); len(names) != 1 {
					t.Errorf("left behind: %v", names)
				}
				servesAll(t, dst, sh.Root, []byte("hello"))
			})
		}
	}
}

func TestExistingTree(t *testing.T) {
	files := map[string]string{"a": "alpha", "d/b": "bravo", "l": "->a", "e/": ""}
	src, sh := tree(t, files, chunker.Config{})
	to := t.TempDir()
	dst := open(t, t.TempDir(), always())
	makeTree(t, filepath.Join(to, "same"), files)
	d := begin(t, dst, store.Target{Root: sh.Root, Dir: to, Name: "same"})
	if err := pumpNodes(t, openRoot(t, src, sh.Root), d); err != nil {
		t.Fatal(err)
	}
	if n, complete := d.Leaves(); n != 2 || !complete || !d.Has(0) || !d.Has(1) {
		t.Error("a tree that is there already is fetched again")
	}
	if got, err := d.Finish(context.Background()); err != nil || got.Path != filepath.Join(to, "same") {
		t.Errorf("%+v, %v", got, err)
	}
	if err := dst.Remove(sh.Root); err != nil {
		t.Fatal(err)
	}
	sameTree(t, readTree(t, filepath.Join(to, "same")), files)

	makeTree(t, filepath.Join(to, "more"), files)
	makeTree(t, filepath.Join(to, "more"), map[string]string{"extra": "mine"})
	for _, force := range []bool{false, true} {
		got := fetch(t, src, dst, store.Target{Root: sh.Root, Dir: to, Name: "more", Force: force})
		if got.LeftN != 0 || got.State != store.Complete {
			t.Errorf("a tree with one more file: %+v", got)
		}
		files["extra"] = "mine"
		sameTree(t, readTree(t, got.Path), files)
	}
}

func TestExport(t *testing.T) {
	s, sh := tree(t, sampleTree(), chunker.Config{})
	to := t.TempDir()
	var last int64
	got, err := s.Export(context.Background(), store.Target{Root: sh.Root, Dir: to}, func(n int64) { last = n })
	if err != nil || got.Path != filepath.Join(to, "tree") || last != sh.Size {
		t.Fatalf("%+v, %v, %d bytes of %d", got, err, last, sh.Size)
	}
	sameTree(t, readTree(t, got.Path), sampleTree())
	if all, err := s.Shares(); err != nil || len(all) != 1 || all[0].Path != sh.Path || all[0].State != store.Complete || len(all[0].Places) != 2 {
		t.Errorf("shares: %+v, %v", all, err)
	}
	if again, err := s.Export(context.Background(), store.Target{Root: sh.Root, Dir: filepath.Dir(sh.Path), Name: "tree"}, nil); err != nil || again.Path != sh.Path {
		t.Errorf("to where it is: %+v, %v", again, err)
	}
	if err := errors.Join(os.Remove(filepath.Join(sh.Path, "a.txt")), os.Remove(filepath.Join(got.Path, "a.txt"))); err != nil {
		t.Fatal(err)
	}
	to = t.TempDir()
	if _, err = s.Export(context.Background(), store.Target{Root: sh.Root, Dir: to, Name: "x"}, nil); !errors.Is(err, store.ErrChanged) {
		t.Errorf("with a file missing: %v", err)
	}
	if names, _ := os.ReadDir(to); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
	if all, err := s.Shares(); err != nil || len(all) != 1 {
		t.Errorf("shares: %+v, %v", all, err)
	}
}

// TestExportKeeps copies what is half fetched from a share that turns out to be damaged: what was fetched stays.
func TestExportKeeps(t *testing.T) {
	src, sh, data := lone(t, 4<<20)
	dst, to := open(t, t.TempDir(), always()), t.TempDir()
	tgt := store.Target{Root: sh.Root, Dir: to, Name: "out"}
	paused(t, src, dst, tgt, 2)
	own := filepath.Join(t.TempDir(), "own")
	if err := os.WriteFile(own, data, 0o644); err != nil {
		t.Fatal(err)
	}
	share(t, dst, own, chunker.Config{})
	if err := os.WriteFile(own, content(7, 4<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := dst.Export(context.Background(), tgt, nil); !errors.Is(err, store.ErrChanged) {
		t.Fatal(err)
	}
	got, had := comes(t, src, dst, tgt)
	if b, err := os.ReadFile(got.Path); err != nil || string(b) != string(data) || had != 2<<20 {
		t.Errorf("%d bytes were had, or the content differs (%v)", had, err)
	}
}

// TestVersions fetches a second version of a tree: what the first one has is copied.
func TestVersions(t *testing.T) {
	one := map[string]string{"same": string(content(1, 4<<20)), "old": "old"}
	two := map[string]string{"same": one["same"], "new": "new"}
	srcOne, shOne := tree(t, one, chunker.Config{})
	srcTwo, shTwo := tree(t, two, chunker.Config{})
	dst := open(t, t.TempDir(), always())
	fetch(t, srcOne, dst, store.Target{Root: shOne.Root, Dir: t.TempDir(), Name: "one"})
	d := begin(t, dst, store.Target{Root: shTwo.Root, Dir: t.TempDir(), Name: "two"})
	if err := pumpNodes(t, openRoot(t, srcTwo, shTwo.Root), d); err != nil {
		t.Fatal(err)
	}
	if err := d.CopyLocal(context.Background()); err != nil {
		t.Fatal(err)
	}
	n, _ := d.Leaves()
	for i := range n {
		if _, size := d.Leaf(i); d.Has(i) != (size > 3) {
			t.Errorf("leaf %d of %d bytes: has %v", i, size, d.Has(i))
		}
	}
	if err := pump(t, openRoot(t, srcTwo, shTwo.Root), d, nil); err != nil {
		t.Fatal(err)
	}
	got, err := d.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	sameTree(t, readTree(t, got.Path), two)
}

// TestLive serves a download while it is written, from many goroutines.
func TestLive(t *testing.T) {
	src, sh := tree(t, sampleTree(), chunker.Config{})
	dst := open(t, t.TempDir(), store.Config{OpenFiles: 2})
	d := begin(t, dst, store.Target{Root: sh.Root, Dir: t.TempDir(), Name: "live"})
	if err := pumpNodes(t, openRoot(t, src, sh.Root), d); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			r, err := dst.OpenRoot(sh.Root)
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			want := openRoot(t, src, sh.Root)
			buf, ref := make([]byte, 1<<20), make([]byte, 1<<20)
			for done := false; !done; {
				select {
				case <-stop:
					done = true
				default:
				}
				_, _ = r.Name(), r.Have()
				for i := range r.Leaves() {
					n, err := r.ReadLeaf(i, buf)
					if errors.Is(err, store.ErrNotHave) && !done {
						continue
					}
					m, rerr := want.ReadLeaf(i, ref)
					if err != nil || rerr != nil || string(buf[:n]) != string(ref[:m]) {
						t.Errorf("leaf %d: %v, %v", i, err, rerr)
						return
					}
				}
			}
		})
	}
	n, _ := d.Leaves()
	next := make(chan int)
	for range 4 {
		writers.Go(func() {
			r := openRoot(t, src, sh.Root)
			buf := make([]byte, 1<<20)
			for i := range next {
				size, err := r.ReadLeaf(i, buf)
				if err == nil {
					err = d.Write(i, buf[:size])
				}
				if err != nil {
					t.Errorf("write %d: %v", i, err)
				}
			}
		})
	}
	for i := range n {
		next <- i
		if i%5 == 0 {
			if err := d.Checkpoint(context.Background()); err != nil {
				t.Error(err)
			}
			d.Summary()
			dst.Shares()
		}
	}
	close(next)
	writers.Wait()
	got, err := d.Finish(context.Background())
	close(stop)
	readers.Wait()
	if err != nil {
		t.Fatal(err)
	}
	sameTree(t, readTree(t, got.Path), sampleTree())
}
