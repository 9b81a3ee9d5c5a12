package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// formatVersion of the home. A newer binary migrates an older home in Open; an
// older binary refuses a newer one.
//
// 2: file rows hold the time of change and the device. Those of version 1 are read as they are.
const formatVersion = 2

// Names inside the home. The format is a file of its own, not a record, so that an
// old binary can read it whatever Pebble wrote beside it.
const (
	lockName   = "lock"
	formatName = "format"
	indexName  = "index"
)

// openHome makes and locks the directory and checks its format version.
func openHome(home string) (lock *os.File, err error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, fsError("make home", home, err)
	}
	// It holds a private key and the names of what is shared.
	if fi, err := os.Stat(home); err == nil && fi.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(home, 0o700); err != nil {
			return nil, fsError("close home to others", home, err)
		}
	}
	lock, err = os.OpenFile(filepath.Join(home, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fsError("open lock of home", home, err)
	}
	if err = lockFile(lock); err != nil {
		err = fmt.Errorf("lock home %s: %w", home, err)
	} else {
		err = checkFormat(home)
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// checkFormat reads the version, or writes it into a new home.
func checkFormat(home string) error {
	path := filepath.Join(home, formatName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return writeFormat(path)
	}
	if err != nil {
		return fsError("read", path, err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || v < 1 {
		return fmt.Errorf("read %s: %q is no format version", path, b)
	}
	switch {
	case v > formatVersion:
		return fmt.Errorf("open home %s: %w: format %d, this binary reads up to %d", home, ErrNewer, v, formatVersion)
	case v < formatVersion:
		return writeFormat(path)
	}
	return nil
}

// writeFormat makes the file whole or not at all.
func writeFormat(path string) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fsError("write", path, err)
	}
	_, err = fmt.Fprintln(f, formatVersion)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	return fsError("write", path, err)
}
