package node

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"shoal/node/store"
)

// ReplaceFile writes a private file (mode 0600), so that a crash or a power cut leaves the old one or the new one; after it has
// returned, the new one. It lies in the home.
func ReplaceFile(path string, data []byte) error {
	return homeError(filepath.Dir(path), store.FileError("write", path, putFile(path, data, os.Rename)))
}

// createFile is ReplaceFile, but keeps a file that is there already.
func createFile(path string, data []byte) error {
	return putFile(path, data, func(tmp, path string) error {
		err := os.Link(tmp, path)
		if err == nil || errors.Is(err, fs.ErrExist) {
			return nil
		}
		return os.Rename(tmp, path) // a file system without hard links
	})
}

// putFile writes data beside path, has place give it that name, and makes both last.
func putFile(path string, data []byte, place func(tmp, path string) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when it was renamed
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := place(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the names in a directory last. Windows has no such call and journals them anyway.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
