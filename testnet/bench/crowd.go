package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// crowdSize is the file that a crowd fetches.
const crowdSize = 64 << 20

// benchCrowd lets fetchers that know only the seeder, or a tracker, come all at once: all at the same rate, and half of them at a quarter of it.
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
	tools := b.installed("crowd", b.shoalTool(), libtorrentTool(), aria2Tool())
	for _, v := range []struct {
		name string
		slow int
	}{{"crowd", 0}, {"crowd, half slow", b.crowd / 2}} {
		rates := b.rates(v.slow)
		limit := fluidLimit(crowdSize, rates)
		rows := map[string]*crowdRows{}
		for _, t := range tools {
			rows[t.name] = b.crowdRows(v.name+": "+t.name, b.crowd, v.slow)
		}
		for range b.runs {
			for _, t := range tools {
				o, err := b.flash(ctx, t, path, rates, 0)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err := errors.Join(err, o.err); err != nil {
					b.report.remark("%s: %s failed: %v", v.name, t.name, err)
					continue
				}
				rows[t.name].add(o, v.slow, limit)
			}
		}
	}
	return nil
}

// rates are the bits a second of the seeder and each fetcher; the last ones are slow.
func (b *bench) rates(slow int) []int64 {
	rates := slices.Repeat([]int64{int64(b.rate * 1e6)}, 1+b.crowd)
	for i := range slow {
		rates[len(rates)-1-i] /= 4
	}
	return rates
}

// fluidLimit is the time in which a file of size bytes can be with all n fetchers at best (Kumar and Ross, 2006): the largest of F/u (the seeder's
// link), F/d (the slowest fetcher's) and n*F/(all uploads together). Here all are limited alike both ways, so that the third is never the
// largest, and the slowest link of all tells.
func fluidLimit(size int64, rates []int64) float64 {
	return float64(size) * 8 / float64(slices.Min(rates))
}

// outcome is how a flash crowd went.
type outcome struct {
	done      []float64 // seconds until each fetcher was done; 0: it was not
	copies    float64   // bytes that the seeder put on the wire, in files
	duplicate int64     // payload bytes that came twice to the fetcher with most of them; -1: not known
	err       error     // of the fetchers that were not done
}

// flash seeds path and lets all others fetch it at once. After kill copies the seeder is killed; 0: it stays.
func (b *bench) flash(ctx context.Context, t tool, path string, rates []int64, kill float64) (outcome, error) {
	within := time.Duration((20 + 4*fluidLimit(crowdSize, rates)) * float64(time.Second))
	br, err := b.newBridge(rates)
	if err != nil {
		return outcome{}, err
	}
	defer br.close()
	var g group
	defer g.close() // before the bridge
	o, fetchers, err := b.gather(ctx, &g, t, br.places, path)
	if err != nil {
		return outcome{}, err
	}
	before, err := br.sent(0)
	if err != nil {
		return outcome{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	killed := make(chan error, 1)
	go func() { killed <- br.killAfter(ctx, o.proc, before, kill) }()
	r := rush(ctx, fetchers, br.places[1:])
	cancel()
	after, err := br.sent(0)
	if err := errors.Join(err, <-killed); err != nil {
		return outcome{}, err
	}
	r.copies = float64(after-before) / crowdSize
	for i, p := range br.places[1:] {
		if r.done[i] > 0 {
			err = errors.Join(err, check(path, filepath.Join(p.dir, "dest")))
		}
	}
	return r, err
}

// gather starts a seeder at the first place and makes fetchers ready at the others.
func (b *bench) gather(ctx context.Context, g *group, t tool, places []place, path string) (offer, []fetcher, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	o, err := t.seed(ctx, g, places[0], path)
	if err != nil {
		return offer{}, nil, err
	}
	fetchers := make([]fetcher, len(places)-1)
	errs := make([]error, len(fetchers))
	var wg sync.WaitGroup
	for i, p := range places[1:] {
		wg.Go(func() {
			fetchers[i], errs[i] = t.fetcher(ctx, g, p, o)
			errs[i] = errors.Join(errs[i], os.Mkdir(filepath.Join(p.dir, "dest"), 0o755))
		})
	}
	wg.Wait()
	return o, fetchers, errors.Join(errs...)
}

// rush lets all fetchers go at once and waits for them.
func rush(ctx context.Context, fetchers []fetcher, places []place) outcome {
	r := outcome{done: make([]float64, len(fetchers)), duplicate: -1}
	start := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, fetch := range fetchers {
		wg.Go(func() {
			duplicate, err := fetch(ctx, filepath.Join(places[i].dir, "dest"))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				r.err = errors.Join(r.err, fmt.Errorf("fetcher %d: %w", i+1, err))
				return
			}
			r.done[i] = time.Since(start).Seconds()
			r.duplicate = max(r.duplicate, duplicate)
		})
	}
	wg.Wait()
	return r
}

// killAfter kills the seeder once it has sent so many copies more than before, if that happens before ctx ends.
func (br *bridge) killAfter(ctx context.Context, seeder *proc, before int64, copies float64) error {
	if copies == 0 {
		return nil
	}
	err := poll(ctx, func() (bool, error) {
		sent, err := br.sent(0)
		return float64(sent-before) >= copies*crowdSize, err
	})
	if ctx.Err() != nil {
		return nil // all were done before, or nobody ever will be
	}
	if err != nil {
		return err
	}
	return seeder.cmd.Process.Kill()
}

// crowdRows are the rows of one tool.
type crowdRows struct{ last, fast, ratio, copies, duplicate *series }

func (b *bench) crowdRows(what string, n, slow int) *crowdRows {
	r := &crowdRows{last: b.report.row(fmt.Sprintf("%s, last of %d done", what, n), "s"), fast: &series{}}
	if slow > 0 {
		r.fast = b.report.row(fmt.Sprintf("%s, last of the %d fast ones", what, n-slow), "s")
	}
	r.ratio = b.report.row(what+", of the fluid limit", "x")
	r.copies = b.report.row(what+", copies the seeder sent", "x")
	r.duplicate = b.report.row(what+", duplicate bytes, worst fetcher", "%")
	r.copies.note = "with headers; goal 1.15"
	r.duplicate.note = "goal 1"
	return r
}

func (r *crowdRows) add(o outcome, slow int, limit float64) {
	last := slices.Max(o.done)
	r.last.add(last)
	r.fast.add(slices.Max(o.done[:len(o.done)-slow]))
	r.ratio.add(last / limit)
	r.ratio.note = fmt.Sprintf("limit %.2f s; goal 1.20 to 1.25", limit)
	r.copies.add(o.copies)
	if o.duplicate >= 0 {
		r.duplicate.add(100 * float64(o.duplicate) / crowdSize)
	}
}
