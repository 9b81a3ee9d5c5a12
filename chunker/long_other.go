//go:build !linux

package chunker

import (
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
)

// pathMax is the least of the BSDs and macOS. On Windows package os takes a path of any length.
var pathMax = map[bool]int{true: math.MaxInt, false: 1024}[runtime.GOOS == "windows"]

// inRoot calls fn with the directory that holds path, and its name there.
func inRoot[T any](path string, fn func(dir *os.Root, name string) (T, error)) (v T, err error) {
	path = filepath.Clean(path)
	dir, err := OpenRootPath(filepath.Dir(path))
	if err != nil {
		return v, err
	}
	defer dir.Close()
	return fn(dir, filepath.Base(path))
}

// openLong is OpenPath in pieces.
func openLong(path string, flag int) (*os.File, error) {
	return inRoot(path, func(dir *os.Root, name string) (*os.File, error) { return dir.OpenFile(name, flag, 0) })
}

// statLong is StatPath or, with follow false, LstatPath in pieces.
func statLong(path string, follow bool) (fs.FileInfo, error) {
	return inRoot(path, func(dir *os.Root, name string) (fs.FileInfo, error) {
		if follow {
			return dir.Stat(name)
		}
		return dir.Lstat(name)
	})
}
