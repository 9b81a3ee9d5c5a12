package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"shoal/node/api"
	"shoal/testnet"
)

// prepare makes the scratch directory and the binary.
func (b *bench) prepare(dir string) error {
	b.disk = dir != ""
	if dir == "" {
		dir = os.TempDir()
		if fi, err := os.Stat("/dev/shm"); err == nil && fi.IsDir() {
			dir = "/dev/shm"
		}
	}
	var err error
	if b.dir, err = os.MkdirTemp(dir, "shoal-bench-"); err != nil {
		return err
	}
	if b.bin == "" {
		b.bin, err = testnet.Build(b.dir)
	}
	return err
}

// goSource is the toolchain's own src tree: ten thousand files that every machine
// with Go has.
func goSource() string {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return ""
	}
	return filepath.Join(strings.TrimSpace(string(out)), "src")
}

// largeFile makes a file of random bytes, the same in every run.
func (b *bench) largeFile(name string, size int64) (string, error) {
	path := filepath.Join(b.dir, name)
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := io.CopyN(w, rand.NewChaCha8([32]byte{'s', 'h', 'o', 'a', 'l'}), size); err != nil {
		return "", err
	}
	return path, w.Flush()
}

// lab is a testnet and what its daemons used at most.
type lab struct {
	*testnet.Net
	daemons []*testnet.Daemon
	stop    context.CancelFunc
	done    chan struct{}
	peak    int64   // bytes of anonymous memory, the largest of any daemon
	peaks   []int64 // of each
	closed  sync.Once
}

// lab starts n daemons and watches their memory until close.
func (b *bench) lab(ctx context.Context, n int) (*lab, error) {
	dir, err := os.MkdirTemp(b.dir, "net-")
	if err != nil {
		return nil, err
	}
	net := testnet.New(testnet.Config{Dir: dir, Bin: b.bin})
	watch, stop := context.WithCancel(ctx)
	l := &lab{Net: net, stop: stop, done: make(chan struct{})}
	for range n {
		d, err := net.Start(ctx)
		if err != nil {
			stop()
			net.Close()
			return nil, err
		}
		l.daemons, l.peaks = append(l.daemons, d), append(l.peaks, 0)
	}
	go l.watchMemory(watch)
	return l, nil
}

func (l *lab) close() {
	l.closed.Do(func() {
		l.stop()
		<-l.done
		l.Net.Close()
	})
}

func (l *lab) watchMemory(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		for i, d := range l.daemons {
			l.peaks[i] = max(l.peaks[i], anonymousBytes(d.PID()))
			l.peak = max(l.peak, l.peaks[i])
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// cpu is what the daemons have used since their start, in seconds.
func (l *lab) cpu() (seconds float64) {
	for _, d := range l.daemons {
		seconds += cpuSince(d.PID())
	}
	return seconds
}

// share shares path on d and returns the result and the seconds the caller waited.
func share(ctx context.Context, d *testnet.Daemon, path string) (api.ShareResult, float64, error) {
	start := time.Now()
	r, err := d.Client().Share(ctx, api.ShareRequest{Path: path}, nil)
	return r, time.Since(start).Seconds(), err
}

// fetch gets link on d, checks the size, and forgets the copy again.
func fetch(ctx context.Context, d *testnet.Daemon, link, dest string, size int64) (api.GetResult, float64, error) {
	start := time.Now()
	r, err := d.Client().Get(ctx, api.GetRequest{Link: link, Output: dest}, nil)
	seconds := time.Since(start).Seconds()
	if err != nil {
		return r, 0, err
	}
	if got := treeSize(dest); got != size {
		return r, 0, fmt.Errorf("%s holds %d bytes, not %d", dest, got, size)
	}
	if _, err := d.Client().Remove(ctx, r.CID); err != nil {
		return r, 0, err
	}
	return r, seconds, os.RemoveAll(dest)
}

func treeSize(path string) (size int64) {
	size, _ = tree(path)
	return size
}

func treeFiles(path string) (files int) {
	_, files = tree(path)
	return files
}

// tree is the bytes and the number of the regular files at and below path.
func tree(path string) (size int64, files int) {
	filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if fi, err := e.Info(); err == nil && fi.Mode().IsRegular() {
			size += fi.Size()
			files++
		}
		return nil
	})
	return size, files
}
