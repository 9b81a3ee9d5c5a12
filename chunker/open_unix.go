//go:build unix

package chunker

import (
	"os"
	"syscall"
)

// openFile opens a file for reading. Should it have become something else since
// it was looked at, a FIFO does not block and a symlink is not followed.
func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
}

// openDir opens a directory, not a symlink to one.
func openDir(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
}
