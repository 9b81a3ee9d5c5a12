package store

import (
	"context"

	"shoal/chunker"

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
	fi, err := d.dst.parent.Lstat(d.dst.part)
	if err != nil {
		return err
	}
	d.rec.name, d.rec.placing, d.rec.partInode = d.rec.title(), true, chunker.StatOf(fi).Inode
	if err := d.saveRecord(d.s.db.NewBatch(), true); err != nil {
		return err
	}
	if force {
		return d.dst.renameat2(d.dst.part, d.rec.name, unix.RENAME_EXCHANGE)
	}
	_, err = d.move(ctx, d.rec.name, stats)
	return err
}
