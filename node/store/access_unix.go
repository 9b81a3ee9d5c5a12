//go:build unix

package store

import (
	"errors"

	"golang.org/x/sys/unix"
)

// mayChange is the error that adding, replacing and removing names in the directory path would end with.
func mayChange(path string) error {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}

// isLocked tells whether the file at path must not be replaced whoever asks: it is immutable. A file that is only read-only may be.
func isLocked(path string) bool {
	return errors.Is(unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS), unix.EPERM)
}
