package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"shoal/node/api"
)

// The tree of the small case, a hundred files a directory.
const (
	smallFiles = 10_000
	smallSize  = 4 << 10
)

// benchSmall shares a tree of small files, and moves it from one process to another.
func benchSmall(ctx context.Context, b *bench) error {
	path := filepath.Join(b.dir, "small")
	if err := makeSmall(path); err != nil {
		return err
	}
	defer os.RemoveAll(path)
	if err := b.shareSmall(ctx, path); err != nil {
		return err
	}
	tools := b.installed("small", b.shoalTool(), libtorrentTool(), aria2Tool(), transmissionTool(), syncthingTool(), kuboTool(), rsyncTool(), cpTool())
	return b.race(ctx, race{
		table: "small: 10,000 files of 4 KiB", amount: smallFiles, unit: "files/s",
		goals: map[string]float64{"libtorrent": 1, "aria2": 1, "syncthing": 1, "rsync": 1},
	}, tools, path)
}

// shareSmall measures how fast a daemon indexes the tree.
func (b *bench) shareSmall(ctx context.Context, path string) error {
	row := b.report.row("small: shoal share", "files/s").atLeast(10_000)
	var g group
	defer g.close()
	p, err := b.loopback(localhost)
	if err != nil {
		return err
	}
	defer os.RemoveAll(p.dir)
	if _, _, err := b.shoalDaemon(ctx, &g, p, nil); err != nil {
		return err
	}
	client := api.NewClient(filepath.Join(p.dir, "home"))
	for range b.runs {
		start := time.Now()
		r, err := client.Share(ctx, api.ShareRequest{Path: path}, nil)
		if err != nil {
			return err
		}
		row.add(smallFiles / time.Since(start).Seconds())
		if _, err := client.Remove(ctx, r.CID); err != nil {
			return err
		}
	}
	return nil
}

func makeSmall(dir string) error {
	random := rand.NewChaCha8([32]byte{'s', 'm', 'a', 'l', 'l'})
	contents := make([]byte, smallSize)
	for i := range smallFiles {
		sub := filepath.Join(dir, fmt.Sprintf("d%02d", i/100))
		if i%100 == 0 {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				return err
			}
		}
		random.Read(contents) // never fails
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("f%02d", i%100)), contents, 0o644); err != nil {
			return err
		}
	}
	return nil
}
