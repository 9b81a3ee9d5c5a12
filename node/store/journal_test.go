package store_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// TestJournalIsMended touches the journal in between, its length and times kept: the next start writes it as it was. One that nobody
// touched stays the same file.
func TestJournalIsMended(t *testing.T) {
	home, dir := t.TempDir(), t.TempDir()
	path := filepath.Join(home, "shares.jsonl")
	s := open(t, home, store.Config{})
	for _, name := range []string{"one", "two"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		share(t, s, filepath.Join(dir, name), chunker.Config{})
	}
	again := func() (text []byte, fi os.FileInfo) {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err == nil {
			fi, err = os.Stat(path)
		}
		if err != nil {
			t.Fatal(err)
		}
		return text, fi
	}
	was, fi := again()
	s = open(t, home, store.Config{})
	if now, is := again(); !bytes.Equal(now, was) || !os.SameFile(fi, is) || !is.ModTime().Equal(fi.ModTime()) {
		t.Errorf("a start and a stop make of\n%s\nthis:\n%s", was, now)
	}
	for _, bad := range [][]byte{bytes.Replace(was, []byte(`"root"`), []byte(`\root"`), 1), was[:len(was)-9], nil} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, fi.ModTime(), fi.ModTime()); err != nil {
			t.Fatal(err)
		}
		s = open(t, home, store.Config{})
		text, _ := again()
		for _, line := range bytes.Split(was, []byte("\n")) {
			if _, said, ok := bytes.Cut(line, []byte(`"root":"`)); ok && !bytes.Contains(text, said) {
				t.Errorf("of\n%s\ncame\n%s", bad, text)
			}
		}
	}
	s = open(t, home, store.Config{})
	if list, err := s.Shares(); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
}
