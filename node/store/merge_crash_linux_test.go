package store_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// TestKilledMerge kills a process at random moments while it merges a tree into a directory, with Force. After each kill every file of that
// directory is the old one or the new one, whole, and what is not in the share is there; in the end all are new.
func TestKilledMerge(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	files := map[string]string{"big": string(content(1, 5<<20+3)), "empty": "", "link": "->big", "void/": "", "same": string(content(2, 1<<20))}
	old := map[string]string{"big": files["big"][:3<<20] + string(content(3, 1<<20)), "link": "->mine", "mine": "mine", "d1/mine": "mine too", "same": files["same"]}
	for i := range 60 {
		name := fmt.Sprintf("d%d/f%d", i%4, i)
		files[name] = fmt.Sprint("file ", i)
		if i%4 != 3 {
			old[name] = fmt.Sprint("old file ", i)
		}
	}
	want := maps.Clone(files)
	want["mine"], want["d1/mine"] = "mine", "mine too"
	base := t.TempDir()
	from, to, home := filepath.Join(base, "from"), filepath.Join(base, "to"), filepath.Join(base, "home")
	makeTree(t, from, files)
	makeTree(t, filepath.Join(to, "out"), old)
	src := open(t, to+".src", store.Config{})
	sh := share(t, src, from, chunker.Config{})
	if err := src.Close(); err != nil {
		t.Fatal(err)
	}
	kills, inFinish := 0, 0
	for rounds := 0; rounds < 4; rounds++ {
		for !killed(t, "merge", 1+rand.IntN(20), home, from, to) {
			if kills++; kills > 400 {
				t.Fatal("no end")
			}
			now := readTree(t, filepath.Join(to, "out"))
			mixed := 0
			for name, v := range now {
				if isOld, ok := old[name]; v != files[name] && (!ok || v != isOld) {
					t.Fatalf("after kill %d %s is neither the old file nor the new one: %d bytes", kills, name, len(v))
				}
				if v == files[name] && old[name] != v {
					mixed++
				}
			}
			for name := range old {
				if _, ok := now[name]; !ok {
					t.Fatalf("after kill %d %s is gone", kills, name)
				}
			}
			if mixed > 0 {
				inFinish++
			}
		}
		sameTree(t, readTree(t, filepath.Join(to, "out")), want)
		if names, _ := os.ReadDir(to); len(names) != 1 {
			t.Fatalf("left behind: %v", names)
		}
		s := open(t, home, store.Config{})
		if got, err := s.Share(sh.Root); err != nil || got.State != store.Complete || got.Have != got.Leaves {
			t.Errorf("share %+v, %v", got, err)
		}
		if err := s.Remove(sh.Root); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Garbage(); n != 0 || err != nil {
			t.Errorf("%d rows of garbage, %v", n, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for name, v := range old { // once more
			if err := os.RemoveAll(filepath.Join(to, "out", name)); err != nil {
				t.Fatal(err)
			}
			makeTree(t, filepath.Join(to, "out"), map[string]string{name: v})
		}
	}
	t.Logf("killed %d times, %d of them when some files were new", kills, inFinish)
}
