package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"shoal/chunker"
	"shoal/node/store"
)

// TestHeal touches, links and rewrites shared files: those that hold what they held are served again, without a Verify.
func TestHeal(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir(), always())
	dir := filepath.Join(t.TempDir(), "docs")
	large := content(1, 3<<20)
	makeTree(t, dir, map[string]string{"touched": string(large), "linked": "linked", "edited": string(content(2, 2<<20)), "grown": "x", "kept": "kept"})
	sh := share(t, s, dir, chunker.Config{})
	heal := func(quiet time.Duration) (healed int, later bool) {
		t.Helper()
		roots, later, err := s.Heal(ctx, quiet)
		if err != nil {
			t.Fatal(err)
		}
		return len(roots), later
	}
	if n, later := heal(0); n != 0 || later {
		t.Errorf("nothing is wrong: %d healed, later %t", n, later)
	}

	past := time.Now().Add(-time.Hour)
	edited := content(2, 2<<20)
	edited[1<<20] ^= 1 // the second of two chunks
	err := errors.Join(
		os.Chtimes(filepath.Join(dir, "touched"), past, past),
		os.Link(filepath.Join(dir, "linked"), filepath.Join(dir, "link")),
		os.WriteFile(filepath.Join(dir, "edited"), edited, 0o644),
		os.WriteFile(filepath.Join(dir, "grown"), []byte("xy"), 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Survey(ctx); err != nil {
		t.Fatal(err)
	}
	before, err := s.Share(sh.Root)
	if err != nil || before.State != store.Changed {
		t.Fatalf("%+v, %v", before, err)
	}
	if n, later := heal(time.Hour); n != 0 || !later {
		t.Errorf("before there was quiet: %d healed, later %t", n, later)
	}
	if n, later := heal(0); n != 1 || later {
		t.Errorf("%d healed, later %t", n, later)
	}
	// All but the second chunk of "edited" and the file that has another size.
	now, err := s.Share(sh.Root)
	if err != nil || now.State != store.Changed || now.Have != now.Leaves-2 {
		t.Errorf("%+v, %v", now, err)
	}
	r := openRoot(t, s, sh.Root)
	layout, err := s.Layout(sh.Root)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<20)
	for _, name := range []string{"touched", "linked", "kept"} {
		e, _ := layout.Find(name)
		for i := e.First; i < e.First+e.Leaves; i++ {
			if _, err := r.ReadLeaf(i, buf); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}

	// What was hashed and found to be something else is not hashed again until it changes again.
	if err := os.WriteFile(filepath.Join(dir, "grown"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.Survey(ctx); err != nil {
			t.Fatal(err)
		}
		heal(0)
	}
	if now, err = s.Share(sh.Root); err != nil || now.Have != now.Leaves-1 {
		t.Errorf("%+v, %v", now, err)
	}
	_, iters, _ := s.Reads()
	if n, later := heal(0); n != 0 || later {
		t.Errorf("%d healed, later %t", n, later)
	}
	if _, after, _ := s.Reads(); after != iters {
		t.Errorf("with nothing to do the index is read")
	}
	if err := os.WriteFile(filepath.Join(dir, "edited"), content(2, 2<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(ctx, sh.Root); err != nil {
		t.Fatal(err)
	}
	heal(0)
	if now, err = s.Share(sh.Root); err != nil || now.State != store.Complete || now.Have != now.Leaves {
		t.Errorf("after the old content is back: %+v, %v", now, err)
	}
}

// TestHealTheBurst touches all files of a tree and asks for one: all are served again after one Heal.
func TestHealTheBurst(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir(), always())
	dir := filepath.Join(t.TempDir(), "docs")
	files := map[string]string{}
	for i := range 300 {
		files[fmt.Sprint("d", i%7, "/", i)] = fmt.Sprint("content ", i)
	}
	makeTree(t, dir, files)
	sh := share(t, s, dir, chunker.Config{})
	past := time.Now().Add(-time.Hour)
	for name := range files {
		if err := os.Chtimes(filepath.Join(dir, name), past, past); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 1<<10)
	if _, err := openRoot(t, s, sh.Root).ReadLeaf(0, buf); !errors.Is(err, store.ErrChanged) {
		t.Fatalf("a touched file is read: %v", err)
	}
	if healed, later, err := s.Heal(ctx, 0); err != nil || len(healed) != 1 || later {
		t.Fatalf("healed %v, later %t, %v", healed, later, err)
	}
	r := openRoot(t, s, sh.Root)
	for i := range sh.Leaves {
		if _, err := r.ReadLeaf(i, buf); err != nil {
			t.Fatalf("leaf %d: %v", i, err)
		}
	}
	if sh, err := s.Share(sh.Root); err != nil || sh.State != store.Complete || sh.Have != sh.Leaves {
		t.Errorf("%+v, %v", sh, err)
	}
}
