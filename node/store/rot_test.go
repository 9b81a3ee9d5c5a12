package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// TestCheckLeaf: a leaf whose bytes rotted under an unchanged stat is found when a peer complains, and only then; it alone is
// served no more, and a verify that finds it right heals it.
func TestCheckLeaf(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir(), always())
	path := filepath.Join(t.TempDir(), "f")
	data := content(1, 3<<20)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	sh := share(t, s, path, chunker.Config{})
	if damaged, err := s.CheckLeaf(sh.Root, 1); damaged || err != nil {
		t.Errorf("a sound leaf: damaged %v, %v", damaged, err)
	}
	rot := func() {
		t.Helper()
		if err := errors.Join(editInPlace(path, 1<<20+7), s.Restat(sh.Root)); err != nil {
			t.Fatal(err)
		}
	}
	rot()
	for i, want := range []bool{false, true, false} {
		if damaged, err := s.CheckLeaf(sh.Root, i); damaged != want || err != nil {
			t.Errorf("leaf %d: damaged %v, %v", i, damaged, err)
		}
	}
	got, err := s.Share(sh.Root)
	if err != nil || got.State != store.Changed || got.Have != 2 || !strings.Contains(got.Reason, "f: chunk 1, at byte 1048576") {
		t.Errorf("share %+v, %v", got, err)
	}
	if have := openRoot(t, s, sh.Root).Have(); len(have) != 1 || have[0] != 0b101 {
		t.Errorf("have %b, want 101", have)
	}
	if _, err := s.CheckLeaf(sh.Root, 9); err != nil {
		t.Error(err)
	}
	rot() // back to what it was
	if rep, err := s.Verify(ctx, sh.Root, false, nil); err != nil || rep.OK != 1 {
		t.Errorf("verify: %+v, %v", rep, err)
	}
	servesAll(t, s, sh.Root, data)
}

// TestPutBackTime: an edit whose size and modification time were put back is seen.
func TestPutBackTime(t *testing.T) {
	s := open(t, t.TempDir(), always())
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, content(1, 3<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	sh := share(t, s, path, chunker.Config{})
	if err := editInPlace(path, 1<<20+7); err != nil {
		t.Fatal(err)
	}
	if _, err := openRoot(t, s, sh.Root).ReadLeaf(0, make([]byte, 1<<20)); !errors.Is(err, store.ErrChanged) {
		t.Errorf("read: %v, want ErrChanged", err)
	}
	if rep, err := s.Verify(context.Background(), sh.Root, false, nil); err != nil || len(rep.Bad) != 1 || rep.Bad[0].BadLeaves != 1 {
		t.Errorf("verify: %+v, %v", rep, err)
	}
	if have := openRoot(t, s, sh.Root).Have(); len(have) != 1 || have[0] != 0b101 {
		t.Errorf("have %b: all but the edited chunk are served", have)
	}
}

// editInPlace changes one byte and puts the modification time back, as touch -r does.
func editInPlace(path string, at int64) error {
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	b[0] ^= 1
	if err == nil {
		_, err = f.WriteAt(b, at)
	}
	return errors.Join(err, f.Close(), os.Chtimes(path, fi.ModTime(), fi.ModTime()))
}

// TestMendedDamage: a damaged leaf is served again once its file is mended in place, though nobody reads that leaf meanwhile.
func TestMendedDamage(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir(), always())
	path := filepath.Join(t.TempDir(), "f")
	data := content(1, 3<<20)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	sh := share(t, s, path, chunker.Config{})
	if err := errors.Join(editInPlace(path, 1<<20+7), s.Restat(sh.Root)); err != nil {
		t.Fatal(err)
	}
	if damaged, err := s.CheckLeaf(sh.Root, 1); !damaged || err != nil {
		t.Fatalf("damaged %v, %v", damaged, err)
	}
	for range 2 { // a look at what did not change leaves all as it is
		if have := openRoot(t, s, sh.Root).Have(); len(have) != 1 || have[0] != 0b101 {
			t.Fatalf("have %b, want 101", have)
		}
	}
	if err := editInPlace(path, 1<<20+7); err != nil {
		t.Fatal(err)
	}
	openRoot(t, s, sh.Root) // as a waiting fetch has done from time to time
	if healed, _, err := s.Heal(ctx, 0); err != nil || len(healed) != 1 {
		t.Fatalf("healed %v, %v", healed, err)
	}
	servesAll(t, s, sh.Root, data)
	if sh, err := s.Share(sh.Root); err != nil || sh.State != store.Complete {
		t.Errorf("%+v, %v", sh, err)
	}
}
