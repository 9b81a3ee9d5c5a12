package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// benchFetch moves the large file from one daemon to another, and through a bare
// libp2p stream with shoal's transports and with libp2p's own.
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
	tuned := b.report.row("fetch: bare stream, shoal's transports", "MB/s")
	plain := b.report.row("fetch: bare stream, libp2p's defaults", "MB/s")
	oursCPU := b.report.row("fetch: CPU, both daemons", "s/GiB")
	tunedCPU := b.report.row("fetch: CPU, bare stream, shoal's transports", "s/GiB")
	plainCPU := b.report.row("fetch: CPU, bare stream, libp2p's defaults", "s/GiB")
	mb, gib := float64(b.size)/1e6, float64(b.size)/(1<<30)
	for i := range b.runs {
		for _, limit := range []struct {
			rate, cpu *series
			tuned     bool
		}{{plain, plainCPU, false}, {tuned, tunedCPU, true}} {
			rate, cpu, err := bareStream(ctx, path, limit.tuned)
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
	b.report.ratio("fetch: shoal / bare, shoal's transports", ours, tuned, "goal 0.85")
	b.report.ratio("fetch: shoal / bare, libp2p's defaults", ours, plain, "goal 0.85")
	b.report.memory("fetch: daemon memory", l)
	return nil
}

// memory adds the peak of a lab's daemons.
func (r *report) memory(what string, l *lab) {
	s := r.row(what, "MiB")
	s.add(float64(l.peak) / (1 << 20))
	s.note = "largest of the daemons, without page cache; goal under 150"
}
