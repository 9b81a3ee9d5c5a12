package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"shoal/node/api"
	"shoal/testnet"
)

const (
	sharesAtOnce = 64 // requests under way while many files are shared
	lookedUp     = 50 // of the roots, by another daemon than the one that shares them

	// afterRestart is how long a restarted daemon has to announce things again, if it does.
	afterRestart = 90 * time.Second
)

// benchProvide shares many small files at one daemon of a testnet and waits until enough peers hold the record of each. Then it
// looks some up elsewhere, restarts the daemon where it was, counts what that announces again, and looks up once more.
func benchProvide(ctx context.Context, b *bench) error {
	n := b.daemons(50)
	l, err := b.lab(ctx, n)
	if err != nil {
		return err
	}
	defer l.close()
	sharer, dir := l.daemons[0], filepath.Join(b.dir, "roots")
	if err := rootFiles(dir, b.roots); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	table := fmt.Sprintf("provide: %d roots of one daemon, %d daemons on one machine", b.roots, n)
	cell := func(line, column string) *series { return b.report.cell(table, line, column) }

	start, before := time.Now(), cpuSince(sharer.PID())
	cids, err := shareAll(ctx, sharer, dir, b.roots)
	if err != nil {
		return err
	}
	shared := time.Since(start).Seconds()
	b.ran(table, "shared", shared, nil)
	st, err := awaitAnnounced(ctx, sharer, len(cids))
	if err != nil {
		return err
	}
	seconds := time.Since(start).Seconds()
	b.ran(table, "announced", seconds, nil)
	cell("first start", "shared, s").add(shared)
	cell("first start", "announced, s").add(seconds)
	cell("first start", "records sent").add(float64(st.RecordsSent))
	cell("first start", "CPU, s").add(cpuSince(sharer.PID()) - before)
	found, err := lookUp(ctx, l.daemons[n-1], cids)
	if err != nil {
		return err
	}
	cell("first start", fmt.Sprintf("found of %d", lookedUp)).atLeast(lookedUp).add(float64(found))

	again, ready, err := restart(ctx, sharer)
	if err != nil {
		return err
	}
	if found, err = lookUp(ctx, l.daemons[n-2], cids); err != nil {
		return err
	}
	cell("restart", fmt.Sprintf("found of %d", lookedUp)).atLeast(lookedUp).add(float64(found))
	l.close() // so that the samples are all in
	cell("first start", "most without cache, MiB").atMost(300).add(float64(l.peaks[0]) / (1 << 20))
	cell("restart", "ready, s").atMost(1).add(ready)
	cell("restart", "records sent").atMost(float64(len(cids)) / 100).add(float64(again.RecordsSent))
	cell("restart", "CPU, s").add(again.cpu)
	return nil
}

// rootFiles makes n files of 100 bytes in dir, no two alike.
func rootFiles(dir string, n int) error {
	for i := range n {
		path := rootFile(dir, i)
		if i%1000 == 0 {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
		}
		data := make([]byte, 100)
		binary.LittleEndian.PutUint64(data, uint64(i)+1)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func rootFile(dir string, i int) string {
	return filepath.Join(dir, fmt.Sprint(i/1000), fmt.Sprint(i))
}

// shareAll shares each of the files by a request of its own, many at once, and returns the CIDs.
func shareAll(ctx context.Context, d *testnet.Daemon, dir string, n int) ([]string, error) {
	cids, errs := make([]string, n), make([]error, sharesAtOnce)
	client := d.Client()
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range sharesAtOnce {
		wg.Go(func() {
			for errs[w] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				var r api.ShareResult
				r, errs[w] = client.Share(ctx, api.ShareRequest{Path: rootFile(dir, i)}, nil)
				cids[i] = r.CID
			}
		})
	}
	wg.Wait()
	return cids, errors.Join(errs...)
}

// awaitAnnounced waits until enough peers hold the record of every root.
func awaitAnnounced(ctx context.Context, d *testnet.Daemon, roots int) (api.Status, error) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	said := time.Now()
	for {
		st, err := d.Client().Status(ctx)
		if err != nil || st.Provided >= roots && st.Waiting == 0 {
			return st, err
		}
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			fmt.Fprintf(os.Stderr, "bench: provide: %d of %d roots announced, %d records sent\n", st.Provided-st.Waiting, roots, st.RecordsSent)
		}
		select {
		case <-ctx.Done():
			return st, ctx.Err()
		case <-tick.C:
		}
	}
}

// lookUp counts how many of some roots, evenly spread, d finds a provider of.
func lookUp(ctx context.Context, d *testnet.Daemon, cids []string) (found int, err error) {
	for i := range lookedUp {
		hit := false
		err := d.Client().Find(ctx, cids[i*len(cids)/lookedUp], func(api.Provider) { hit = true })
		if err != nil {
			return found, err
		}
		if hit {
			found++
		}
	}
	return found, nil
}

// restarted is the state of a daemon a while after its restart.
type restarted struct {
	api.Status
	cpu float64 // seconds since the restart
}

// restart stops a daemon, starts it again, and tells how long it took to be ready and what it did in the time after.
func restart(ctx context.Context, d *testnet.Daemon) (restarted, float64, error) {
	if err := d.Stop(); err != nil {
		return restarted{}, 0, err
	}
	start := time.Now()
	if err := d.RestartInPlace(ctx); err != nil {
		return restarted{}, 0, err
	}
	ready := time.Since(start).Seconds()
	if err := pause(ctx, afterRestart); err != nil {
		return restarted{}, 0, err
	}
	r := restarted{cpu: cpuSince(d.PID())}
	var err error
	r.Status, err = d.Client().Status(ctx)
	return r, ready, err
}
