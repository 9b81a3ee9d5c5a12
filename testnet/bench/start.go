package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// benchStart measures how soon chunks arrive in a testnet: each daemon in turn gets
// a file that it has only the CID of, so that it must find a provider first.
func benchStart(ctx context.Context, b *bench) error {
	const size = 64 << 20
	path, err := b.largeFile("start", size)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	l, err := b.lab(ctx, b.daemons(20))
	if err != nil {
		return err
	}
	defer l.close()
	shared, _, err := share(ctx, l.daemons[0], path)
	if err != nil {
		return err
	}
	byCID := b.report.row(fmt.Sprintf("start: first chunk, %d daemons, bare CID", b.daemons(20)), "ms")
	byLink := b.report.row(fmt.Sprintf("start: first chunk, %d daemons, link with provider", b.daemons(20)), "ms")
	byCID.atMost(100)
	byLink.atMost(100)
	for i, d := range l.daemons[1:] {
		for _, way := range []struct {
			s    *series
			link string
		}{{byCID, shared.CID}, {byLink, shared.Link}} {
			dest := filepath.Join(b.dir, fmt.Sprintf("start-%d", i))
			r, _, err := fetch(ctx, d, way.link, dest, size)
			if err != nil {
				return err
			}
			way.s.add(r.FirstByte * 1e3)
		}
	}
	return nil
}
