package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"shoal/testnet"
)

// benchReady starts one daemon again and again and measures the time to its first answer: with nothing shared, and with
// many shares. The disk is warm, since the same home was open just before. The answer is asked for every 10 ms.
func benchReady(ctx context.Context, b *bench) error {
	l, err := b.lab(ctx, 1)
	if err != nil {
		return err
	}
	defer l.close()
	d := l.daemons[0]
	empty := b.report.row("ready: from start to first answer, nothing shared", "ms").atMost(300)
	if err := b.starts(ctx, d, empty); err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "roots")
	if err := rootFiles(dir, b.roots); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := shareAll(ctx, d, dir, b.roots); err != nil {
		return err
	}
	many := b.report.row(fmt.Sprintf("ready: from start to first answer, %d shares", b.roots), "ms").atMost(1000)
	return b.starts(ctx, d, many)
}

// starts restarts d as often as there are runs.
func (b *bench) starts(ctx context.Context, d *testnet.Daemon, s *series) error {
	for range b.runs {
		if err := d.Stop(); err != nil {
			return err
		}
		start := time.Now()
		if err := d.Restart(ctx); err != nil {
			return err
		}
		s.add(float64(time.Since(start).Microseconds()) / 1e3)
	}
	return nil
}
