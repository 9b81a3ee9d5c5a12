package chunker

import (
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const pathMax = unix.PathMax

// openLong is OpenPath in pieces. Symlinks are followed, and directories need not be readable, as where the system does it all.
func openLong(path string, flag int) (*os.File, error) {
	at, rest := unix.AT_FDCWD, path
	defer func() { closeAt(at) }()
	for len(rest) >= pathMax {
		head, tail, ok := pieces(rest)
		if !ok {
			break // the system says what it thinks of such a name
		}
		next, err := openatAgain(at, head, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		closeAt(at)
		at, rest = next, strings.TrimLeft(tail, "/")
	}
	if rest == "" { // it ended in slashes
		rest = "."
	}
	fd, err := openatAgain(at, rest, flag)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

func closeAt(fd int) {
	if fd != unix.AT_FDCWD {
		unix.Close(fd)
	}
}

// statLong is StatPath or, with follow false, LstatPath in pieces.
func statLong(path string, follow bool) (fs.FileInfo, error) {
	flag := unix.O_PATH
	if !follow {
		flag |= unix.O_NOFOLLOW
	}
	f, err := openLong(path, flag)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}
