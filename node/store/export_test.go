package store

import (
	"context"

	"shoal/chunker"

	"golang.org/x/sys/unix"
)

// CopyLocal does at once, and to the end, what the goroutine of d does in its own time.
func (d *Download) CopyLocal(ctx context.Context) error {
	d.stopLocal()
	_, err := d.copyLocal(ctx, 0, nil)
	return err
}

// Garbage counts the rows that belong to no share and no download.
func (s *Store) Garbage() (n int, err error) {
	err = s.each(nil, func(key, _ []byte) error {
		var id shareID
		switch key[0] {
		case tagNode, tagFile, tagBad, tagHave, tagTemp, tagPending:
			id, _ = splitSegment(append(append([]byte(nil), key...), make([]byte, 8)...))
		case tagBlock:
			id, _ = splitBlock(key)
		default:
			return nil
		}
		if _, _, err := s.owner(id); err != nil {
			n++
		}
		return nil
	})
	return n, err
}

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
