package main

import (
	"context"
	"fmt"
	"os"
	"slices"
)

// churnCopies is what the seeder may send before it is killed: every chunk once, headers, and a little for repeats.
const churnCopies = 1.1

// benchChurn is a flash crowd whose seeder is killed (SIGKILL) as soon as it can have sent everything once.
func benchChurn(ctx context.Context, b *bench) error {
	if why := noNamespaces(); why != "" {
		b.report.remark("churn: skipped, %s", why)
		return nil
	}
	path, err := b.largeFile("churn", crowdSize)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	tools := b.installed("churn", b.shoalTool(), libtorrentTool(), aria2Tool())
	rates := b.rates(0)
	finished, last := map[string]*series{}, map[string]*series{}
	for _, t := range tools {
		finished[t.name] = b.report.row("churn: "+t.name+", fetchers that finished", fmt.Sprintf("of %d", b.crowd))
		last[t.name] = b.report.row("churn: "+t.name+", last of them done", "s")
		last[t.name].note = fmt.Sprintf("fluid limit with the seeder %.2f s", fluidLimit(crowdSize, rates))
	}
	for range b.runs {
		for _, t := range tools {
			o, err := b.flash(ctx, t, path, rates, churnCopies)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				b.report.remark("churn: %s failed: %v", t.name, err)
				continue
			}
			done := slices.DeleteFunc(o.done, func(s float64) bool { return s == 0 })
			finished[t.name].add(float64(len(done)))
			finished[t.name].note = fmt.Sprintf("seeder killed after %.2f copies with headers; goal: all", o.copies)
			if len(done) > 0 {
				last[t.name].add(slices.Max(done))
			}
		}
	}
	return nil
}
