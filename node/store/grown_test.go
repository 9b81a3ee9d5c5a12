package store_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// TestGrown appends to shared files: all that was shared is in them still, and they are other files.
func TestGrown(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir(), always())
	dir := filepath.Join(t.TempDir(), "logs")
	files := map[string]string{"large": string(content(1, 3<<20)), "small": "small", "empty": "", "kept": "kept"}
	makeTree(t, dir, files)
	sh := share(t, s, dir, chunker.Config{})
	for _, name := range []string{"large", "small", "empty"} {
		appendTo(t, filepath.Join(dir, name), "more")
	}
	for i, full := range []bool{false, true, false} {
		report, err := s.Verify(ctx, sh.Root, full, nil)
		if err != nil || report.Files != 4 || report.OK != 1 || len(report.Bad) != 3 || report.Bad[0].Status != store.FileChanged {
			t.Errorf("%d: %+v, %v", i, report, err)
		}
		if is, err := s.Share(sh.Root); err != nil || is.State != store.Changed || is.Have == is.Leaves {
			t.Errorf("%d: %+v, %v", i, is, err)
		}
	}
	for name, text := range files {
		if err := os.Truncate(filepath.Join(dir, name), int64(len(text))); err != nil {
			t.Fatal(err)
		}
	}
	healAll(t, s, sh)
}

// TestRestored verifies a share while a file of it is cut, and then puts back what is missing.
func TestRestored(t *testing.T) {
	s := open(t, t.TempDir(), always())
	path := filepath.Join(t.TempDir(), "film")
	text := content(1, 3<<20)
	makeTree(t, filepath.Dir(path), map[string]string{"film": string(text)})
	sh := share(t, s, path, chunker.Config{})
	if err := os.Truncate(path, 2<<20); err != nil {
		t.Fatal(err)
	}
	if report, err := s.Verify(context.Background(), sh.Root, false, nil); err != nil || report.OK != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	appendTo(t, path, string(text[2<<20:]))
	healAll(t, s, sh)
}

// healAll expects that Heal finds all of a share right again.
func healAll(t *testing.T, s *store.Store, sh store.Share) {
	t.Helper()
	if _, err := s.Survey(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Heal(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	if is, err := s.Share(sh.Root); err != nil || is.State != store.Complete || is.Have != sh.Leaves {
		t.Errorf("%+v, %v", is, err)
	}
	if err := readAll(s, sh); err != nil {
		t.Error(err)
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}
