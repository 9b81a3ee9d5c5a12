package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"shoal/node/api"
	"shoal/testnet"
)

// memoryShares is how many a daemon serves, and how many it fetches, at once.
const memoryShares = 8

// benchMemory has three daemons: the second one fetches shares of the large size from the first, and at the same time serves others to the third.
// The copies take 16 times -size, so they lie on a disk, unless -dir says where.
func benchMemory(ctx context.Context, b *bench) error {
	dir := b.dir
	if !b.disk {
		var err error
		if dir, err = os.MkdirTemp("", "shoal-bench-memory-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	l, err := b.lab(ctx, 3)
	if err != nil {
		return err
	}
	defer l.close()
	moves, err := b.moves(ctx, l, dir)
	if err != nil {
		return err
	}
	middle := l.daemons[1].PID()
	before := cpuSince(middle)
	seconds, err := runMoves(ctx, moves)
	used := cpuSince(middle) - before
	if err != nil {
		return err
	}
	table := fmt.Sprintf("memory: serving %d and fetching %d shares of %d MiB at once", memoryShares, memoryShares, b.size>>20)
	peak, _ := memoryOf(middle)
	l.close() // so that the samples are all in
	b.report.cell(table, "shoal", "without cache, MiB").atMost(200).add(float64(l.peaks[1]) / (1 << 20))
	b.report.cell(table, "shoal", "memory, MiB").add(float64(peak) / (1 << 20))
	b.report.cell(table, "shoal", "time, s").add(seconds)
	b.report.cell(table, "shoal", "CPU, s").add(used)
	return nil
}

// move is one share's way.
type move struct {
	to                 *testnet.Daemon
	source, dest, link string
}

// moves shares half of the files at the first daemon, for the second, and half at the second, for the third.
func (b *bench) moves(ctx context.Context, l *lab, dir string) ([]move, error) {
	var moves []move
	for i := range 2 * memoryShares {
		m := move{to: l.daemons[i%2+1], source: filepath.Join(dir, fmt.Sprintf("source-%d", i)), dest: filepath.Join(dir, fmt.Sprintf("copy-%d", i))}
		if err := sparseFile(m.source, b.size, uint64(i+1)<<40); err != nil {
			return nil, err
		}
		r, _, err := share(ctx, l.daemons[i%2], m.source)
		if err != nil {
			return nil, err
		}
		m.link = r.Link
		moves = append(moves, m)
	}
	return moves, nil
}

// runMoves fetches all at once. Of the copies only the sizes are compared.
func runMoves(ctx context.Context, moves []move) (seconds float64, err error) {
	took, errs := make([]float64, len(moves)), make([]error, len(moves))
	start := time.Now()
	var wg sync.WaitGroup
	for i, m := range moves {
		wg.Go(func() {
			var r api.GetResult
			r, errs[i] = m.to.Client().Get(ctx, api.GetRequest{Link: m.link, Output: m.dest}, nil)
			took[i] = time.Since(start).Seconds()
			if errs[i] == nil && treeSize(m.dest) != treeSize(m.source) {
				errs[i] = fmt.Errorf("%s holds %d bytes", r.Path, r.Size)
			}
		})
	}
	wg.Wait()
	return slices.Max(took), errors.Join(errs...)
}

// sparseFile makes a file of zeros in which every 256 KiB begin with a number of their own, so that no two chunks of any size above are alike
// and the file takes little room.
func sparseFile(path string, size int64, first uint64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for at := int64(0); at < size; at += 256 << 10 {
		first++
		if _, err := f.WriteAt(binary.LittleEndian.AppendUint64(nil, first), at); err != nil {
			return err
		}
	}
	return f.Truncate(size)
}
