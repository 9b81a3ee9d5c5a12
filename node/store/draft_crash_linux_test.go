package store_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// TestCrashAtPart ends a process while it makes its .part, before and after that is recorded: the next one takes it for its own, or there
// is none, so that in the end nothing lies beside the result.
func TestCrashAtPart(t *testing.T) {
	for _, job := range []string{"note", "noted"} {
		for name, files := range map[string]map[string]string{"tree": {"a": "alpha"}, "file": nil} {
			t.Run(job+"/"+name, func(t *testing.T) {
				base := t.TempDir()
				from, to, home := filepath.Join(base, "from"), filepath.Join(base, "to"), filepath.Join(base, "home")
				if files != nil {
					makeTree(t, from, files)
				} else if err := os.WriteFile(from, content(1, 2<<20), 0o644); err != nil {
					t.Fatal(err)
				}
				if err := os.Mkdir(to, 0o755); err != nil {
					t.Fatal(err)
				}
				src := open(t, to+".src", store.Config{})
				sh := share(t, src, from, chunker.Config{})
				if err := src.Close(); err != nil {
					t.Fatal(err)
				}
				killed(t, job, 100, home, from, to)
				if list, err := os.ReadDir(to); err != nil || len(list) != 1 {
					t.Fatalf("%v, %v: want what the crash has left", list, err)
				}
				src, s := open(t, to+".src", store.Config{}), open(t, home, store.Config{})
				d := begin(t, s, store.Target{Root: sh.Root, Dir: to, Name: "out"})
				if err := pump(t, openRoot(t, src, sh.Root), d, nil); err != nil {
					t.Fatal(err)
				}
				if _, err := d.Finish(context.Background()); err != nil {
					t.Fatal(err)
				}
				if list, err := os.ReadDir(to); err != nil || len(list) != 1 || list[0].Name() != "out" {
					t.Errorf("%v, %v: want the result alone", list, err)
				}
			})
		}
	}
}
