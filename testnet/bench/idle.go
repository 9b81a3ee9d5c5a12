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
	n := b.daemons(20)
	l, err := b.lab(ctx, n)
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
	table := fmt.Sprintf("idle: %d daemons on one machine, %d shares each, for %s", n, idleShares, b.idle)
	cpu := b.report.cell(table, "of a daemon", "CPU, % of a core").atMost(0.5)
	anon := b.report.cell(table, "of a daemon", "most without cache, MiB").atMost(60)
	wire := b.report.cell(table, "of a daemon", "wire, MB an hour a connected peer").atMost(2)
	connected := b.report.cell(table, "of a daemon", "connected peers")

	wireBefore, start := b.loopbackBytes(), time.Now()
	used := make([]float64, len(l.daemons))
	for i, d := range l.daemons {
		used[i] = cpuSince(d.PID())
	}
	most, err := l.mostAnonymous(ctx, b.idle)
	if err != nil {
		return err
	}
	seconds := time.Since(start).Seconds()
	sent := wireSince(wireBefore, b.loopbackBytes())
	pairs := 0 // connections, each counted at both ends
	for i, d := range l.daemons {
		cpu.add(100 * (cpuSince(d.PID()) - used[i]) / seconds)
		anon.add(float64(most[i]) / (1 << 20))
		st, err := d.Client().Status(ctx)
		if err != nil {
			return err
		}
		connected.add(float64(st.Peers))
		pairs += st.Peers
	}
	if sent >= 0 && pairs > 0 { // the counter has each byte once; it is traffic of its sender and of its receiver
		wire.add(2 * float64(sent) / 1e6 * 3600 / seconds / float64(pairs))
	}
	return nil
}

// mostAnonymous watches the memory of the daemons for a while and returns the most that each had.
func (l *lab) mostAnonymous(ctx context.Context, d time.Duration) ([]int64, error) {
	most := make([]int64, len(l.daemons))
	for end := time.Now().Add(d); ; {
		for i, d := range l.daemons {
			most[i] = max(most[i], anonymousBytes(d.PID()))
		}
		left := time.Until(end)
		if left <= 0 {
			return most, nil
		}
		if err := pause(ctx, min(left, time.Second)); err != nil {
			return most, err
		}
	}
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
