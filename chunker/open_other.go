//go:build !unix

package chunker

import "os"

// openFile opens a file for reading. This platform has neither FIFOs in the
// file system nor a flag against following symlinks; the caller has looked at
// the entry just before and looks again at the open file.
func openFile(_ *os.File, _, path string) (*os.File, error) {
	return patiently(func() (*os.File, error) { return os.Open(path) })
}

func openDir(_ *os.File, _, path string) (*os.File, error) {
	return patiently(func() (*os.File, error) { return os.Open(path) })
}

func readLink(_ *os.File, _, path string) (string, error) { return os.Readlink(path) }
