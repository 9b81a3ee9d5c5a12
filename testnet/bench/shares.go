package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"shoal/testnet"
)

// benchShares measures what the verbs about shares cost one daemon with 1,000 shares and with 10,000, each a file of 100
// bytes, with the daemon and without: whole commands, the start of the program included.
func benchShares(ctx context.Context, b *bench) error {
	for _, n := range []int{1000, 10_000} {
		if err := b.sharesOf(ctx, n); err != nil {
			return fmt.Errorf("%d shares: %w", n, err)
		}
	}
	return nil
}

// sharesOf measures with n shares.
func (b *bench) sharesOf(ctx context.Context, n int) error {
	l, err := b.lab(ctx, 1)
	if err != nil {
		return err
	}
	defer l.close()
	d, dir := l.daemons[0], filepath.Join(b.dir, "roots")
	if err := rootFiles(dir, n); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := shareAll(ctx, d, dir, n); err != nil {
		return err
	}
	column := fmt.Sprintf("%d shares, ms", n)
	next := 0 // the share that rm takes next
	for range b.runs {
		if err := d.Stop(); err != nil {
			return err
		}
		if err := b.shareVerbs(d, "no daemon", column, dir, n, &next); err != nil {
			return err
		}
		start := time.Now()
		if err := d.Restart(ctx); err != nil {
			return err
		}
		b.shareCell("start of the daemon", column).add(ms(start))
		if err := b.shareVerbs(d, "daemon", column, dir, n, &next); err != nil {
			return err
		}
	}
	return nil
}

// shareVerbs runs each verb once.
func (b *bench) shareVerbs(d *testnet.Daemon, where, column, dir string, n int, next *int) error {
	verbs := []struct {
		args []string
		goal float64 // ms with 10,000 shares
	}{
		{[]string{"verify"}, 5000},
		{[]string{"ls"}, 300},
		{[]string{"rm", rootFile(dir, *next)}, 50},
	}
	*next++
	for _, v := range verbs {
		start := time.Now()
		if r := d.Run(v.args...); r.Code != 0 {
			return fmt.Errorf("%s: exit code %d: %s", v.args[0], r.Code, r.Stderr)
		}
		cell := b.shareCell(v.args[0]+", "+where, column)
		if cell.add(ms(start)); n == 10_000 {
			cell.atMost(v.goal)
		}
	}
	return nil
}

func (b *bench) shareCell(line, column string) *series {
	return b.report.cell("shares: whole commands, beside how many shares there are", line, column)
}

func ms(since time.Time) float64 { return float64(time.Since(since).Microseconds()) / 1e3 }
