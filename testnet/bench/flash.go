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

// outcome is how a flash crowd went.
type outcome struct {
	done       []float64 // seconds until each fetcher was done; 0: it was not
	duplicates []int64   // payload bytes that came twice to each; -1: not known
	copies     float64   // payload bytes that the seeder put on the wire, in files
	used       usage
	err        error // of the fetchers that were not done
}

// last is when the last of those that were done was.
func (o outcome) last() float64 { return slices.Max(append([]float64{0}, o.done...)) }

// fluidLimit is the time in which a file of size bytes can be with all fetchers at best (Kumar and Ross, 2006): the largest of F/u (the
// seeder's link), F/d (the slowest fetcher's) and N*F/(all uploads together). Rates are bits a second, the seeder's first, up being that
// of what each sends.
func fluidLimit(size int64, up, down []int64) float64 {
	bits, sum := float64(size)*8, int64(0)
	for _, u := range up {
		sum += u
	}
	return max(bits/float64(up[0]), bits/float64(slices.Min(down[1:])), bits*float64(len(down)-1)/float64(sum))
}

// flash seeds path and lets all others fetch it at once. After kill copies of payload the seeder is killed; 0: it stays.
func (b *bench) flash(ctx context.Context, t tool, path string, rates []int64, kill float64) (outcome, error) {
	within := time.Duration((20 + 4*fluidLimit(crowdSize, rates, rates)) * float64(time.Second))
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
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	killed := make(chan error, 1)
	r, err := br.measure(&g, func() outcome {
		before, err := br.sent(0)
		go func() { killed <- errors.Join(err, br.killAfter(ctx, o.proc, before, kill)) }()
		r := rush(ctx, fetchers, br.places[1:])
		cancel()
		return r
	})
	if err := errors.Join(err, <-killed); err != nil {
		return outcome{}, err
	}
	for i, p := range br.places[1:] {
		if r.done[i] > 0 {
			err = errors.Join(err, check(path, filepath.Join(p.dir, "dest")))
		}
	}
	return r, err
}

// measure adds to an outcome what was used for it; copies are of crowdSize.
func (br *bridge) measure(g *group, work func() outcome) (outcome, error) {
	seeder, err1 := br.sent(0)
	wire, err2 := br.sentByAll()
	before := g.usage()
	r := work()
	r.used = g.usage()
	r.used.cpu -= before.cpu
	after, err3 := br.sent(0)
	all, err4 := br.sentByAll()
	r.copies = float64(after.minus(seeder).payload()) / crowdSize
	r.used.wire = all - wire
	return r, errors.Join(err1, err2, err3, err4)
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
			errs[i] = os.Mkdir(filepath.Join(p.dir, "dest"), 0o755)
			if errs[i] == nil {
				fetchers[i], errs[i] = t.fetcher(ctx, g, p, o)
			}
		})
	}
	wg.Wait()
	return o, fetchers, errors.Join(errs...)
}

// rush lets all fetchers go at once and waits for them.
func rush(ctx context.Context, fetchers []fetcher, places []place) outcome {
	r := outcome{done: make([]float64, len(fetchers)), duplicates: make([]int64, len(fetchers))}
	errs := make([]error, len(fetchers))
	start := time.Now()
	var wg sync.WaitGroup
	for i, fetch := range fetchers {
		wg.Go(func() {
			r.duplicates[i], errs[i] = fetch(ctx, filepath.Join(places[i].dir, "dest"))
			if errs[i] != nil {
				errs[i] = fmt.Errorf("fetcher %d: %w", i+1, errs[i])
				return
			}
			r.done[i] = time.Since(start).Seconds()
		})
	}
	wg.Wait()
	r.err = errors.Join(errs...)
	return r
}

// killAfter kills the seeder once it has sent so many copies more than before, if that happens before ctx ends.
func (br *bridge) killAfter(ctx context.Context, seeder *proc, before counter, copies float64) error {
	if copies == 0 {
		return nil
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		sent, err := br.sent(0)
		if ctx.Err() != nil {
			return nil // all were done before, or nobody ever will be
		}
		if err != nil {
			return err
		}
		if float64(sent.minus(before).payload()) >= copies*crowdSize {
			killGroup(seeder.cmd.Process)
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
