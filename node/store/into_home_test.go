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

// TestIntoHome fetches, with Force, what has the names of the files of a node's home into such a home, one of this store and one of
// another: nothing there is replaced and nothing is added, since it would be another key, or another share.
func TestIntoHome(t *testing.T) {
	src, sh := tree(t, map[string]string{"identity.key": "wrong", "index/x": "wrong", "in/format": "3", "in/identity.key": "wrong", "in/new": "n", "ok": "o"}, chunker.Config{})
	home := t.TempDir()
	dst := open(t, home, always())
	other := map[string]string{"format": "2\n", "identity.key": "secret", "index/": ""}
	top := t.TempDir()
	makeTree(t, filepath.Join(top, "out", "in"), other)
	makeTree(t, filepath.Join(top, "other"), other)
	if err := os.Symlink(home, filepath.Join(top, "link")); err != nil {
		t.Fatal(err)
	}
	for name, tgt := range map[string]store.Target{
		"beside its files":  {Dir: home, Name: "ballast"},
		"below":             {Dir: filepath.Join(home, "index"), Name: "x"},
		"through a symlink": {Dir: filepath.Join(top, "link"), Name: "x"},
		"another":           {Dir: filepath.Join(top, "other"), Name: "identity.key"},
		"as the result":     {Dir: top, Name: "other"},
	} {
		tgt.Root, tgt.Force = sh.Root, true
		d, err := dst.Download(context.Background(), tgt, chunker.Limits{})
		if err == nil {
			err = pumpNodes(t, openRoot(t, src, sh.Root), d)
			if err == nil {
				err = d.Settle(context.Background(), nil)
			}
			_ = d.GiveUp(false)
		}
		var blocked *store.BlockedError
		if !errors.As(err, &blocked) || blocked.Replaceable {
			t.Errorf("%s: %v, want that the home is in the way", name, err)
		}
	}
	sameTree(t, readTree(t, filepath.Join(top, "other")), other)

	d := begin(t, dst, store.Target{Root: sh.Root, Dir: top, Name: "out", Force: true})
	count(t, src, d)
	got, err := d.Finish(context.Background())
	if err != nil || got.LeftN != 1 || got.Left[0].Path != "in" {
		t.Errorf("left out %v (%d), %v; want the home", got.Left, got.LeftN, err)
	}
	want := map[string]string{"identity.key": "wrong", "index/x": "wrong", "ok": "o"}
	for name, text := range other {
		want["in/"+name] = text
	}
	sameTree(t, readTree(t, filepath.Join(top, "out")), want)
}
