package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

const (
	sparseSize = 1 << 40 // bytes of the sparse file
	sparseData = 64      // chunks of it that hold data
)

// benchSparse shares a tree of a 1 TiB sparse file and a small one, then fetches the small one and the big one.
// Memory is the largest of the daemons', at any time.
func benchSparse(ctx context.Context, b *bench) error {
	tree, err := b.sparseTree()
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	indexed := b.report.row("sparse: share 1 TiB with 64 MiB of data", "s")
	part := b.report.row("sparse: fetch a file beside it", "s")
	whole := b.report.row("sparse: fetch it", "s")
	memory := b.report.row("sparse: daemon memory", "MiB")
	memory.note = "largest of the daemons, without page cache; goal under 300"
	for i := range b.runs {
		peak, err := b.sparseRun(ctx, tree, i, indexed, part, whole)
		if err != nil {
			return err
		}
		memory.add(float64(peak) / (1 << 20))
	}
	return nil
}

func (b *bench) sparseRun(ctx context.Context, tree string, i int, indexed, part, whole *series) (peak int64, err error) {
	l, err := b.lab(ctx, 2)
	if err != nil {
		return 0, err
	}
	defer func() {
		l.close()
		peak = l.peak
	}()
	shared, seconds, err := share(ctx, l.daemons[0], tree)
	if err != nil {
		return 0, err
	}
	indexed.add(seconds)
	for _, f := range []struct {
		name string
		size int64
		s    *series
	}{{"small", chunkSize, part}, {"huge", sparseSize, whole}} {
		dest := filepath.Join(b.dir, fmt.Sprintf("%s-%d", f.name, i))
		_, seconds, err := fetch(ctx, l.daemons[1], "/ipfs/"+shared.CID+"/"+f.name, dest, f.size)
		if err != nil {
			return 0, err
		}
		f.s.add(seconds)
	}
	return 0, nil
}

// sparseTree makes the tree.
func (b *bench) sparseTree() (string, error) {
	dir := filepath.Join(b.dir, "tree")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	rng := rand.NewChaCha8([32]byte{'s', 'p', 'a', 'r', 's', 'e'})
	data := make([]byte, chunkSize)
	rng.Read(data)
	if err := os.WriteFile(filepath.Join(dir, "small"), data, 0o644); err != nil {
		return "", err
	}
	f, err := os.Create(filepath.Join(dir, "huge"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := f.Truncate(sparseSize); err != nil {
		return "", err
	}
	for i := range int64(sparseData) {
		rng.Read(data)
		if _, err := f.WriteAt(data, i*(sparseSize/sparseData)+i*4096); err != nil {
			return "", err
		}
	}
	return dir, nil
}
