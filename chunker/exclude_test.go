package chunker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
)

func TestExclude(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), "alpha")
	want := build(t, dir, Config{})
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(home, "identity.key"), "secret")
	cfg := Config{Exclude: []string{home, filepath.Join(dir, "missing")}}
	got := build(t, dir, cfg)
	if got.Root != want.Root || !errors.Is(got.skipped["home"], ErrExcluded) {
		t.Errorf("root %s, want %s; skipped %v", got.Root, want.Root, got.skipped)
	}
	none := func(cid.Cid, []byte) error { return nil }
	if _, err := Build(context.Background(), home, cfg, none); !errors.Is(err, ErrExcluded) {
		t.Errorf("the excluded directory itself: %v", err)
	}
}

// TestFreshFile looks that a file is not taken for settled in the very tick of the clock
// it was written in.
func TestFreshFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "fresh")
	now := time.Now()
	if err := os.Chtimes(path, now, now); err != nil {
		t.Fatal(err)
	}
	build(t, path, Config{})
	if age := time.Since(now); age < clockTick {
		t.Errorf("hashed when it was %v old", age)
	}
}
