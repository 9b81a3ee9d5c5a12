package store_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// TestAgedRows edits files, with size and mtime put back, of a home that was written before times of change were recorded: what was done to
// one before the upgrade is found in the background, and what is done afterwards is seen at once. All is served until then.
func TestAgedRows(t *testing.T) {
	ctx := context.Background()
	home := t.TempDir()
	s := open(t, home, always())
	dir := filepath.Join(t.TempDir(), "docs")
	makeTree(t, dir, map[string]string{"early": "early", "late": "late", "sub/large": string(content(1, 3<<20))})
	sh := share(t, s, dir, chunker.Config{})
	lone := filepath.Join(t.TempDir(), "lone")
	if err := os.WriteFile(lone, []byte("lone"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := share(t, s, lone, chunker.Config{})
	if err := s.AgeRows(); err != nil {
		t.Fatal(err)
	}
	edit := func(path string) {
		t.Helper()
		fi, err := os.Stat(path)
		if err == nil {
			err = os.WriteFile(path, []byte(strings.ToUpper(fi.Name())), 0o600)
		}
		if err == nil {
			err = os.Chtimes(path, fi.ModTime(), fi.ModTime())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	edit(filepath.Join(dir, "early"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, home, always())
	survey := func() (bad int, reason string) {
		t.Helper()
		list, err := s.Survey(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, is := range list {
			if is.State != store.Complete {
				bad++
				reason = is.Reason
			}
		}
		return bad, reason
	}
	if bad, reason := survey(); bad != 0 {
		t.Errorf("before anything was hashed: %s", reason)
	}
	if _, later, err := s.Heal(ctx, 0); err != nil || later {
		t.Fatal(later, err)
	}
	if bad, reason := survey(); bad != 1 || !strings.Contains(reason, "early") {
		t.Errorf("%d shares are changed: %s", bad, reason)
	}
	if is, err := s.Share(sh.Root); err != nil || is.Have != is.Leaves-1 {
		t.Errorf("%d of %d chunks are served: %v", is.Have, is.Leaves, err)
	}
	edit(lone)
	edit(filepath.Join(dir, "late"))
	survey()
	for _, root := range []store.Share{sh, other} {
		if is, err := s.Share(root.Root); err != nil || is.State != store.Changed {
			t.Errorf("edited afterwards: %s, %v", is.State, err)
		}
	}
	if is, err := s.Share(sh.Root); err != nil || is.Have != is.Leaves-2 {
		t.Errorf("%d of %d chunks are served: %v", is.Have, is.Leaves, err)
	}
}
