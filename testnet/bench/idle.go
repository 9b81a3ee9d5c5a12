package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// What each daemon of the idle case shares.
const (
	idleShares = 5
	idleSize   = 2 << 20
)

// idleSettle is how long the daemons have for what comes after a start: lookups, providing, tables to fill.
const idleSettle = 20 * time.Second

// benchIdle starts daemons that share something each and then have nothing to do, and watches them for a while.
func benchIdle(ctx context.Context, b *bench) error {
	l, err := b.lab(ctx, b.peers)
	if err != nil {
		return err
	}
	defer l.close()
	for i, d := range l.daemons {
		for j := range idleShares {
			path := filepath.Join(b.dir, fmt.Sprintf("idle-%d-%d", i, j))
			if err := sparseFile(path, idleSize, uint64(i*idleShares+j+1)<<32); err != nil {
				return err
			}
			defer os.Remove(path)
			if _, _, err := share(ctx, d, path); err != nil {
				return err
			}
		}
	}
	if err := pause(ctx, idleSettle); err != nil {
		return err
	}
	table := fmt.Sprintf("idle: %d daemons on one machine, %d shares each, for %s", b.peers, idleShares, b.idle)
	cpu := b.report.cell(table, "of a daemon", "CPU, % of a core")
	anon := b.report.cell(table, "of a daemon", "without cache, MiB")
	wire := b.report.cell(table, "of a daemon", "wire, MB an hour")
	wireBefore, start := b.loopbackBytes(), time.Now()
	used := make([]float64, len(l.daemons))
	for i, d := range l.daemons {
		used[i] = cpuSince(d.PID())
	}
	if err := pause(ctx, b.idle); err != nil {
		return err
	}
	seconds := time.Since(start).Seconds()
	for i, d := range l.daemons {
		cpu.add(100 * (cpuSince(d.PID()) - used[i]) / seconds)
		anon.add(float64(anonymousBytes(d.PID())) / (1 << 20))
	}
	if n := wireSince(wireBefore, b.loopbackBytes()); n >= 0 {
		wire.add(float64(n) / 1e6 * 3600 / seconds / float64(b.peers)) // each byte once, at its sender
	}
	return nil
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
