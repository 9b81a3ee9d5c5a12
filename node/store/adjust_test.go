package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// bookTree is a tree of files large enough to come in several leaves.
func bookTree() map[string]string {
	return map[string]string{
		"a/one.bin": string(content(11, 3<<20+5)), "a/two.txt": "two", "a/void/": "", "a/none": "", "a/link": "->two.txt",
		"b/three.bin": string(content(12, 2<<20+9)), "b/four.txt": "four", "top.txt": "top",
	}
}

// paused fetches n leaves of tgt and leaves the rest.
func paused(t testing.TB, src, dst *store.Store, tgt store.Target, n int) {
	t.Helper()
	d := begin(t, dst, tgt)
	if err := pump(t, openRoot(t, src, tgt.Root), d, func(int) bool { n--; return n >= 0 }); err != nil {
		t.Fatal(err)
	}
	if err := d.Pause(); err != nil {
		t.Fatal(err)
	}
}

// comes goes on with a download and tells how many bytes had not to be fetched.
func comes(t testing.TB, src, dst *store.Store, tgt store.Target) (store.Share, int64) {
	t.Helper()
	d := begin(t, dst, tgt)
	had := d.HaveBytes()
	if err := pump(t, openRoot(t, src, tgt.Root), d, nil); err != nil {
		t.Fatal(err)
	}
	sh, err := d.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return sh, had
}

// noParts checks that nothing unfinished is left in dirs.
func noParts(t testing.TB, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		left, err := filepath.Glob(filepath.Join(dir, "*.part*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

func TestAdjustMovesWhatHasCome(t *testing.T) {
	far := otherDisk(t)
	for _, row := range []struct {
		name     string
		from, to func(dir string) string
		needsFar bool
	}{
		{name: "another directory", to: func(dir string) string { return filepath.Join(dir, "else") }},
		{name: "the directory was deleted", to: func(dir string) string { return filepath.Join(dir, "else") }},
		{name: "another disk", to: func(string) string { return far }, needsFar: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.needsFar && far == "" {
				t.Skip("there is no second file system to write to (/dev/shm)")
			}
			src, sh := tree(t, bookTree(), chunker.Config{})
			base := t.TempDir()
			first, second := filepath.Join(base, "first"), row.to(base)
			for _, dir := range []string{first, second} {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			dst := open(t, t.TempDir(), always())
			paused(t, src, dst, store.Target{Root: sh.Root, Dir: first, Name: "book"}, 5)
			want := int64(3<<20 + 5 + len("two"))
			if strings.Contains(row.name, "deleted") {
				want = 0
				if err := os.RemoveAll(first); err != nil {
					t.Fatal(err)
				}
			}
			got, had := comes(t, src, dst, store.Target{Root: sh.Root, Dir: second, Name: "read"})
			if had != want {
				t.Errorf("%d bytes were kept, want %d", had, want)
			}
			if got.Path != filepath.Join(second, "read") {
				t.Errorf("it is at %s", got.Path)
			}
			sameTree(t, readTree(t, got.Path), bookTree())
			noParts(t, first, second)
		})
	}
}

// otherDisk is a directory on another file system than the tests', or "".
func otherDisk(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "shoal-test-")
	if err != nil {
		return ""
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	here := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(here, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Rename(here, filepath.Join(dir, "x")) == nil {
		return "" // the same one
	}
	return dir
}

func TestAdjustSelection(t *testing.T) {
	for _, row := range []struct {
		name          string
		first, second []string
		want          []string // paths that are there in the end
		not           []string
	}{
		{"one, then another", []string{"a/one.bin"}, []string{"b"}, []string{"a/one.bin", "b/four.txt"}, []string{"top.txt"}},
		{"one, then all", []string{"a/one.bin"}, nil, []string{"a/one.bin", "b/four.txt", "top.txt"}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			src, sh := tree(t, bookTree(), chunker.Config{})
			home, to := t.TempDir(), t.TempDir()
			dst := open(t, home, always())
			tgt := store.Target{Root: sh.Root, Dir: to, Name: "book", Select: row.first}
			d := begin(t, dst, tgt)
			n := 2
			if err := pump(t, openRoot(t, src, sh.Root), d, func(int) bool { n--; return n >= 0 }); err != nil {
				t.Fatal(err)
			}
			if err := d.GiveUp(true); err != nil {
				t.Fatal(err)
			}
			typo := tgt
			typo.Select = []string{"typo"}
			if _, err := dst.Download(context.Background(), typo, chunker.Limits{}); !errors.Is(err, store.ErrNoMatch) {
				t.Errorf("a typo: %v", err)
			}
			tgt.Select = row.second
			got, _ := comes(t, src, dst, tgt)
			for _, p := range row.want {
				if b, err := os.ReadFile(filepath.Join(got.Path, p)); err != nil || string(b) != bookTree()[p] {
					t.Errorf("%s: %v", p, err)
				}
			}
			for _, p := range row.not {
				if _, err := os.Lstat(filepath.Join(got.Path, p)); err == nil {
					t.Errorf("%s was not asked for", p)
				}
			}
			noParts(t, to)
		})
	}
}

// Who asked for a part does not hear what was left out of the rest.
func TestLeftOutOfWhatWasAsked(t *testing.T) {
	left := []store.Refusal{{Path: "b/x", Replaceable: true}, {Path: "c"}, {Path: "d", Replaceable: true}}
	for _, row := range []struct {
		sub         string
		selects     []string
		n, replaces int
	}{
		{"", nil, 3, 2}, {"", []string{"b"}, 1, 1}, {"", []string{"b/x/y", "c"}, 2, 1}, {"", []string{"e"}, 0, 0}, {"a", []string{"a/b"}, 1, 1}, {"a", []string{"a"}, 3, 2},
	} {
		got := store.Share{Sub: row.sub, Left: left, LeftN: 3, Replaceable: 2}.Asked(row.selects)
		if len(got.Left) != row.n || got.LeftN != row.n || got.Replaceable != row.replaces {
			t.Errorf("%q of %q: %+v", row.selects, row.sub, got)
		}
	}
}

// Where less is asked for only that is fetched, also what repeats chunks of the rest; the download goes on from there.
func TestNarrowedDownload(t *testing.T) {
	files := bookTree()
	files["b/same.bin"] = files["a/one.bin"]
	src, sh := tree(t, files, chunker.Config{})
	to := t.TempDir()
	dst := open(t, t.TempDir(), always())
	tgt := store.Target{Root: sh.Root, Dir: to, Name: "book"}
	paused(t, src, dst, tgt, 1)
	part := tgt
	part.Select = []string{"b"}
	d := begin(t, dst, part)
	if _, ended, err := d.EndPart(context.Background()); ended || err != nil {
		t.Fatalf("not there yet, but %v, %v", ended, err)
	}
	if err := pump(t, openRoot(t, src, sh.Root), d, nil); err != nil {
		t.Fatal(err)
	}
	have := d.HaveBytes()
	got, ended, err := d.EndPart(context.Background())
	if err != nil || !ended || !got.Part || got.Path != filepath.Join(to, "book.part") || got.Files != 3 {
		t.Fatalf("%+v, %v, %v", got, ended, err)
	}
	for _, name := range []string{"b/same.bin", "b/three.bin", "b/four.txt"} {
		if b, err := os.ReadFile(filepath.Join(got.Path, name)); err != nil || string(b) != files[name] {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	if b, _ := os.ReadFile(filepath.Join(got.Path, "top.txt")); len(b) > 0 {
		t.Error("top.txt was fetched too")
	}
	whole, had := comes(t, src, dst, tgt)
	if had < have {
		t.Errorf("%d bytes were kept of %d", had, have)
	}
	sameTree(t, readTree(t, whole.Path), files)
	noParts(t, to)
}

// What had come of a path goes to its place below the whole.
func TestAdjustPathToWhole(t *testing.T) {
	for _, row := range []struct {
		first, second, name string
		n                   int // leaves that come first
		want                int64
	}{
		{"a", "", "book", 3, 3 << 20},
		{"a/one.bin", "", "book", 2, 2 << 20},
		{"a/one.bin", "a", "a", 2, 2 << 20},
	} {
		for _, where := range []string{"here", "else"} {
			t.Run(row.first+" to "+row.second+" "+where, func(t *testing.T) {
				src, sh := tree(t, bookTree(), chunker.Config{})
				to := t.TempDir()
				dst := open(t, t.TempDir(), always())
				paused(t, src, dst, store.Target{Root: sh.Root, Dir: to, Sub: row.first}, row.n)
				then := to
				if where == "else" {
					then = t.TempDir()
				}
				got, had := comes(t, src, dst, store.Target{Root: sh.Root, Dir: then, Sub: row.second, Name: row.name})
				if had != row.want {
					t.Errorf("%d bytes were kept, want %d", had, row.want)
				}
				b, err := os.ReadFile(filepath.Join(got.Path, strings.TrimPrefix("a/one.bin", row.second)))
				if err != nil || string(b) != bookTree()["a/one.bin"] {
					t.Errorf("it differs: %v", err)
				}
				noParts(t, to, then)
			})
		}
	}
	t.Run("another path", func(t *testing.T) {
		src, sh := tree(t, bookTree(), chunker.Config{})
		to := t.TempDir()
		dst := open(t, t.TempDir(), always())
		paused(t, src, dst, store.Target{Root: sh.Root, Dir: to, Sub: "a"}, 2)
		_, err := dst.Download(context.Background(), store.Target{Root: sh.Root, Dir: to, Sub: "b"}, chunker.Limits{})
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("%v: what has come of a would be lost", err)
		}
		if got, err := dst.Share(sh.Root); err != nil || got.HaveBytes != 2<<20 || got.Sub != "a" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// A download that holds no byte leaves no trace, and is no obstacle.
func TestGiveUpForgetsWhatIsEmpty(t *testing.T) {
	src, sh := tree(t, bookTree(), chunker.Config{})
	to := t.TempDir()
	dst := open(t, t.TempDir(), always())
	gone := func(what string) {
		t.Helper()
		if _, err := dst.Share(sh.Root); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: it is still there (%v)", what, err)
		}
		noParts(t, to)
	}
	d := begin(t, dst, store.Target{Root: sh.Root, Dir: to})
	if err := d.GiveUp(true); err != nil {
		t.Fatal(err)
	}
	gone("unfound")
	d = begin(t, dst, store.Target{Root: sh.Root, Dir: to, Select: []string{"typo"}})
	if err := pumpNodes(t, openRoot(t, src, sh.Root), d); !errors.Is(err, store.ErrNoMatch) {
		t.Fatal(err)
	}
	if err := d.GiveUp(false); err != nil {
		t.Fatal(err)
	}
	gone("a typo")
	paused(t, src, dst, store.Target{Root: sh.Root, Dir: to, Sub: "a"}, 0)
	if _, had := comes(t, src, dst, store.Target{Root: sh.Root, Dir: to, Sub: "b"}); had != 0 {
		t.Errorf("%d bytes were had", had)
	}
	noParts(t, to)
}

// A crash after the move is recorded, before it is made, and after it is made.
func TestAdjustSurvivesACrash(t *testing.T) {
	src, sh := tree(t, bookTree(), chunker.Config{})
	for _, made := range []bool{false, true} {
		home, first, second := t.TempDir(), t.TempDir(), t.TempDir()
		dst := open(t, home, always())
		paused(t, src, dst, store.Target{Root: sh.Root, Dir: first, Name: "book"}, 4)
		if err := dst.MoveForTest(store.Target{Root: sh.Root, Dir: second, Name: "book"}); err != nil {
			t.Fatal(err)
		}
		if made {
			if err := os.Rename(filepath.Join(first, "book.part"), filepath.Join(second, "book.part")); err != nil {
				t.Fatal(err)
			}
		}
		if err := dst.Close(); err != nil {
			t.Fatal(err)
		}
		dst = open(t, home, always())
		got, had := comes(t, src, dst, store.Target{Root: sh.Root, Dir: second, Name: "book"})
		if had != 3<<20+5 {
			t.Errorf("made %v: %d bytes were kept", made, had)
		}
		sameTree(t, readTree(t, got.Path), bookTree())
		noParts(t, first, second)
	}
}

// Removing a download whose .part lies at two places leaves nothing of it at either.
func TestRemoveWhileMoving(t *testing.T) {
	src, sh := tree(t, bookTree(), chunker.Config{})
	first, second := t.TempDir(), t.TempDir()
	dst := open(t, t.TempDir(), always())
	paused(t, src, dst, store.Target{Root: sh.Root, Dir: first, Name: "book"}, 4)
	if err := dst.MoveForTest(store.Target{Root: sh.Root, Dir: second, Name: "book"}); err != nil {
		t.Fatal(err)
	}
	if err := dst.Remove(sh.Root); err != nil {
		t.Fatal(err)
	}
	noParts(t, first, second)
}

// A --force of an earlier request does not hold for the next one.
func TestAdjustForce(t *testing.T) {
	src, sh, _ := lone(t, 3<<20)
	to := t.TempDir()
	dst := open(t, t.TempDir(), always())
	tgt := store.Target{Root: sh.Root, Dir: to, Name: "f"}
	forced := tgt
	forced.Force = true
	paused(t, src, dst, forced, 1)
	if err := os.WriteFile(filepath.Join(to, "f"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := dst.Download(context.Background(), tgt, chunker.Limits{})
	if err == nil {
		if err = pump(t, openRoot(t, src, sh.Root), d, nil); err == nil {
			_, err = d.Finish(context.Background())
		}
	}
	if b, _ := os.ReadFile(filepath.Join(to, "f")); !errors.Is(err, store.ErrExists) || string(b) != "mine" {
		t.Errorf("%v, and the file is now %d bytes", err, len(b))
	}
}
