package store

import (
	"context"

	"golang.org/x/sys/unix"
)

// CrashAfterMove does what Finish does up to the move, and stops there as a crash would.
func (d *Download) CrashAfterMove(ctx context.Context, force bool) error {
	d.stopLocal()
	stats, err := d.dress(ctx)
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
	if force {
		return d.dst.renameat2(d.dst.part, name, unix.RENAME_EXCHANGE)
	}
	_, err = d.move(ctx, name)
	return err
}
