package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// TestForeignInPart drops an unfinished download in whose .part another program keeps files, as players and file managers do: all
// that was fetched goes, and nothing of theirs.
func TestForeignInPart(t *testing.T) {
	src, sh := tree(t, map[string]string{"a": string(content(1, 3<<20)), "d/b": "bravo", "d/e/c": "charlie", "z/": ""}, chunker.Config{})
	for name, theirs := range map[string]map[string]string{
		"nothing":       {},
		"files":         {"a.nfo": "mine", "d/e/notes": "mine", "new/x": "mine"},
		"a kind of its": {"d/b/x": "mine"},
		"a symlink":     {"d/l": "->/"},
		"names of its":  {"a": "mine", "d/b": "mine", "d/e/c": "mine"},
		"renamed":       {"a.nfo": "mine", "d/notes": "mine", "z/x": "mine"},
		"after a kill":  {"a": "mine", "d/b": "mine", "d/e/c": "mine"},
		"killed":        {},
	} {
		t.Run(name, func(t *testing.T) {
			home, to := t.TempDir(), t.TempDir()
			dst := open(t, home, always())
			d := begin(t, dst, store.Target{Root: sh.Root, Dir: to, Name: "out", Rename: name == "renamed"})
			if err := pump(t, openRoot(t, src, sh.Root), d, func(i int) bool { return i < 2 }); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(name, "kill") {
				crashed := filepath.Join(t.TempDir(), "home")
				if err := os.CopyFS(crashed, os.DirFS(home)); err != nil {
					t.Fatal(err)
				}
				defer d.Pause()
				dst = open(t, crashed, always())
			} else if err := d.Pause(); err != nil {
				t.Fatal(err)
			}
			part := filepath.Join(to, "out.part")
			if _, err := os.Stat(part); err != nil {
				t.Fatal(err)
			}
			for name := range theirs { // another program's is not written into ours
				if err := os.RemoveAll(filepath.Join(part, name)); err != nil {
					t.Fatal(err)
				}
			}
			if _, ok := theirs["d/b/x"]; ok {
				if err := os.RemoveAll(filepath.Join(part, "d", "b")); err != nil {
					t.Fatal(err)
				}
			}
			makeTree(t, part, theirs)
			if err := dst.Remove(sh.Root); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(part); len(theirs) == 0 {
				if !os.IsNotExist(err) {
					t.Error("the .part stays")
				}
				return
			}
			sameTree(t, readTree(t, part), theirs)
		})
	}
}
