package chunker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/ipfs/go-cid"
)

// TestKnown builds trees whose files are known, all or some, beside a build that reads them: the root is the same, and
// of a file that is known nothing is read.
func TestKnown(t *testing.T) {
	small := UnixFSV1_2025()
	small.ChunkSize, small.LinksPerNode, small.HAMTThreshold = 1<<10, 4, 1<<10
	for _, preserve := range []bool{false, true} {
		for _, p := range []Profile{UnixFSV1_2025(), small} {
			t.Run(fmt.Sprintf("preserve=%t/chunk=%d", preserve, p.ChunkSize), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "tree")
				if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o755); err != nil {
					t.Fatal(err)
				}
				sizes := []int64{0, 1, 1023, 1024, 1025, 4 << 10, 4<<10 + 1, 16 << 10, 65<<10 + 7, 3<<20 + 5}
				for i := range 60 { // more than a plain directory of the small profile holds
					fill(t, filepath.Join(dir, "sub", fmt.Sprint("file", i)), fmt.Sprint(i), sizes[i%len(sizes)])
				}
				fill(t, filepath.Join(dir, "top"), "top", 10_000)
				nodes := map[cid.Cid][]byte{}
				cfg := Config{Profile: p, Preserve: preserve}
				want, err := Build(context.Background(), dir, cfg, func(c cid.Cid, b []byte) error { nodes[c] = b; return nil })
				if err != nil {
					t.Fatal(err)
				}
				layout, err := Walk(want.Root, DefaultLimits(), func(c cid.Cid) ([]byte, error) { return nodes[c], nil })
				if err != nil {
					t.Fatal(err)
				}
				if !preserve { // the times would tell
					// What the files hold now is not what they are known for: who reads them gets another root.
					for _, name := range []string{"top", "sub/file8", "sub/file9"} {
						fi, err := os.Stat(filepath.Join(dir, name))
						if err != nil {
							t.Fatal(err)
						}
						fill(t, filepath.Join(dir, name), "other", fi.Size())
					}
				}
				var asked, kept atomic.Int64
				cfg.Known = func(path string, is FileStat) func(int) [32]byte {
					asked.Add(1)
					e, ok := layout.Find(path)
					if !ok || e.Kind != File || is.Size == 0 {
						t.Errorf("asked of %q, %+v", path, is)
						return nil
					}
					if path == "sub/file7" { // read that one
						return nil
					}
					return func(i int) [32]byte { return layout.Digest(e.First + i) }
				}
				got, err := Build(context.Background(), dir, cfg, func(c cid.Cid, b []byte) error {
					if kept.Add(1); nodes[c] == nil {
						t.Errorf("a node that the first build did not make: %s", c)
					}
					return nil
				})
				if err != nil || got.Root != want.Root || got.Size != want.Size || got.Files != want.Files {
					t.Errorf("%+v, %v; want root %s", got, err, want.Root)
				}
				if asked.Load() != 55 || kept.Load() == 0 {
					t.Errorf("asked %d times, want of the 55 files that are not empty; %d nodes", asked.Load(), kept.Load())
				}
			})
		}
	}
}
