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
	tools := b.installed("rivals", b.shoalTool(), libtorrentTool(), aria2Tool(), transmissionTool(), syncthingTool(), kuboTool(),
		rsyncTool(), nginxTool(), cpTool())
	return b.race(ctx, race{
		table: fmt.Sprintf("rivals: one file of %d MiB", b.size>>20), amount: float64(b.size) / 1e6, unit: "MB/s",
		goals: map[string]float64{"libtorrent": 2.2, "aria2": 2.2, "syncthing": 1.5, "rsync": 0.75},
		cpu:   "libtorrent",
	}, tools, path)
}

// race is work that tools do in turn.
type race struct {
	table  string
	amount float64 // of work, in units: over the seconds it tells the speed
	unit   string
	goals  map[string]float64 // for shoal's speed over that of a tool, at least
	cpu    string             // the tool that shoal shall take less CPU than; "": none
}

// race runs the tools in turn, each time with a fresh seeder and fetcher.
func (b *bench) race(ctx context.Context, r race, tools []tool, path string) error {
	seconds, speed := map[string]*series{}, map[string]*series{}
	for _, t := range tools {
		seconds[t.name] = b.report.cell(r.table, t.name, "time, s")
		speed[t.name] = b.report.cell(r.table, t.name, r.unit)
		b.report.usage(r.table, t.name)
	}
	for range b.runs {
		for _, t := range tools {
			s, used, err := b.pair(ctx, t, path)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if b.ran(r.table, t.name, s, err) {
				continue
			}
			seconds[t.name].add(s)
			speed[t.name].add(r.amount / s)
			b.report.usage(r.table, t.name).add(used)
		}
	}
	b.compare(r, tools, speed)
	return nil
}

// compare adds the ratios of a race, if shoal was in it.
func (b *bench) compare(r race, tools []tool, speed map[string]*series) {
	for _, t := range tools {
		if t.name == ours || speed[ours] == nil {
			continue
		}
		note := ""
		if g, ok := r.goals[t.name]; ok {
			note = fmt.Sprintf("goal %g", g)
		}
		b.report.ratio(fmt.Sprintf("%s: speed of shoal / %s", r.table, t.name), speed[ours], speed[t.name], note)
		if t.name == r.cpu {
			b.report.ratio(fmt.Sprintf("%s: CPU of shoal / %s", r.table, t.name),
				b.report.usage(r.table, ours).cpu, b.report.usage(r.table, t.name).cpu, "").atMost(1)
		}
	}
}

// pair moves path once, on loopback, and checks what came. It tells the seconds that the fetcher took, and what both ends used in them.
func (b *bench) pair(ctx context.Context, t tool, path string) (seconds float64, used usage, err error) {
	ctx, cancel := context.WithTimeout(ctx, pairWithin)
	defer cancel()
	var g group
	defer g.close()
	var places []place
	for i := range 2 {
		ip := localhost
		if t.lonely != "" {
			ip = lonelyAddrs[i]
		}
		p, err := b.loopback(ip)
		if err != nil {
			return 0, usage{}, err
		}
		defer os.RemoveAll(p.dir)
		places = append(places, p)
	}
	_, fetchers, err := b.gather(ctx, &g, t, places, path)
	if err != nil {
		return 0, usage{}, err
	}
	before, wire := g.usage(), b.loopbackBytes()
	o := rush(ctx, fetchers, places[1:])
	used = g.usage()
	used.cpu -= before.cpu
	used.wire = wireSince(wire, b.loopbackBytes())
	if o.err != nil {
		return 0, usage{}, o.err
	}
	return o.done[0], used, check(path, filepath.Join(places[1].dir, "dest"))
}
