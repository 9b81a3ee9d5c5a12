package chunker

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
)

// discard is a DAG service for boxo's importer that costs nothing.
type discard struct{ nodeMap }

func (discard) Add(context.Context, ipld.Node) error       { return nil }
func (discard) AddMany(context.Context, []ipld.Node) error { return nil }

const benchSize = 256 << 20

func drop(cid.Cid, []byte) error { return nil }

func BenchmarkBuildFile(b *testing.B) {
	path := filepath.Join(ramDir(b), "f")
	fill(b, path, "bench", benchSize)
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			b.SetBytes(benchSize)
			for b.Loop() {
				if _, err := Build(b.Context(), path, Config{Workers: workers}, drop); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBoxoImporter is the limit to beat: the same file, by the importer that
// Kubo uses, with a store that costs nothing.
func BenchmarkBoxoImporter(b *testing.B) {
	path := filepath.Join(ramDir(b), "f")
	fill(b, path, "bench", benchSize)
	b.SetBytes(benchSize)
	for b.Loop() {
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		o := oracle{profile: UnixFSV1_2025()}
		if _, err := o.importFile(f, discard{}); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

func BenchmarkBuildTree(b *testing.B) {
	const files = 5000
	dir := ramDir(b)
	buf := make([]byte, 4096)
	r := keystream(b, "tree")
	for i := range files {
		sub := filepath.Join(dir, fmt.Sprint(i%50))
		os.Mkdir(sub, 0o755)
		io.ReadFull(r, buf)
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprint(i)), buf, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for _, preserve := range []bool{false, true} {
		b.Run(fmt.Sprintf("preserve=%v", preserve), func(b *testing.B) {
			b.SetBytes(files * 4096)
			for b.Loop() {
				if _, err := Build(b.Context(), dir, Config{Preserve: preserve}, drop); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(files*b.N)/b.Elapsed().Seconds(), "files/s")
		})
	}
}

// BenchmarkWalk walks a file of a million leaves, 1 TiB at the usual chunk size.
func BenchmarkWalk(b *testing.B) {
	root, nodes := bigDAG(b)
	b.ReportAllocs()
	for b.Loop() {
		l, err := Walk(root, Limits{}, func(c cid.Cid) ([]byte, error) { return nodes[c], nil })
		if err != nil {
			b.Fatal(err)
		}
		if l.Leaves() != 1<<20 {
			b.Fatal(l.Leaves())
		}
	}
	b.ReportMetric(float64(b.N<<20)/b.Elapsed().Seconds(), "leaves/s")
}

// bigDAG makes the inner nodes of a file of 1,024 times 1,024 leaves that all differ.
func bigDAG(t testing.TB) (cid.Cid, map[cid.Cid][]byte) {
	nodes := make(map[cid.Cid][]byte)
	b := &builder{cfg: Config{Profile: UnixFSV1_2025()}, put: func(c cid.Cid, n []byte) error { nodes[c] = n; return nil }}
	level := make([]child, 1<<20)
	r := keystream(t, "leaves")
	for i := range level {
		r.Read(level[i].digest[:])
		level[i].raw, level[i].size, level[i].tsize = true, 1<<20, 1<<20
	}
	root, err := b.pack(level, attrs{})
	if err != nil {
		t.Fatal(err)
	}
	return root.cid(), nodes
}
