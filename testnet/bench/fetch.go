package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// bareLimit is a transfer that shoal's is measured against.
type bareLimit struct {
	tuned     bool // with shoal's transports
	conns     int
	rate, cpu *series
}

// bareLimits are libp2p as it comes, and shoal's transports over some connections.
func (b *bench) bareLimits() []*bareLimit {
	limits := []*bareLimit{{conns: 1}, {tuned: true, conns: 1}, {tuned: true, conns: 2}, {tuned: true, conns: 4}}
	for _, l := range limits {
		what := "bare, libp2p's defaults"
		if l.tuned {
			what = fmt.Sprintf("bare, shoal's transports, connections: %d", l.conns)
		}
		l.rate = b.report.row("fetch: "+what, "MB/s")
		l.cpu = b.report.row("fetch: CPU, "+what, "s/GiB")
	}
	return limits
}

// benchFetch moves the large file from one daemon to another, and through bare
// libp2p streams with shoal's transports and with libp2p's own.
func benchFetch(ctx context.Context, b *bench) error {
	path, err := b.largeFile("large", b.size)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	l, err := b.lab(ctx, 2)
	if err != nil {
		return err
	}
	shared, _, err := share(ctx, l.daemons[0], path)
	if err != nil {
		return err
	}
	ours := b.report.row("fetch: shoal, verified and written", "MB/s")
	oursCPU := b.report.row("fetch: CPU, both daemons", "s/GiB")
	limits := b.bareLimits()
	mb, gib := float64(b.size)/1e6, float64(b.size)/(1<<30)
	for i := range b.runs {
		for _, limit := range limits {
			rate, cpu, err := bareStream(ctx, path, limit.tuned, limit.conns)
			if err != nil {
				return err
			}
			limit.rate.add(rate / 1e6)
			limit.cpu.add(cpu / gib)
		}
		before := l.cpu()
		dest := filepath.Join(b.dir, fmt.Sprintf("copy-%d", i))
		_, seconds, err := fetch(ctx, l.daemons[1], shared.Link, dest, b.size)
		if err != nil {
			return err
		}
		ours.add(mb / seconds)
		oursCPU.add((l.cpu() - before) / gib)
	}
	l.close()
	best := limits[0].rate
	for _, limit := range limits[1:] {
		if limit.rate.median() > best.median() {
			best = limit.rate
		}
	}
	b.report.ratio("fetch: shoal / the best bare transfer", ours, best, "goal 0.9")
	b.report.memory("fetch: daemon memory", l)
	return nil
}

// memory adds the peak of a lab's daemons.
func (r *report) memory(what string, l *lab) {
	s := r.row(what, "MiB")
	s.add(float64(l.peak) / (1 << 20))
	s.note = "largest of the daemons, without page cache; goal under 150"
}
