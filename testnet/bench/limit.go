package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"

	"shoal/node/api"
)

// limitSeconds is how long a limited fetch is to take.
const limitSeconds = 10

// benchLimit fetches, under each kind of limit, what it lets pass in limitSeconds, and
// compares the rate with the limit. Peers are two on the other side, so that all
// together and each differ.
func benchLimit(ctx context.Context, b *bench) error {
	for _, mb := range []int64{1, 5, 50} {
		for _, way := range []struct {
			name   string
			limits api.Limits
			run    func(context.Context, *bench, int64, api.Limits, *series) error
		}{
			{"up, two fetchers together", api.Limits{Up: mb * 1e6}, limitedSeeder},
			{"down, from two seeders together", api.Limits{Down: mb * 1e6}, limitedFetcher},
			{"up to each of two peers", api.Limits{PeerUp: mb * 1e6}, limitedSeeder},
			{"down from each of two peers", api.Limits{PeerDown: mb * 1e6}, limitedFetcher},
		} {
			s := b.report.row(fmt.Sprintf("limit: %d MB/s %s", mb, way.name), "of it")
			for range b.runs {
				if err := way.run(ctx, b, mb*1e6, way.limits, s); err != nil {
					return err
				}
			}
			s.note = "goal 0.95 to 1.05"
		}
	}
	return nil
}

// limitedSeeder has two daemons fetch a file each from one whose uploads are limited.
func limitedSeeder(ctx context.Context, b *bench, limit int64, limits api.Limits, s *series) error {
	size := limit * limitSeconds
	if limits.Up > 0 {
		size /= 2
	}
	l, err := b.lab(ctx, 3)
	if err != nil {
		return err
	}
	defer l.close()
	if err := setLimits(ctx, l, 0, limits); err != nil {
		return err
	}
	var paths, links [2]string
	for i := range paths {
		paths[i] = filepath.Join(b.dir, fmt.Sprintf("limited-%d", i))
		defer os.Remove(paths[i])
		if err := noise(paths[i], size, byte(i)); err != nil {
			return err
		}
		shared, _, err := share(ctx, l.daemons[0], paths[i])
		if err != nil {
			return err
		}
		links[i] = shared.Link
	}
	var wg sync.WaitGroup
	var errs [2]error
	var seconds [2]float64
	for i := range paths {
		wg.Go(func() { _, seconds[i], errs[i] = fetch(ctx, l.daemons[i+1], links[i], paths[i]+".copy", size) })
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	if limits.Up > 0 {
		s.add(float64(2*size) / max(seconds[0], seconds[1]) / float64(limit))
		return nil
	}
	for _, t := range seconds {
		s.add(float64(size) / t / float64(limit))
	}
	return nil
}

// limitedFetcher has a daemon whose downloads are limited fetch a file from two.
func limitedFetcher(ctx context.Context, b *bench, limit int64, limits api.Limits, s *series) error {
	rate := limit
	if limits.PeerDown > 0 {
		rate *= 2
	}
	l, err := b.lab(ctx, 3)
	if err != nil {
		return err
	}
	defer l.close()
	if err := setLimits(ctx, l, 2, limits); err != nil {
		return err
	}
	path := filepath.Join(b.dir, "limited")
	defer os.Remove(path)
	const pair = 2 << 20 // a chunk from each, so that both can end at the same time
	size := (rate*limitSeconds + pair - 1) / pair * pair
	if err := noise(path, size, 0); err != nil {
		return err
	}
	shared, _, err := share(ctx, l.daemons[0], path)
	if err != nil {
		return err
	}
	if _, _, err := share(ctx, l.daemons[1], path); err != nil {
		return err
	}
	_, seconds, err := fetch(ctx, l.daemons[2], shared.Link, path+".copy", size)
	if err != nil {
		return err
	}
	s.add(float64(size) / seconds / float64(rate))
	return nil
}

func setLimits(ctx context.Context, l *lab, daemon int, v api.Limits) error {
	_, err := l.daemons[daemon].Client().SetLimits(ctx, api.LimitRequest{Up: &v.Up, Down: &v.Down, PeerUp: &v.PeerUp, PeerDown: &v.PeerDown})
	return err
}

// noise writes a file of random bytes, others for each seed.
func noise(path string, size int64, seed byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := io.CopyN(w, rand.NewChaCha8([32]byte{'l', 'i', 'm', 'i', 't', seed}), size); err != nil {
		return err
	}
	return w.Flush()
}
