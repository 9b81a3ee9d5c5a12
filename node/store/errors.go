package store

import (
	"errors"
	"fmt"
	"io/fs"
)

// Errors that callers branch on.
var (
	ErrIndexDamaged = errors.New("the index is damaged")
	ErrIndexOld     = errors.New("the index is older than it was")

	ErrLocked     = errors.New("another daemon uses this home")
	ErrNewer      = errors.New("this home was written by a newer shoal")
	ErrNotFound   = errors.New("not shared here")
	ErrChanged    = errors.New("the shared file is no longer what was shared")
	ErrNotHave    = errors.New("chunk not here")
	ErrBusy       = errors.New("this root is being fetched already")
	ErrConflict   = errors.New("an unfinished download of another part of this root is kept")
	ErrExists     = errors.New("the destination exists and holds something else")
	ErrForeign    = fmt.Errorf("%w: another program made it", ErrExists)
	ErrNoSpace    = errors.New("not enough space on the disk")
	ErrReadOnly   = errors.New("the file system is read-only")
	ErrDenied     = errors.New("permission denied")
	ErrNoDir      = errors.New("no such directory to put it in")
	ErrVanished   = errors.New("the destination was moved or deleted meanwhile")
	ErrIncomplete = errors.New("the download is not complete")
	ErrPartStays  = errors.New("it is forgotten, but its unfinished file stays")
	ErrNoMatch    = errors.New("no such path in the share")
	ErrAway       = errors.New("the disk with its unfinished file is not mounted")
	ErrDirGone    = errors.New("its directory was moved, replaced, deleted or unmounted meanwhile")
	ErrExhausted  = errors.New("too many open files")
	ErrClosed     = errors.New("closed")
	ErrInTheWay   = errSymlink
)

// fsError names the operation and the path in words, and marks the causes that
// callers branch on. nil stays nil.
func fsError(op, path string, err error) error {
	switch {
	case err == nil:
		return nil
	case isNoSpace(err):
		return fmt.Errorf("%s %s: %w: %w", op, path, ErrNoSpace, err)
	case isExhausted(err):
		return fmt.Errorf("%s %s: %w: %w", op, path, ErrExhausted, err)
	case isReadOnly(err):
		return fmt.Errorf("%s %s: %w: %w", op, path, ErrReadOnly, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s %s: %w: %w", op, path, ErrDenied, err)
	}
	return fmt.Errorf("%s %s: %w", op, path, err)
}

// isRefusal tells that the file system refuses a change at this place, which says nothing of others.
func isRefusal(err error) bool { return errors.Is(err, fs.ErrPermission) || isReadOnly(err) }

// isFault tells errors of the disk, the process or the moment, which say nothing of what a file holds.
func isFault(err error) bool {
	return isRefusal(err) || isIO(err) || isTransient(err) || isNoSpace(err)
}

// FileError names the operation and the path of an error of the file system, and marks the causes that callers branch on:
// ErrNoSpace, ErrReadOnly, ErrDenied.
func FileError(op, path string, err error) error { return fsError(op, path, err) }

// errStop ends an iteration early.
var errStop = errors.New("stop")
