//go:build unix

package store

import (
	"os"
	"path/filepath"
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

// freeRoom is freeSpace and the inodes that are left there; -1: the file system does not count them.
func freeRoom(dir string) (bytes, inodes int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	inodes = -1
	if st.Files > 0 {
		inodes = int64(st.Ffree)
	}
	return int64(st.Bavail) * int64(st.Bsize), inodes, nil
}

// MountOf is the directory where the file system that holds path is mounted; path may not exist, then what is above it
// counts. "": it cannot be told.
func MountOf(path string) string {
	dev, ok := deviceAt(path)
	for !ok {
		up := filepath.Dir(path)
		if up == path {
			return ""
		}
		path = up
		dev, ok = deviceAt(path)
	}
	for {
		up := filepath.Dir(path)
		if d, ok := deviceAt(up); up == path || !ok || d != dev {
			return path
		}
		path = up
	}
}

// deviceAt is the number of the file system that holds path.
func deviceAt(path string) (uint64, bool) {
	fi, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return uint64(st.Dev), true
}

// sameDisk tells whether two directories are on one file system.
func sameDisk(a, b string) bool {
	da, oka := deviceAt(a)
	db, okb := deviceAt(b)
	return oka && okb && da == db
}
