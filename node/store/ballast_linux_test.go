package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// TestBallastStays looks at a home on a full disk, which takes the space that was held for that. It is held again afterwards: a share
// can be removed though others have filled the rest of the disk meanwhile.
func TestBallastStays(t *testing.T) {
	disk := smallDisk(t, 300<<20)
	home, path := filepath.Join(disk, "home"), filepath.Join(t.TempDir(), "x")
	makeTree(t, path, map[string]string{"a": "alpha"})
	s, err := store.Open(home, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	sh := share(t, s, path, chunker.Config{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(home, "ballast")); err != nil {
		t.Fatal(err)
	}
	if err := fill(filepath.Join(disk, "fill")); err != nil {
		t.Fatal(err)
	}
	for _, more := range []string{"fill2", "fill3"} {
		s, err := store.Open(home, store.Config{MayRead: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Share(sh.Root); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := fill(filepath.Join(disk, more)); err != nil {
			t.Fatal(err)
		}
	}
	s, err = store.Open(home, store.Config{MayRead: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Remove(sh.Root); err != nil {
		t.Error(err)
	}
}
