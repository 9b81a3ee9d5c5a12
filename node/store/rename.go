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

// asideSuffix is of what Force moved out of the way for a moment.
const asideSuffix = ".replaced-by-shoal"

// replaceAside is the fall-back where two names cannot be swapped. A file is replaced at
// once; a directory is moved aside first, which recover sees to after a crash.
func (t *dest) replaceAside(name string) error {
	was, err := t.parent.Lstat(name)
	if err != nil {
		return err
	}
	if !was.IsDir() && !t.tree {
		return t.parent.Rename(t.part, name)
	}
	aside := t.part + asideSuffix
	if err := t.renameChecked(name, aside); err != nil {
		return err
	}
	if err := t.parent.Rename(t.part, name); err != nil {
		return errors.Join(err, t.parent.Rename(aside, name))
	}
	return removeAll(t.parent, aside)
}
