package store

import (
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
)

// freeSpace is the bytes the user can still write on dir's volume.
func freeSpace(dir string) (int64, error) {
	p, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(p, &free, nil, nil); err != nil {
		return 0, err
	}
	return int64(free), nil
}

// freeRoom is freeSpace; inodes are not counted.
func freeRoom(dir string) (bytes, inodes int64, err error) {
	bytes, err = freeSpace(dir)
	return bytes, -1, err
}

// MountOf is the volume that holds path.
func MountOf(path string) string { return filepath.VolumeName(path) }

// sameDisk tells whether two directories are on one volume.
func sameDisk(a, b string) bool {
	return strings.EqualFold(filepath.VolumeName(a), filepath.VolumeName(b))
}
