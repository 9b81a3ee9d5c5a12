package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// pairWithin bounds one transfer from a seeder to one fetcher.
const pairWithin = 5 * time.Minute

// benchRivals moves the large file from one process to another with every tool there is.
func benchRivals(ctx context.Context, b *bench) error {
	path, err := b.largeFile("large", b.size)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	tools := b.installed("rivals", b.shoalTool(), libtorrentTool(), aria2Tool(), rsyncTool(), nginxTool(), cpTool())
	return b.race(ctx, "rivals", tools, path, float64(b.size)/1e6, "MB/s", map[string]string{
		"libtorrent": "goal 2.2", "aria2": "goal 2.2", "rsync": "goal 0.75",
	})
}

// race runs the tools in turn, the first one being shoal, each time with a fresh seeder and fetcher. The amount of work, in the unit, tells
// the speed; goals are for shoal's speed over that of the tool.
func (b *bench) race(ctx context.Context, what string, tools []tool, path string, amount float64, unit string, goals map[string]string) error {
	speed, cpu := make([]*series, len(tools)), make([]*series, len(tools))
	for i, t := range tools {
		speed[i] = b.report.row(what+": "+t.name, unit)
	}
	for i, t := range tools {
		cpu[i] = b.report.row(what+": CPU of both ends, "+t.name, "s")
	}
	for range b.runs {
		for i, t := range tools {
			seconds, used, err := b.pair(ctx, t, path)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				b.report.remark("%s: %s failed: %v", what, t.name, err)
				continue
			}
			speed[i].add(amount / seconds)
			cpu[i].add(used)
		}
	}
	for i, t := range tools[1:] {
		b.report.ratio(fmt.Sprintf("%s: shoal / %s", what, t.name), speed[0], speed[i+1], goals[t.name])
	}
	return nil
}

// pair moves path once, on loopback, and checks what came. It tells the seconds that the fetcher took and the CPU seconds of both ends in
// that time.
func (b *bench) pair(ctx context.Context, t tool, path string) (seconds, cpu float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, pairWithin)
	defer cancel()
	var g group
	defer g.close()
	var places []place
	for range 2 {
		p, err := b.loopback()
		if err != nil {
			return 0, 0, err
		}
		defer os.RemoveAll(p.dir)
		places = append(places, p)
	}
	_, fetchers, err := b.gather(ctx, &g, t, places, path)
	if err != nil {
		return 0, 0, err
	}
	before := g.cpu()
	o := rush(ctx, fetchers, places[1:])
	cpu = g.cpu() - before
	if o.err != nil {
		return 0, 0, o.err
	}
	return o.done[0], cpu, check(path, filepath.Join(places[1].dir, "dest"))
}
