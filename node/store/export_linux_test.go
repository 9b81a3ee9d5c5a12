package store

import (
	"context"
	"os"
)

// CrashAfterMove does what Finish does up to the move, and stops there as a crash would.
func (d *Download) CrashAfterMove(ctx context.Context) error {
	d.stopLocal()
	if err := d.settle(ctx, nil); err != nil {
		return err
	}
	stats, err := d.dress(ctx, d.wants)
	if err != nil {
		return err
	}
	if err := d.checkpoint(ctx); err != nil {
		return err
	}
	name, err := d.intend(stats)
	if err != nil {
		return err
	}
	return d.move(name)
}

// Unwatch makes the system one that cannot tell what other programs do.
func (d *Download) Unwatch() {
	d.watching.Lock()
	defer d.watching.Unlock()
	d.watch.close()
	d.watch = nil
}

// CanWatch tells whether f can be watched.
func CanWatch(f *os.File) bool {
	w := newWatch()
	defer w.close()
	return w.add(f, 0)
}

// Doubted counts the files that another program may have touched.
func (d *Download) Doubted() (n int) {
	d.notice()
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, st := range d.files {
		if st.doubted {
			n++
		}
	}
	return n
}

// Rehashed counts the leaves that were hashed again because another program may have touched them.
func (d *Download) Rehashed() int64 { return d.rehashed.Load() }
