package store_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// count moves from src to d what is missing, and tells how many bytes that were.
func count(t *testing.T, src *store.Store, d *store.Download) (n int) {
	t.Helper()
	r := openRoot(t, src, d.Root())
	err := pumpNodes(t, r, d)
	if err == nil {
		err = pump(t, r, d, func(i int) bool {
			_, size := d.Leaf(i)
			n += size
			return true
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestMerge fetches a tree over what is there.
func TestMerge(t *testing.T) {
	big := string(content(1, 3<<20+17))
	damaged := big[:1<<20+5] + "!" + big[1<<20+6:]
	share := map[string]string{"big": big, "a": "alpha", "d/b": "bravo", "d/e/c": "charlie", "l": "->a", "void/": "", "empty": ""}
	with := func(over map[string]string) map[string]string {
		out := maps.Clone(share)
		for k, v := range over {
			if out[k] = v; v == "-" {
				delete(out, k)
			}
		}
		return out
	}
	rows := []struct {
		name         string
		before       map[string]string
		left         []string // without Force
		fetched      int      // bytes, without Force
		after        map[string]string
		forcedLeft   []string
		forced       int
		forcedResult map[string]string
	}{
		{"empty directory", map[string]string{"/": ""}, nil, len(big) + 17, share, nil, len(big) + 17, share},
		{"all of it", share, nil, 0, share, nil, 0, share},
		{"more than it", with(map[string]string{"mine": "m", "d/mine": "n"}), nil, 0, with(map[string]string{"mine": "m", "d/mine": "n"}), nil, 0, with(map[string]string{"mine": "m", "d/mine": "n"})},
		{"one file deleted", with(map[string]string{"a": "-"}), nil, 5, share, nil, 5, share},
		{"a directory deleted", with(map[string]string{"d/b": "-", "d/e/c": "-"}), nil, 12, share, nil, 12, share},
		{"a symlink and an empty file deleted", with(map[string]string{"l": "-", "empty": "-"}), nil, 0, share, nil, 0, share},
		{"one chunk damaged", with(map[string]string{"big": damaged}), []string{"big"}, 0, with(map[string]string{"big": damaged}), nil, 1 << 20, share},
		{"cut short", with(map[string]string{"big": big[:2<<20]}), []string{"big"}, 0, with(map[string]string{"big": big[:2<<20]}), nil, 1<<20 + 17, share},
		{"a directory for a file", with(map[string]string{"a": "-", "a/x": "mine"}), []string{"a"}, 0, with(map[string]string{"a": "-", "a/x": "mine"}), []string{"a"}, 0, with(map[string]string{"a": "-", "a/x": "mine"})},
		{"a file for a directory", with(map[string]string{"d/b": "-", "d/e/c": "-", "d": "mine", "a": "-"}), []string{"d"}, 5,
			with(map[string]string{"d/b": "-", "d/e/c": "-", "d": "mine"}), []string{"d"}, 5, with(map[string]string{"d/b": "-", "d/e/c": "-", "d": "mine"})},
		{"symlinks for files", with(map[string]string{"a": "->big", "l": "->big"}), []string{"a", "l"}, 0, with(map[string]string{"a": "->big", "l": "->big"}), nil, 5, share},
		{"a file for a symlink", with(map[string]string{"l": "mine"}), []string{"l"}, 0, with(map[string]string{"l": "mine"}), nil, 0, share},
		{"nothing of it", map[string]string{"a": "mine", "big": "mine", "d": "mine", "l": "mine", "void": "mine", "empty": "mine"},
			[]string{"a", "big", "d", "empty", "l", "void"}, 0, map[string]string{"a": "mine", "big": "mine", "d": "mine", "l": "mine", "void": "mine", "empty": "mine"},
			[]string{"d", "void"}, len(big) + 5, map[string]string{"a": "alpha", "big": big, "d": "mine", "l": "->a", "void": "mine", "empty": ""}},
	}
	src, sh := tree(t, share, chunker.Config{})
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			to := t.TempDir()
			makeTree(t, filepath.Join(to, "out"), row.before)
			dst := open(t, t.TempDir(), always())
			again := false
			check := func(force bool, fetched int, left []string, after map[string]string) {
				t.Helper()
				tgt := store.Target{Root: sh.Root, Dir: to, Name: "out", Force: force}
				d := begin(t, dst, tgt)
				if n := count(t, src, d); n != fetched {
					t.Errorf("force %v: fetched %d bytes, want %d", force, n, fetched)
				}
				got, err := d.Finish(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				var paths []string
				for _, r := range got.Left {
					paths = append(paths, r.Path)
				}
				if !slices.Equal(paths, left) || got.LeftN != len(left) {
					t.Errorf("force %v: left out %v (%d), want %v", force, got.Left, got.LeftN, left)
				}
				sameTree(t, readTree(t, filepath.Join(to, "out")), after)
				if names, _ := os.ReadDir(to); len(names) != 1 {
					t.Errorf("left behind: %v", names)
				}
				if list, _ := dst.Unfinished(); len(list) != 0 {
					t.Errorf("unfinished: %v", list)
				}
				if s, err := dst.Share(sh.Root); err == nil {
					if rep, err := dst.Verify(context.Background(), sh.Root, true, nil); err != nil || rep.OK != rep.Files {
						t.Errorf("verify: %+v, %v", rep, err)
					}
					if s.State != store.Complete {
						t.Errorf("share %+v", s)
					}
				} else if again || !errors.Is(err, store.ErrNotFound) {
					t.Error(err)
				}
			}
			check(false, row.fetched, row.left, row.after)
			check(false, 0, row.left, row.after)
			want := row.forced - row.fetched
			check(true, want, row.forcedLeft, row.forcedResult)
			check(true, 0, row.forcedLeft, row.forcedResult)
		})
	}
}

// TestMergeBare fetches a tree again where what has no content went missing: no file of it tells of that.
func TestMergeBare(t *testing.T) {
	share := map[string]string{"a": "alpha", "l": "->a", "void/": "", "d/void/": ""}
	for _, row := range []struct {
		name  string
		alter func(out string) error
		left  []string
	}{
		{"a symlink deleted", func(out string) error { return os.Remove(filepath.Join(out, "l")) }, nil},
		{"a directory deleted", func(out string) error { return os.RemoveAll(filepath.Join(out, "d")) }, nil},
		{"another symlink", func(out string) error {
			l := filepath.Join(out, "l")
			return errors.Join(os.Remove(l), os.Symlink("void", l))
		}, []string{"l"}},
		{"a file for a directory", func(out string) error {
			d := filepath.Join(out, "void")
			return errors.Join(os.Remove(d), os.WriteFile(d, []byte("mine"), 0o644))
		}, []string{"void"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			src, sh := tree(t, share, chunker.Config{})
			dst, to := open(t, t.TempDir(), always()), t.TempDir()
			tgt := store.Target{Root: sh.Root, Dir: to, Name: "out"}
			out := fetch(t, src, dst, tgt).Path
			if err := row.alter(out); err != nil {
				t.Fatal(err)
			}
			want := readTree(t, out)
			if row.left == nil {
				want = share
			}
			got, had := comes(t, src, dst, tgt)
			if had != 5 || len(got.Left) != len(row.left) || len(row.left) > 0 && got.Left[0].Path != row.left[0] {
				t.Errorf("%d bytes had, left out %v, want %v", had, got.Left, row.left)
			}
			sameTree(t, readTree(t, out), want)
		})
	}
	t.Run("a file for an empty root", func(t *testing.T) {
		src, sh := tree(t, map[string]string{"/": ""}, chunker.Config{})
		dst, to := open(t, t.TempDir(), always()), t.TempDir()
		tgt := store.Target{Root: sh.Root, Dir: to, Name: "out", Force: true}
		out := fetch(t, src, dst, tgt).Path
		if err := errors.Join(os.Remove(out), os.WriteFile(out, []byte("mine"), 0o644)); err != nil {
			t.Fatal(err)
		}
		if _, err := dst.Download(context.Background(), tgt, chunker.Limits{}); !errors.Is(err, store.ErrExists) {
			t.Errorf("%v, want %v", err, store.ErrExists)
		}
		if b, err := os.ReadFile(out); err != nil || string(b) != "mine" {
			t.Errorf("%q, %v", b, err)
		}
	})
}
