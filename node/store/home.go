package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"shoal/chunker"
)

// formatVersion of the home. A newer binary migrates an older home in Open; an
// older binary refuses a newer one.
//
// 2: file rows hold the time of change and the device; those of version 1 are read as they are, and Heal completes them. There is a journal, and the
// log of the index shows damage.
const formatVersion = 2

// Names inside the home. The format is a file of its own, not a record, so that an
// old binary can read it whatever Pebble wrote beside it.
const (
	lockName   = "lock"
	formatName = "format"
	indexName  = "index"
	probesName = "probes" // where names were being tried in destinations, see noteProbe
)

// FormatName is the file by which a home is known.
const FormatName = formatName

// IsHome tells whether dir is the home of a shoal node: it has a format version, and a key, an index or a lock beside it.
func IsHome(dir string) bool {
	f, err := chunker.OpenPath(filepath.Join(dir, formatName), openRead)
	if err != nil {
		return false
	}
	defer f.Close()
	var text [8]byte
	n, _ := f.Read(text[:])
	if v, err := strconv.Atoi(strings.TrimSpace(string(text[:n]))); err != nil || v < 1 {
		return false
	}
	for _, name := range []string{"identity.key", indexName, lockName} {
		if _, err := chunker.LstatPath(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// HomeAround is the home of a shoal node that dir is or lies in, whatever symlinks lead there; "": there is none.
func HomeAround(dir string) string {
	real, err := filepath.EvalSymlinks(dir)
	for errors.Is(err, syscall.ENAMETOOLONG) && dir != filepath.Dir(dir) {
		if IsHome(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
		real, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "" // who opens it tells
	}
	for dir = real; !IsHome(dir); {
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
	return dir
}

// openHome makes and locks the directory and checks its format version. fresh: nothing
// was ever kept here. mayRead: a home that cannot be written is opened for reading.
func openHome(home string, mayRead bool) (lock *os.File, fresh, readOnly bool, err error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, false, false, fsError("make home", home, err)
	}
	path := filepath.Join(home, lockName)
	lock, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if readOnly = err != nil && mayRead && (isReadOnly(err) || errors.Is(err, fs.ErrPermission)); readOnly {
		lock, err = os.Open(path)
	}
	if err != nil {
		return nil, false, false, fsError("open lock of home", home, err)
	}
	// It holds a private key and the names of what is shared.
	if fi, serr := os.Stat(home); serr == nil && fi.Mode().Perm()&0o077 != 0 && !readOnly {
		if err = os.Chmod(home, 0o700); err != nil {
			lock.Close()
			return nil, false, false, fsError("close home to others", home, err)
		}
	}
	if err = lockFile(lock); err != nil {
		err = fmt.Errorf("lock home %s: %w", home, err)
	} else {
		fresh, err = checkFormat(home)
	}
	if err != nil {
		lock.Close()
		return nil, false, false, err
	}
	return lock, fresh, readOnly, nil
}

// checkFormat reads the version. fresh: the home is new, or making it was cut short.
func checkFormat(home string) (fresh bool, err error) {
	path := filepath.Join(home, formatName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		// Without a format but with a journal that tells of shares, the format was lost.
		return !hasShares(home), nil
	}
	if fi, serr := os.Stat(path); err != nil && serr == nil && !fi.Mode().IsRegular() {
		return false, fmt.Errorf("read %s: %w: it is no file", path, ErrIndexDamaged)
	}
	if err != nil {
		return false, fsError("read", path, err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || v < 1 {
		return false, fmt.Errorf("read %s: %w: %q is no format version", path, ErrIndexDamaged, b)
	}
	if v > formatVersion {
		return false, fmt.Errorf("open home %s: %w: format %d, this binary reads up to %d", home, ErrNewer, v, formatVersion)
	}
	return v == 1 && unused(home), nil
}

// hasShares tells whether the journal tells of a share or download.
func hasShares(home string) bool {
	t, err := readJournal(filepath.Join(home, journalName))
	return err == nil && len(t.now) > 0
}

// unused tells whether an older shoal was cut short when it had made a format and no more.
func unused(home string) bool {
	for _, name := range []string{indexName, journalName, "identity.key"} {
		if _, err := os.Lstat(filepath.Join(home, name)); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}

// Used tells whether something is shared or fetched in home, as far as can be told from what lies beside the index.
func Used(home string) bool {
	if _, err := os.Lstat(filepath.Join(home, journalName)); err == nil {
		return hasShares(home)
	}
	_, err := os.Lstat(filepath.Join(home, formatName)) // by an older shoal, which kept no journal
	return err == nil
}

// raiseFormat writes the version of this binary, once the home is of it.
func raiseFormat(home string) error {
	path := filepath.Join(home, formatName)
	b, err := os.ReadFile(path)
	if err == nil && strings.TrimSpace(string(b)) == strconv.Itoa(formatVersion) {
		return nil
	}
	return writeFormat(path)
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
