package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
)

// crowdSize is the file that a crowd fetches.
const crowdSize = 64 << 20

// crowdCase is one kind of flash crowd.
type crowdCase struct {
	n, slow int     // fetchers, and how many of them have a quarter of the rate
	goal    float64 // for shoal's time, of the fluid limit
}

func (c crowdCase) title() string {
	what := fmt.Sprintf("crowd of %d", c.n)
	if c.slow > 0 {
		what += fmt.Sprintf(", %d of them slow", c.slow)
	}
	return what
}

// benchCrowd lets fetchers that know only the seeder, or a tracker, come all at once: all at the same rate, half of them at a quarter of it,
// and twice as many.
func benchCrowd(ctx context.Context, b *bench) error {
	if why := noNamespaces(); why != "" {
		b.report.remark("crowd: skipped, %s", why)
		return nil
	}
	path, err := b.largeFile("crowd", crowdSize)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	tools := b.installed("crowd", b.swarms()...)
	for _, c := range []crowdCase{{b.crowd, 0, 1.2}, {b.crowd, b.crowd / 2, 1.25}, {2 * b.crowd, 0, 1.25}} {
		if err := b.crowdOf(ctx, c, tools, path); err != nil {
			return err
		}
	}
	return nil
}

// swarms are the tools whose fetchers help each other.
func (b *bench) swarms() []tool {
	return []tool{b.shoalTool(), libtorrentTool(), aria2Tool(), transmissionTool(), kuboTool()}
}

func (b *bench) crowdOf(ctx context.Context, c crowdCase, tools []tool, path string) error {
	rates := b.rates(c.n, c.slow)
	limit := fluidLimit(crowdSize, rates, rates)
	rows := map[string]crowdCells{}
	for _, t := range tools {
		rows[t.name] = b.crowdCells(c, t.name)
		if t.name == ours {
			rows[t.name].ratio.atMost(c.goal)
			rows[t.name].copies.atMost(1.15)
			rows[t.name].duplicate.atMost(1)
		}
	}
	b.report.remark("%s at %g Mbit/s: no schedule takes less than %.2f s", c.title(), b.rate, limit)
	for range b.runs {
		for _, t := range tools {
			o, err := b.flash(ctx, t, path, rates, 0)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if b.ran(c.title(), t.name, o.last(), errors.Join(err, o.err)) {
				continue
			}
			rows[t.name].add(o, c, limit)
			b.report.usage(c.title(), t.name).add(o.used)
		}
	}
	return nil
}

// rates are the bits a second of the seeder and n fetchers; the last ones are slow.
func (b *bench) rates(n, slow int) []int64 {
	rates := slices.Repeat([]int64{int64(b.rate * 1e6)}, 1+n)
	for i := range slow {
		rates[len(rates)-1-i] /= 4
	}
	return rates
}

// crowdCells are the columns of a tool, next to those of its usage.
type crowdCells struct{ last, fast, each, ratio, copies, duplicate *series }

func (b *bench) crowdCells(c crowdCase, tool string) crowdCells {
	cell := func(column string) *series { return b.report.cell(c.title(), tool, column) }
	r := crowdCells{last: cell("last done, s"), ratio: cell("x of the limit"), fast: &series{}}
	if c.slow > 0 {
		r.fast = cell("last fast one done, s")
	}
	r.each = cell("each done, s")
	r.copies, r.duplicate = cell("copies by the seeder"), cell("worst duplicates, %")
	b.report.usage(c.title(), tool)
	return r
}

func (r crowdCells) add(o outcome, c crowdCase, limit float64) {
	last := o.last()
	r.last.add(last)
	r.fast.add(slices.Max(o.done[:c.n-c.slow]))
	for _, s := range o.done {
		r.each.add(s)
	}
	r.ratio.add(last / limit)
	r.copies.add(o.copies)
	if worst := slices.Max(o.duplicates); worst >= 0 {
		r.duplicate.add(100 * float64(worst) / crowdSize)
	}
}
