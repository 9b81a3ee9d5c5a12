package store

import "context"

// CrashAfterMove does what Finish does up to the move, and stops there as a crash would.
func (d *Download) CrashAfterMove(ctx context.Context) error {
	d.stopLocal()
	if err := d.settle(ctx, nil); err != nil {
		return err
	}
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
	return d.move(name)
}
