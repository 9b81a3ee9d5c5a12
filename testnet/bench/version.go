package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"shoal/testnet"
)

// chunkSize is that of unixfs-v1-2025.
const chunkSize = 1 << 20

// benchVersion fetches version 2 of the large file, of which 1 % of the chunks differ, where version 1 is shared.
func benchVersion(ctx context.Context, b *bench) error {
	one, err := b.largeFile("one", b.size)
	if err != nil {
		return err
	}
	defer os.Remove(one)
	two := filepath.Join(b.dir, "two")
	if err := changedCopy(one, two); err != nil {
		return err
	}
	defer os.Remove(two)
	wire := b.report.row("version: bytes on the wire / size of version 2", "%")
	wire.note = "at most 1.5; 1 % of the chunks differ"
	rate := b.report.row("version: fetch", "MB/s")
	for i := range b.runs {
		if err := b.fetchVersion(ctx, one, two, filepath.Join(b.dir, fmt.Sprintf("copy-%d", i)), wire, rate); err != nil {
			return err
		}
	}
	return nil
}

// fetchVersion shares version 1 at the fetcher and version 2 at the other daemon, and fetches the latter to dest.
func (b *bench) fetchVersion(ctx context.Context, one, two, dest string, wire, rate *series) error {
	l, err := b.lab(ctx, 2)
	if err != nil {
		return err
	}
	defer l.close()
	shared, _, err := share(ctx, l.daemons[0], two)
	if err != nil {
		return err
	}
	if _, _, err := share(ctx, l.daemons[1], one); err != nil {
		return err
	}
	before, err := received(ctx, l.daemons[1])
	if err != nil {
		return err
	}
	_, seconds, err := fetch(ctx, l.daemons[1], shared.Link, dest, b.size)
	if err != nil {
		return err
	}
	after, err := received(ctx, l.daemons[1])
	wire.add(100 * float64(after-before) / float64(b.size))
	rate.add(float64(b.size) / 1e6 / seconds)
	return err
}

// changedCopy copies a file and changes a byte in each of one chunk in a hundred.
func changedCopy(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	defer dst.Close()
	size, err := io.Copy(dst, src)
	if err != nil {
		return err
	}
	chunks := int(size / chunkSize)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, i := range rng.Perm(chunks)[:chunks/100] {
		off, was := int64(i)*chunkSize+int64(rng.IntN(chunkSize)), make([]byte, 1)
		if _, err := dst.ReadAt(was, off); err != nil {
			return err
		}
		if _, err := dst.WriteAt([]byte{^was[0]}, off); err != nil {
			return err
		}
	}
	return nil
}

// received is all that a daemon has received since it started, in bytes.
func received(ctx context.Context, d *testnet.Daemon) (int64, error) {
	s, err := d.Client().Status(ctx)
	return s.Received, err
}
