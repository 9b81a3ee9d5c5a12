//go:build unix

package chunker

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFile opens a file for reading: name in dir, or path where dir is nil, which is
// else for messages. Should it have become something else since it was looked at, a
// FIFO does not block and a symlink is not followed, neither here nor above.
func openFile(dir *os.File, name, path string) (*os.File, error) {
	return patiently(func() (*os.File, error) {
		return openAt(dir, name, path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW)
	})
}

// openDir opens a directory likewise, not a symlink to one.
func openDir(dir *os.File, name, path string) (*os.File, error) {
	return patiently(func() (*os.File, error) {
		return openAt(dir, name, path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW)
	})
}

func openAt(dir *os.File, name, path string, flag int) (*os.File, error) {
	if dir == nil {
		return OpenPath(path, flag)
	}
	fd, err := openatAgain(int(dir.Fd()), name, flag)
	if err != nil {
		return nil, &fs.PathError{Op: "openat", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openatAgain is openat, also where a signal interrupts it.
func openatAgain(dir int, name string, flag int) (fd int, err error) {
	for {
		if fd, err = unix.Openat(dir, name, flag|unix.O_CLOEXEC, 0); !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// readLink is the target of the symlink name in dir.
func readLink(dir *os.File, name, path string) (string, error) {
	for size := 256; ; size *= 2 {
		buf := make([]byte, size)
		n, err := unix.Readlinkat(int(dir.Fd()), name, buf)
		switch {
		case err == nil && n < size:
			return string(buf[:n]), nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return "", &fs.PathError{Op: "readlinkat", Path: path, Err: err}
		}
	}
}
