//go:build !linux

package store

// rename moves from to a free name in the parent directory; fs.ErrExist if it is taken.
func (t *dest) rename(from, to string) error { return t.renameChecked(from, to) }

// replace moves the .part over what is at name.
func (t *dest) replace(name string) error { return t.replaceAside(name) }
