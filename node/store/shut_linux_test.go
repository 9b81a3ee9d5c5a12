package store_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// TestShutDirectory merges with a tree in which one directory takes nothing and one file cannot be replaced, even by root: both are left out
// and told, and the rest arrives.
func TestShutDirectory(t *testing.T) {
	src, sh := tree(t, map[string]string{"a": "one", "shut/x": "two", "shut/y": "three", "shut/deep/z": "four", "locked": "five"}, chunker.Config{})
	dir := filepath.Join(t.TempDir(), "out")
	makeTree(t, dir, map[string]string{"shut/x": "two", "shut/mine": "mine", "locked": "old"})
	for _, path := range []string{filepath.Join(dir, "shut"), filepath.Join(dir, "locked")} {
		if out, err := exec.Command("chattr", "+i", path).CombinedOutput(); err != nil {
			t.Skipf("chattr (root, and a file system that has it): %v: %s", err, out)
		}
		t.Cleanup(func() {
			if out, err := exec.Command("chattr", "-i", path).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	got := fetch(t, src, open(t, t.TempDir(), always()), store.Target{Root: sh.Root, Dir: filepath.Dir(dir), Name: "out", Force: true})
	sameTree(t, readTree(t, got.Path), map[string]string{"a": "one", "shut/x": "two", "shut/mine": "mine", "locked": "old"})
	left := map[string]bool{}
	for _, l := range got.Left {
		left[l.Path] = true
	}
	if !left["shut/y"] || !left["shut/deep"] || !left["locked"] || len(left) != 3 {
		t.Errorf("left out: %+v", got.Left)
	}
	if _, err := os.Stat(dir + ".part"); err == nil {
		t.Error("the .part is still there")
	}
}
