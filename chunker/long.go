package chunker

import (
	"io/fs"
	"os"
	"path/filepath"
)

// Systems take a path of less than pathMax bytes at once. A file deeper in a tree is found and written from directory to directory, and
// has a path all the same. OpenPath, StatPath, LstatPath, OpenRootPath and ReadlinkPath do for a path of any length what package os does
// for a short one: a long one is walked in pieces.

// OpenPath opens the file at path. It makes none.
func OpenPath(path string, flag int) (*os.File, error) {
	if len(path) < pathMax {
		return os.OpenFile(path, flag, 0)
	}
	return openLong(path, flag)
}

// StatPath describes the file at path, which may be a symlink to it.
func StatPath(path string) (fs.FileInfo, error) {
	if len(path) < pathMax {
		return os.Stat(path)
	}
	return statLong(path, true)
}

// LstatPath describes what is at path itself.
func LstatPath(path string) (fs.FileInfo, error) {
	if len(path) < pathMax {
		return os.Lstat(path)
	}
	return statLong(path, false)
}

// OpenRootPath opens the directory at path.
func OpenRootPath(path string) (*os.Root, error) {
	if len(path) < pathMax {
		return os.OpenRoot(path)
	}
	return openRootLong(path)
}

// ReadlinkPath is the target of the symlink at path.
func ReadlinkPath(path string) (string, error) {
	if len(path) < pathMax {
		return os.Readlink(path)
	}
	dir, err := OpenRootPath(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	defer dir.Close()
	return dir.Readlink(filepath.Base(path))
}

// pieces cuts a path where a slash ends at most pathMax-1 bytes.
func pieces(path string) (head, tail string, ok bool) {
	for i := min(len(path), pathMax) - 1; i > 0; i-- {
		if os.IsPathSeparator(path[i]) {
			return path[:i], path[i+1:], true
		}
	}
	return "", "", false
}

// openRootLong is OpenRootPath in pieces. A symlink behind the first of them must not lead out of it.
func openRootLong(path string) (*os.Root, error) {
	head, tail, ok := pieces(path)
	if !ok {
		return os.OpenRoot(path) // the system says what it thinks of such a name
	}
	up, err := os.OpenRoot(head)
	if err != nil {
		return nil, err
	}
	defer up.Close()
	return up.OpenRoot(tail)
}
