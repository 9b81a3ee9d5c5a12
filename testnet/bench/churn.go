package main

import (
	"context"
	"fmt"
	"os"
	"slices"
)

// churnCopies is what the seeder may send before it is killed, headers apart: every chunk once, and a little for repeats.
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
	table := fmt.Sprintf("churn: %d fetchers, the seeder is killed after %g copies", b.crowd, churnCopies)
	tools := b.installed("churn", b.swarms()...)
	cell := func(t tool, column string) *series { return b.report.cell(table, t.name, column) }
	for _, t := range tools {
		finished := cell(t, "finished")
		if t.name == ours {
			finished.atLeast(float64(b.crowd))
		}
	}
	rates := b.rates(b.crowd, 0)
	for range b.runs {
		for _, t := range tools {
			o, err := b.flash(ctx, t, path, rates, churnCopies)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if b.ran("churn", t.name, o.last(), err) {
				continue
			}
			done := slices.DeleteFunc(slices.Clone(o.done), func(s float64) bool { return s == 0 })
			cell(t, "finished").add(float64(len(done)))
			if len(done) > 0 {
				cell(t, "last of them, s").add(o.last())
			}
			cell(t, "copies by the seeder").add(o.copies)
			b.report.usage(table, t.name).add(o.used)
		}
	}
	return nil
}
