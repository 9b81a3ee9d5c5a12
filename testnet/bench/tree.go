package main

import (
	"context"
	"fmt"
	"path/filepath"
)

// benchTree shares a tree of many small files and fetches it.
func benchTree(ctx context.Context, b *bench) error {
	l, err := b.lab(ctx, 2)
	if err != nil {
		return err
	}
	shares := b.report.row("tree: share", "files/s")
	fetches := b.report.row("tree: fetch", "files/s")
	shares.atLeast(3000)
	fetches.atLeast(3000)
	for i := range b.runs {
		r, seconds, err := share(ctx, l.daemons[0], b.tree)
		if err != nil {
			return err
		}
		shares.add(float64(r.Files) / seconds)
		dest := filepath.Join(b.dir, fmt.Sprintf("tree-%d", i))
		_, seconds, err = fetch(ctx, l.daemons[1], r.Link, dest, r.Size)
		if err != nil {
			return err
		}
		fetches.add(float64(r.Files) / seconds)
		if _, err := l.daemons[0].Client().Remove(ctx, r.CID); err != nil {
			return err
		}
	}
	l.close()
	b.report.memory("tree: daemon memory", l)
	return nil
}
