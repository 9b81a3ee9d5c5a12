package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncFewFiles is up to how many dirty files are synced one by one. Beyond that one
// syncfs is cheaper, although it waits for everything else on that file system too.
const syncFewFiles = 8

// syncFS writes all data of the file system that f is on to the disk.
func syncFS(f *os.File) error {
	for {
		if err := unix.Syncfs(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("syncfs", err)
		}
	}
}

// syncData is fsync without metadata that a read does not need.
func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// syncDir makes renames in an open directory durable.
func syncDir(f *os.File) error { return f.Sync() }

// allocate makes a file that takes size bytes of the disk.
func allocate(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, size), f.Close())
}
