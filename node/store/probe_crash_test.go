package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"shoal/node/store"
)

// TestProbeLeft has a crash leave behind the directory in which names were tried: the next start takes it away, and nothing else.
func TestProbeLeft(t *testing.T) {
	home, dir := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, ".shoal-probe-000000000000")
	mine := filepath.Join(dir, "mine")
	for _, d := range []string{path, mine} {
		if err := os.MkdirAll(filepath.Join(d, "name"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	store.NoteProbe(home, path)
	store.NoteProbe(home, mine) // a note that is damaged
	s, err := store.Open(home, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(mine, "name")); err != nil {
		t.Errorf("what is no probe was taken away: %v", err)
	}
}
