package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"shoal/node/api"
)

// The slow case: a tree of slowParts files; every fast peer lacks another one of them, the slow one has all.
const (
	slowParts = 7
	slowSize  = 16 << 20 // of each file
	slowRate  = 2e6      // bits a second
	quickRate = 1e9      // until everybody has its part
)

// benchSlow measures what a slow full seed costs a fetcher that has fast peers, each with a part.
func benchSlow(ctx context.Context, b *bench) error {
	if why := noNamespaces(); why != "" {
		b.report.remark("slow: skipped, %s", why)
		return nil
	}
	path := filepath.Join(b.dir, "slow")
	if err := b.makeSlowTree(path); err != nil {
		return err
	}
	defer os.RemoveAll(path)
	table := fmt.Sprintf("slow: %d peers with a part each at %g Mbit/s and a full seed at %g Mbit/s", slowParts, b.rate, slowRate/1e6)
	times := map[bool]*series{}
	for _, with := range []bool{false, true} {
		times[with] = b.report.cell(table, slowLine(with), "time, s")
	}
	for range b.runs {
		for _, with := range []bool{false, true} {
			r, used, err := b.slowRun(ctx, path, with)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if b.ran("slow", "shoal "+slowLine(with), r.seconds, err) {
				continue
			}
			times[with].add(r.seconds)
			b.report.cell(table, slowLine(with), "from the slow seed, MB").add(float64(r.slow) / 1e6)
			b.report.cell(table, slowLine(with), "duplicates, %").add(100 * float64(r.Duplicate) / (slowParts * slowSize))
			b.report.usage(table, slowLine(with)).add(used)
		}
	}
	b.report.ratio("slow: time with the slow seed / without it", times[true], times[false], "").atMost(1.05)
	return nil
}

func slowLine(with bool) string {
	if with {
		return "with the slow seed"
	}
	return "without it"
}

func (b *bench) makeSlowTree(path string) error {
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	whole, err := b.largeFile("slow-bytes", slowParts*slowSize)
	if err != nil {
		return err
	}
	defer os.Remove(whole)
	raw, err := os.ReadFile(whole)
	if err != nil {
		return err
	}
	for i := range slowParts {
		if err := os.WriteFile(filepath.Join(path, slowPart(i)), raw[i*slowSize:(i+1)*slowSize], 0o644); err != nil {
			return err
		}
	}
	return nil
}

func slowPart(i int) string { return fmt.Sprintf("part%d", i) }

// slowResult is one fetch.
type slowResult struct {
	api.GetResult
	seconds float64
	slow    int64 // bytes from the slow seed
}

// slowRun sets the scene and lets one fetcher go. Without the slow seed that one has been killed before.
func (b *bench) slowRun(ctx context.Context, path string, with bool) (r slowResult, used usage, err error) {
	ctx, cancel := context.WithTimeout(ctx, pairWithin)
	defer cancel()
	br, err := b.newBridge(slices.Repeat([]int64{quickRate}, slowParts+2)) // the seed, the parts, the fetcher
	if err != nil {
		return r, used, err
	}
	defer br.close()
	var g group
	defer g.close()
	seed, err := b.slowScene(ctx, &g, br, path)
	if err != nil {
		return r, used, err
	}
	if !with {
		killGroup(seed.proc.cmd.Process)
		<-seed.proc.exited
	}
	fetcher := br.places[len(br.places)-1]
	client := api.NewClient(filepath.Join(fetcher.dir, "home"))
	dest := filepath.Join(fetcher.dir, "dest")
	out, err := br.measure(&g, func() outcome {
		start := time.Now()
		var err error
		r.GetResult, err = client.Get(ctx, api.GetRequest{Link: seed.root, Output: filepath.Join(dest, seed.name)}, nil)
		r.seconds = time.Since(start).Seconds()
		return outcome{err: err}
	})
	if err := errors.Join(err, out.err); err != nil {
		return r, used, err
	}
	_, id, _ := strings.Cut(seed.addrs[0], "/p2p/")
	r.slow = r.From[id]
	return r, out.used, check(path, dest)
}

// slowScene starts everybody, gives each peer its part while the links are still fast, and slows them down when the fetcher knows all.
func (b *bench) slowScene(ctx context.Context, g *group, br *bridge, path string) (offer, error) {
	seed, err := b.shoalSeed(ctx, g, br.places[0], path)
	if err != nil {
		return offer{}, err
	}
	addrs, err := b.slowPeers(ctx, g, br, seed)
	if err != nil {
		return offer{}, err
	}
	fetcher := br.places[len(br.places)-1]
	if _, _, err := b.shoalDaemon(ctx, g, fetcher, addrs); err != nil {
		return offer{}, err
	}
	client := api.NewClient(filepath.Join(fetcher.dir, "home"))
	err = poll(ctx, func() (bool, error) {
		peers, err := client.Peers(ctx)
		return len(peers) == len(addrs), err
	})
	if err != nil {
		return offer{}, fmt.Errorf("the fetcher does not meet everybody: %w", err)
	}
	errs := []error{os.Mkdir(filepath.Join(fetcher.dir, "dest"), 0o755), br.shape(0, slowRate)}
	for i := range br.places[1:] {
		errs = append(errs, br.shape(i+1, int64(b.rate*1e6)))
	}
	return seed, errors.Join(errs...)
}

// slowPeers starts the fast peers and lets each fetch all files but one. It tells everybody's address, the seed's first.
func (b *bench) slowPeers(ctx context.Context, g *group, br *bridge, seed offer) ([]string, error) {
	addrs, errs := make([]string, 1+slowParts), make([]error, slowParts)
	addrs[0] = seed.addrs[0]
	var wg sync.WaitGroup
	for i, p := range br.places[1 : 1+slowParts] {
		wg.Go(func() {
			_, id, err := b.shoalDaemon(ctx, g, p, seed.addrs)
			if err != nil {
				errs[i] = err
				return
			}
			addrs[1+i] = id.Addrs[0]
			var parts []string
			for j := range slowParts {
				if j != i {
					parts = append(parts, slowPart(j))
				}
			}
			req := api.GetRequest{Link: seed.link, Output: filepath.Join(p.dir, "part"), Select: parts}
			_, errs[i] = api.NewClient(filepath.Join(p.dir, "home")).Get(ctx, req, nil)
		})
	}
	wg.Wait()
	return addrs, errors.Join(errs...)
}
