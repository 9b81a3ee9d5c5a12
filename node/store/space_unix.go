//go:build unix

package store

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// freeSpace is the bytes an ordinary user can still write on dir's file system.
func freeSpace(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// sameDisk tells whether two directories are on one file system.
func sameDisk(a, b string) bool {
	dev := func(dir string) (uint64, bool) {
		fi, err := os.Stat(dir)
		if err != nil {
			return 0, false
		}
		st, ok := fi.Sys().(*syscall.Stat_t)
		if !ok {
			return 0, false
		}
		return uint64(st.Dev), true
	}
	da, oka := dev(a)
	db, okb := dev(b)
	return oka && okb && da == db
}
