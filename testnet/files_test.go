package testnet_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/testnet"
)

// TestSame makes sure that the comparison, on which every other test here relies, sees each kind of difference.
func TestSame(t *testing.T) {
	for _, row := range []struct {
		name     string
		change   func(dir string) error
		preserve bool   // seen only then
		want     string // in the message
	}{
		{"contents", func(dir string) error { return os.WriteFile(filepath.Join(dir, "plain.txt"), []byte("hellO\n"), 0o644) }, false, "byte 4"},
		{"size", func(dir string) error { return os.Truncate(filepath.Join(dir, "several chunks.bin"), 5) }, false, "bytes"},
		{"missing", func(dir string) error { return os.Remove(filepath.Join(dir, "no files here")) }, false, "missing"},
		{"too much", func(dir string) error { return os.Mkdir(filepath.Join(dir, "no files here", "x"), 0o755) }, false, "too much"},
		{"kind", func(dir string) error {
			path := filepath.Join(dir, "empty")
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Mkdir(path, 0o755)
		}, false, "is d"},
		{"symlink target", func(dir string) error {
			path := filepath.Join(dir, "links", "relative")
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Symlink("../empty", path)
		}, false, "leads to"},
		{"mode", func(dir string) error { return os.Chmod(filepath.Join(dir, "modes", "secret"), 0o644) }, true, "mode"},
		{"mtime", func(dir string) error {
			return os.Chtimes(filepath.Join(dir, "empty"), time.Time{}, time.Unix(1, 1))
		}, true, "mtime"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			a := testnet.MakeTree(t, filepath.Join(dir, "a"), 3)
			b := testnet.MakeTree(t, filepath.Join(dir, "b"), 3)
			if err := testnet.Same(a, b, true); err != nil {
				t.Fatal("two trees made alike:", err)
			}
			if err := row.change(b); err != nil {
				t.Fatal(err)
			}
			if err := testnet.Same(a, b, false); row.preserve && err != nil {
				t.Error("seen though it should not:", err)
			}
			err := testnet.Same(a, b, true)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}
