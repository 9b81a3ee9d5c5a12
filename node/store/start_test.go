package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// TestOneNameAtOnce: downloads of different roots that start at once for one name write to different files.
func TestOneNameAtOnce(t *testing.T) {
	src, dst, to := open(t, t.TempDir(), always()), open(t, t.TempDir(), always()), t.TempDir()
	for round := range 20 {
		var group sync.WaitGroup
		start, parts := make(chan struct{}), sync.Map{}
		for i := range 4 {
			from := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(from, fmt.Append(nil, round, i), 0o644); err != nil {
				t.Fatal(err)
			}
			sh := share(t, src, from, chunker.Config{})
			group.Go(func() {
				<-start
				d, err := dst.Download(context.Background(), store.Target{Root: sh.Root, Dir: to, Name: fmt.Sprint("out", round)}, chunker.Limits{})
				if err != nil {
					t.Error(err)
					return
				}
				defer d.Close()
				if got, err := dst.Share(sh.Root); err != nil {
					t.Error(err)
				} else if _, twice := parts.LoadOrStore(got.Path, true); twice {
					t.Errorf("two write to %s", got.Path)
				}
			})
		}
		close(start)
		group.Wait()
	}
}
