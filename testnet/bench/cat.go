package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"shoal/node/api"
	"shoal/testnet"
)

// benchCat measures how soon a reader has the first byte of a large file that is on
// one other daemon of a testnet, and how fast it gets all of it beside get.
func benchCat(ctx context.Context, b *bench) error {
	path, err := b.largeFile("large", b.size)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	if err := b.firstBytes(ctx, path); err != nil {
		return err
	}
	return b.wholeCats(ctx, path)
}

// firstBytes lets each daemon read the first byte, by CID alone and by link, then one
// from the middle, and lets the command do the first of these.
func (b *bench) firstBytes(ctx context.Context, path string) error {
	l, err := b.lab(ctx, b.daemons(20))
	if err != nil {
		return err
	}
	defer l.close()
	shared, _, err := share(ctx, l.daemons[0], path)
	if err != nil {
		return err
	}
	row := func(what string) *series {
		s := b.report.row(fmt.Sprintf("cat: first byte, %d daemons, %s", b.daemons(20), what), "ms")
		s.note = "goal 150"
		return s
	}
	byCID, byLink, middle, command := row("bare CID"), row("link with provider"), row("from the middle"), row("bare CID, the command")
	ways := []struct {
		s   *series
		req api.CatRequest
	}{
		{byCID, api.CatRequest{Link: shared.CID}},
		{byLink, api.CatRequest{Link: shared.Link}},
		{middle, api.CatRequest{Link: shared.CID, Range: fmt.Sprintf("%d-", shared.Size/2)}},
	}
	for _, d := range l.daemons[1:] {
		for _, way := range ways {
			took, err := firstByte(ctx, d, way.req)
			if err != nil {
				return err
			}
			way.s.add(took.Seconds() * 1e3)
		}
		took, err := b.commandFirstByte(ctx, d, shared.CID)
		if err != nil {
			return err
		}
		command.add(took.Seconds() * 1e3)
	}
	return nil
}

// errEnough ends a reading at its first byte.
var errEnough = errors.New("enough")

// firstWrite notes when something is written first, and ends there.
type firstWrite struct{ at time.Time }

func (f *firstWrite) Write([]byte) (int, error) {
	f.at = time.Now()
	return 0, errEnough
}

func firstByte(ctx context.Context, d *testnet.Daemon, req api.CatRequest) (time.Duration, error) {
	var first firstWrite
	start := time.Now()
	_, err := d.Client().Cat(ctx, req, &first, nil)
	if !errors.Is(err, errEnough) {
		return 0, fmt.Errorf("cat %s ended before the first byte: %w", req.Link, err)
	}
	return first.at.Sub(start), nil
}

// commandFirstByte is the same from the start of a process to its first output.
func (b *bench) commandFirstByte(ctx context.Context, d *testnet.Daemon, cid string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, b.bin, "--home", d.Home(), "cat", cid)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	_, err = io.ReadFull(out, make([]byte, 1))
	took := time.Since(start)
	out.Close() // as head does
	return took, errors.Join(err, cmd.Wait())
}

// wholeCats reads all of the file, and fetches it.
func (b *bench) wholeCats(ctx context.Context, path string) error {
	l, err := b.lab(ctx, 2)
	if err != nil {
		return err
	}
	shared, _, err := share(ctx, l.daemons[0], path)
	if err != nil {
		return err
	}
	cat := b.report.row("cat: the whole file, to a reader that drops it", "MB/s")
	get := b.report.row("cat: the same by get, to a file", "MB/s")
	mb := float64(b.size) / 1e6
	for i := range b.runs {
		start := time.Now()
		r, err := l.daemons[1].Client().Cat(ctx, api.CatRequest{Link: shared.Link}, io.Discard, nil)
		if err != nil {
			return err
		}
		if r.Bytes != b.size || r.Had != 0 {
			return fmt.Errorf("read %d bytes, %d of them here already", r.Bytes, r.Had)
		}
		cat.add(mb / time.Since(start).Seconds())
		_, seconds, err := fetch(ctx, l.daemons[1], shared.Link, filepath.Join(b.dir, fmt.Sprintf("copy-%d", i)), b.size)
		if err != nil {
			return err
		}
		get.add(mb / seconds)
	}
	l.close()
	b.report.ratio("cat: cat / get", cat, get, "")
	b.report.memory("cat: daemon memory", l)
	return nil
}
