//go:build unix

package store

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// symlinkTime sets the time of a symlink itself.
func symlinkTime(dir *os.Root, name string, mtime time.Time) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	ts, err := unix.TimeToTimespec(mtime)
	if err != nil {
		return err
	}
	return unix.UtimesNanoAt(int(f.Fd()), name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}
