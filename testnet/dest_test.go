package testnet_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/testnet"
)

// TestDestination meets destinations that are there already.
func TestDestination(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	path := testnet.RandomFile(t, sharer.Path("file"), 2*chunk+7, 1)
	file := sharer.Share(path)

	t.Run("the same file", func(t *testing.T) {
		dest := testnet.RandomFile(t, fetcher.Path("same"), 2*chunk+7, 1)
		if res := fetcher.Get(file.Link, dest); received(res.From) != 0 {
			t.Errorf("fetched %v though it was there", res.From)
		}
	})
	t.Run("another file", func(t *testing.T) {
		other := sharer.Share(testnet.RandomFile(t, sharer.Path("other"), 3*chunk, 2))
		dest := fetcher.Path("different")
		if err := os.WriteFile(dest, []byte("precious"), 0o644); err != nil {
			t.Fatal(err)
		}
		r := fetcher.Fails(5, "get", other.Link, "-o", dest)
		if !strings.Contains(r.Stderr, dest) || !strings.Contains(r.Stderr, "--force") {
			t.Errorf("names neither the file nor the way out: %s", r)
		}
		if raw, err := os.ReadFile(dest); string(raw) != "precious" {
			t.Fatalf("the file that was there holds %q now (%v)", raw, err)
		}
		fetcher.Get(other.Link, dest, "--force")
		lab.Same(sharer.Path("other"), dest, false)
	})
	t.Run("a directory in the way of a file", func(t *testing.T) {
		dest := fetcher.Path("directory")
		mine := filepath.Join(dest, "lone", "mine")
		if err := os.MkdirAll(mine, 0o755); err != nil {
			t.Fatal(err)
		}
		lone := sharer.Share(testnet.RandomFile(t, sharer.Path("lone"), 1000, 3))
		fetcher.Fails(5, "get", lone.Link, "-o", dest)
		fetcher.Fails(5, "get", lone.Link, "-o", dest, "--force")
		if _, err := os.Stat(mine); err != nil {
			t.Error(err)
		}
	})
	t.Run("no such directory", func(t *testing.T) {
		lone := sharer.Share(testnet.RandomFile(t, sharer.Path("lone 2"), 1000, 4))
		r := fetcher.Run("get", lone.Link, "-o", fetcher.Path("no", "such", "dir", "file"))
		if r.Code == 0 {
			lab.Same(sharer.Path("lone 2"), fetcher.Path("no", "such", "dir", "file"), false)
		} else if r.Stderr == "" {
			t.Error(r)
		}
	})
	t.Run("a symlink", func(t *testing.T) {
		lone := sharer.Share(testnet.RandomFile(t, sharer.Path("lone 3"), 1000, 5))
		target, dest := fetcher.Path("target"), fetcher.Path("symlink")
		if err := os.WriteFile(target, []byte("precious"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, dest); err != nil {
			t.Skip(err)
		}
		fetcher.Fails(5, "get", lone.Link, "-o", dest)
		fetcher.Get(lone.Link, dest, "--force")
		if raw, _ := os.ReadFile(target); string(raw) != "precious" {
			t.Errorf("what the symlink leads to was written: %q", raw)
		}
	})
}
