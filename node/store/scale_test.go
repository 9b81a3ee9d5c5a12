package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/chunker"
	"shoal/node/store"

	"github.com/ipfs/go-cid"
)

// memDir is a directory on a RAM disk where there is one, so that thousands of durable writes take no time.
func memDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "store")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// manyShares shares n files of some bytes each, and returns the root of the last.
func manyShares(t testing.TB, s *store.Store, n int) (last cid.Cid, dir string) {
	t.Helper()
	dir = memDir(t)
	for i := range n {
		path := filepath.Join(dir, fmt.Sprintf("file%05d", i))
		if err := os.WriteFile(path, fmt.Append(nil, "content of ", i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		last = share(t, s, filepath.Join(dir, fmt.Sprintf("file%05d", i)), chunker.Config{Workers: 1}).Root
	}
	return last, dir
}

// work is what a step reads of the index.
type work struct{ gets, iters, steps int64 }

func workOf(t *testing.T, s *store.Store, do func() error) work {
	t.Helper()
	g, i, k := s.Reads()
	if err := do(); err != nil {
		t.Fatal(err)
	}
	g2, i2, k2 := s.Reads()
	return work{g2 - g, i2 - i, k2 - k}
}

// TestManySharesCostNoMoreEach compares what listing, verifying and removing read of the index with 1,000 shares and
// with ten times as many: never more than ten times as much, and for one share the same.
func TestManySharesCostNoMoreEach(t *testing.T) {
	ctx := context.Background()
	few, many := 1000, 10_000
	measure := func(n int) map[string]work {
		home := filepath.Join(memDir(t), "home")
		s, err := store.Open(home, store.Config{})
		if err != nil {
			t.Fatal(err)
		}
		last, dir := manyShares(t, s, n)
		all := map[string]work{}
		all["list"] = workOf(t, s, func() error {
			list, err := s.Survey(ctx)
			if err == nil && len(list) != n {
				err = fmt.Errorf("%d of %d shares listed", len(list), n)
			}
			return err
		})
		verified := 0
		all["verify"] = workOf(t, s, func() error {
			return s.VerifyAll(ctx, false, func(_ store.Share, r store.VerifyReport, err error) error {
				if verified++; r.OK != 1 || r.Bytes != 0 {
					return fmt.Errorf("unchanged file: %+v, %w", r, err)
				}
				return nil
			}, nil)
		})
		if verified != n {
			t.Fatalf("%d of %d shares were verified", verified, n)
		}
		all["name"] = workOf(t, s, func() error { _, err := s.Names(); return err })
		all["remove"] = workOf(t, s, func() error { return s.Remove(last) })
		os.RemoveAll(dir) // a disk that goes away
		all["list of missing files"] = workOf(t, s, func() error { _, err := s.Survey(ctx); return err })
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = store.Open(home, store.Config{}); err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		g, i, k := s.Reads()
		all["open"] = work{g, i, k}
		return all
	}
	a, b := measure(few), measure(many)
	for name, x := range a {
		y := b[name]
		t.Logf("%-22s %5d shares: %+v  %5d shares: %+v", name, few, x, many, y)
		least := int64(64)
		for _, pair := range [][2]int64{{x.gets, y.gets}, {x.iters, y.iters}, {x.steps, y.steps}} {
			if pair[1] > max(least, 11*pair[0]) {
				t.Errorf("%s: %+v with %d shares, but %+v with %d", name, x, few, y, many)
			}
		}
	}
	for _, name := range []string{"list", "verify", "name"} {
		if b[name].iters > 8 || b[name].gets > 8 {
			t.Errorf("%s of %d unchanged shares makes %+v", name, many, b[name])
		}
	}
	if r := b["remove"]; r.gets+r.iters+r.steps > a["remove"].gets+a["remove"].iters+a["remove"].steps+16 {
		t.Errorf("removing one of %d shares reads %+v, of %d shares %+v", many, r, few, a["remove"])
	}
}

// TestSurveyFindsEveryMiss edits and deletes files of a large directory and of many shares: each is found, whatever is looked at
// beside it, and the reason is that of the first.
func TestSurveyFindsEveryMiss(t *testing.T) {
	const n = 2500
	ctx := context.Background()
	s, err := store.Open(filepath.Join(memDir(t), "home"), store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, dir := manyShares(t, s, n)
	tree := share(t, s, dir, chunker.Config{Workers: 1})
	wrong := map[string]string{"file00003": "was deleted", "file01023": "grew", "file01024": "was deleted", "file02499": "grew"}
	for name, how := range wrong {
		path := filepath.Join(dir, name)
		if how == "grew" {
			err = os.WriteFile(path, []byte("something that is longer"), 0o644)
		} else {
			err = os.Remove(path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.Survey(ctx)
	if err != nil || len(list) != n+1 {
		t.Fatalf("%d shares, %v", len(list), err)
	}
	for i, sh := range list[:n] {
		name := fmt.Sprintf("file%05d", i)
		how, bad := wrong[name]
		if sh.Name != name || bad != (sh.State == store.Changed) || bad && !strings.HasPrefix(sh.Reason, name+" "+how) {
			t.Errorf("share %d: %s is %s: %s", i, sh.Name, sh.State, sh.Reason)
		}
	}
	if sh := list[n]; sh.Root != tree.Root || sh.State != store.Changed || sh.Have != n-len(wrong) || sh.Reason != "file00003 was deleted" {
		t.Errorf("the directory: %+v", sh)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Survey(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
