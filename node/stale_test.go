package node

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"shoal/node/api"
)

// What is called complete is looked at before it is copied: what has changed is fetched again,
// at once, and what is right is not.
func TestGetAfterTheFileChanged(t *testing.T) {
	for _, row := range []struct {
		name    string
		harm    func(tree string) error
		mended  bool // at the place itself
		fetched int64
	}{
		{"deleted", os.RemoveAll, true, 5<<20 + 3},
		{"one file deleted", func(tree string) error { return os.Remove(filepath.Join(tree, "b/two.bin")) }, false, 2<<20 + 2},
		{"one file truncated", func(tree string) error { return os.Truncate(filepath.Join(tree, "b/two.bin"), 9) }, false, 2<<20 + 2},
		{"one file replaced", func(tree string) error {
			return os.WriteFile(filepath.Join(tree, "b/two.bin"), []byte("mine"), 0o600)
		}, false, 2<<20 + 2},
		{"the directory moved away", func(tree string) error { return os.Rename(tree, tree+"-away") }, true, 5<<20 + 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a, _ := startNode(t, t.TempDir())
			b, _ := startNode(t, t.TempDir(), a)
			shared, files := twoFiles(t, a)
			dir := t.TempDir()
			req := api.GetRequest{Link: shared.Link, Dir: dir}
			first, err := b.Get(t.Context(), req, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := row.harm(first.Path); err != nil {
				t.Fatal(err)
			}
			if !row.mended {
				req.Output = filepath.Join(dir, "again")
			}
			again, err := b.Get(t.Context(), req, nil)
			if err != nil {
				t.Fatal(err)
			}
			for name, data := range files {
				holds(t, filepath.Join(again.Path, name), data)
			}
			var fetched int64
			for _, n := range again.From {
				fetched += n
			}
			if fetched != row.fetched {
				t.Errorf("%d bytes were fetched, want %d", fetched, row.fetched)
			}
		})
	}
}

func TestCatAfterTheFileChanged(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	path, data := randomFile(t, t.TempDir(), "film.bin", 3<<20)
	shared := mustShare(t, a, path)
	got, err := b.Get(t.Context(), api.GetRequest{Link: shared.Link, Dir: t.TempDir()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(got.Path); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{shared.CID, "film.bin"} {
		var out bytes.Buffer
		if _, err := b.Cat(t.Context(), api.CatRequest{Link: ref}, &out, nil); err != nil || !bytes.Equal(out.Bytes(), data) {
			t.Errorf("%s: %d bytes, %v", ref, out.Len(), err)
		}
	}
}

// A .part that is gone is not counted on.
func TestGetAfterThePartWasDeleted(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	path, data := randomFile(t, t.TempDir(), "film.bin", 4<<20)
	shared := mustShare(t, a, path)
	dir := t.TempDir()
	lift := slowly(t, a)
	g := get(t, b, api.GetRequest{Link: shared.Link, Dir: dir})
	g.until(t, "something came", came)
	g.pause(t)
	atRest(t, b, shared.CID)
	if err := os.Remove(filepath.Join(dir, "film.bin.part")); err != nil {
		t.Fatal(err)
	}
	lift()
	got, err := b.Get(t.Context(), api.GetRequest{Link: shared.Link, Dir: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Had != 0 {
		t.Errorf("%d bytes were trusted", got.Had)
	}
	holds(t, got.Path, data)
}
