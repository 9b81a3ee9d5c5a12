package store_test

import (
	"context"
	"path/filepath"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// TestNameOfAPart: a part that was fetched by its path is called after that, but never the whole: not to others, not where both
// are here, and not in a copy.
func TestNameOfAPart(t *testing.T) {
	files := map[string]string{"a/x": string(content(1, 2<<20)), "b/y": "bravo"}
	src, sh := tree(t, files, chunker.Config{})
	dst, dir := open(t, t.TempDir(), always()), t.TempDir()
	part, _ := comes(t, src, dst, store.Target{Root: sh.Root, Dir: dir, Sub: "a"})
	if filepath.Base(part.Path) != "a" {
		t.Errorf("the part is at %s", part.Path)
	}
	if name := openRoot(t, dst, sh.Root).Name(); name != "" {
		t.Errorf("others hear that the root is called %q", name)
	}
	comes(t, src, dst, store.Target{Root: sh.Root, Dir: dir, Name: "whole"})
	if got, err := dst.Share(sh.Root); err != nil || got.Name != "whole" {
		t.Errorf("called %q (%v)", got.Name, err)
	}
	if name := openRoot(t, dst, sh.Root).Name(); name != "whole" {
		t.Errorf("others hear that the root is called %q", name)
	}
	to := t.TempDir()
	copied, err := dst.Export(context.Background(), store.Target{Root: sh.Root, Dir: to}, nil)
	if err != nil || copied.Path != filepath.Join(to, "whole") {
		t.Fatalf("copied to %s (%v)", copied.Path, err)
	}
	sameTree(t, readTree(t, copied.Path), files)
}
