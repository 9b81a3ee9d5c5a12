package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// usedHome is a home with shares, closed; many makes the index have tables.
func usedHome(t *testing.T, many bool) (home string, shares []store.Share) {
	t.Helper()
	home = t.TempDir()
	s := open(t, home, store.Config{})
	files := t.TempDir()
	n := 3
	if many {
		n = 40
	}
	for i := range n {
		dir := filepath.Join(files, fmt.Sprint("tree", i))
		tree := map[string]string{}
		for k := range 20 {
			tree[fmt.Sprintf("file with a name %d", k)] = fmt.Sprint(i, k)
		}
		makeTree(t, dir, tree)
		shares = append(shares, share(t, s, dir, chunker.Config{}))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return home, shares
}

// oneLine tells whether an error is a sentence for a person.
func oneLine(err error) bool { return !strings.Contains(err.Error(), "\n") && len(err.Error()) < 600 }

func flip(t *testing.T, path string, at int64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) == 0 {
		return
	}
	for i := range 16 {
		b[(at+int64(i))%int64(len(b))] ^= 0x5a
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func match(t *testing.T, home, pattern string) []string {
	t.Helper()
	l, err := filepath.Glob(filepath.Join(home, "index", pattern))
	if err != nil || len(l) == 0 {
		t.Fatalf("no %s in the index: %v", pattern, err)
	}
	return l
}

// TestIndexGone takes the index away, or what makes it one: the home says so, and is not silently empty.
func TestIndexGone(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, home string){
		"directory": func(t *testing.T, home string) { os.RemoveAll(filepath.Join(home, "index")) },
		"file": func(t *testing.T, home string) {
			os.RemoveAll(filepath.Join(home, "index"))
			os.WriteFile(filepath.Join(home, "index"), []byte("x"), 0o600)
		},
		"emptied": func(t *testing.T, home string) {
			os.RemoveAll(filepath.Join(home, "index"))
			os.Mkdir(filepath.Join(home, "index"), 0o700)
		},
		"marker": func(t *testing.T, home string) {
			for _, p := range match(t, home, "marker.manifest.*") {
				os.Remove(p)
			}
		},
		"both markers": func(t *testing.T, home string) {
			for _, p := range match(t, home, "marker.*") {
				os.Remove(p)
			}
		},
		"manifest": func(t *testing.T, home string) {
			for _, p := range match(t, home, "MANIFEST-*") {
				os.Remove(p)
			}
		},
		"manifest damaged": func(t *testing.T, home string) {
			for _, p := range match(t, home, "MANIFEST-*") {
				flip(t, p, 20)
			}
		},
		"manifest cut": func(t *testing.T, home string) {
			for _, p := range match(t, home, "MANIFEST-*") {
				os.Truncate(p, 10)
			}
		},
		"tables": func(t *testing.T, home string) {
			for _, p := range match(t, home, "*.sst") {
				os.Remove(p)
			}
		},
		"format and index": func(t *testing.T, home string) {
			os.RemoveAll(filepath.Join(home, "index"))
			os.Remove(filepath.Join(home, "format"))
		},
		"options": func(t *testing.T, home string) {
			for _, p := range match(t, home, "OPTIONS-*") {
				os.WriteFile(p, []byte("nonsense"), 0o600)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			home, shares := usedHome(t, false)
			harm(t, home)
			for range 2 { // it stays said
				s, err := store.Open(home, store.Config{})
				if err == nil {
					all, err := s.Shares()
					s.Close()
					if err != nil || len(all) != len(shares) {
						t.Fatalf("opened with %d of %d shares, %v", len(all), len(shares), err)
					}
					continue
				}
				if !errors.Is(err, store.ErrIndexDamaged) || !oneLine(err) || !strings.Contains(err.Error(), home) {
					t.Errorf("open: %v", err)
				}
			}
		})
	}
}

// TestTableDamage damages tables at many places: an error of one line wherever it is met, no panic, nothing missing in silence.
func TestTableDamage(t *testing.T) {
	home, shares := usedHome(t, true)
	for _, table := range match(t, home, "*.sst") {
		fi, err := os.Stat(table)
		if err != nil {
			t.Fatal(err)
		}
		for k := int64(0); k < 12; k++ {
			harmed := t.TempDir()
			if err := os.CopyFS(harmed, os.DirFS(home)); err != nil {
				t.Fatal(err)
			}
			flip(t, filepath.Join(harmed, "index", filepath.Base(table)), k*fi.Size()/12)
			s, err := store.Open(harmed, store.Config{})
			if err == nil {
				var all []store.Share
				if all, err = s.Shares(); err == nil && len(all) != len(shares) {
					t.Errorf("byte %d: %d of %d shares", k*fi.Size()/12, len(all), len(shares))
				}
				for _, sh := range all {
					if _, lerr := s.Layout(sh.Root); lerr != nil && err == nil {
						err = lerr
					}
				}
				s.Close()
			}
			if err != nil && (!errors.Is(err, store.ErrIndexDamaged) || !oneLine(err)) {
				t.Errorf("byte %d: %v", k*fi.Size()/12, err)
			}
		}
	}
}

// TestLogDamage damages the log of an index that was not closed: what was lost with it is noticed.
func TestLogDamage(t *testing.T) {
	home := t.TempDir()
	s := open(t, home, store.Config{})
	var want int
	files := t.TempDir()
	for i := range 12 {
		path := filepath.Join(files, fmt.Sprint("f", i))
		if err := os.WriteFile(path, []byte(fmt.Sprint("content ", i)), 0o600); err != nil {
			t.Fatal(err)
		}
		share(t, s, path, chunker.Config{})
		want++
	}
	killed := t.TempDir()
	if err := os.CopyFS(killed, os.DirFS(home)); err != nil { // as a kill leaves it
		t.Fatal(err)
	}
	s.Close()
	var log string
	var size int64
	for _, p := range match(t, killed, "*.log") {
		if fi, err := os.Stat(p); err == nil && fi.Size() > size {
			log, size = filepath.Base(p), fi.Size()
		}
	}
	noticed := 0
	for _, harm := range []struct {
		name string
		do   func(t *testing.T, path string)
	}{
		{"none", func(*testing.T, string) {}},
		{"removed", func(_ *testing.T, path string) { os.Remove(path) }},
		{"emptied", func(_ *testing.T, path string) { os.Truncate(path, 0) }},
		{"cut", func(_ *testing.T, path string) { os.Truncate(path, size/2) }},
		{"begin", func(t *testing.T, path string) { flip(t, path, 20) }},
		{"middle", func(t *testing.T, path string) { flip(t, path, size/2) }},
		{"end", func(t *testing.T, path string) { flip(t, path, size-40) }},
	} {
		harmed := t.TempDir()
		if err := os.CopyFS(harmed, os.DirFS(killed)); err != nil {
			t.Fatal(err)
		}
		harm.do(t, filepath.Join(harmed, "index", log))
		s, err := store.Open(harmed, store.Config{})
		if err != nil {
			noticed++
			if harm.name == "none" || !errors.Is(err, store.ErrIndexDamaged) && !errors.Is(err, store.ErrIndexOld) || !oneLine(err) {
				t.Errorf("%s: %v", harm.name, err)
			}
			continue
		}
		all, err := s.Shares()
		s.Close()
		if err != nil || len(all) != want {
			t.Errorf("%s: opened with %d of %d shares, %v", harm.name, len(all), want, err)
		}
	}
	if noticed < 5 {
		t.Errorf("only %d of 6 kinds of damage were noticed", noticed)
	}
}
