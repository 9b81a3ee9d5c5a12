package store

import (
	"errors"
	"io/fs"
)

// renameChecked is the fall-back where a rename cannot refuse to replace: something
// that appears between the two calls would be lost if it is a file.
func (t *dest) renameChecked(from, to string) error {
	if _, err := t.parent.Lstat(to); err == nil {
		return fs.ErrExist
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return t.parent.Rename(from, to)
}
