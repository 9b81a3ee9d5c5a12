//go:build !linux

package store

import (
	"errors"
	"os"
)

// rename moves from to a free name in the parent directory; fs.ErrExist if it is taken.
func (t *dest) rename(from, to string) error { return t.renameChecked(from, to) }

// renameFree would need a rename between two directories that refuses to replace.
func renameFree(*os.Root, string, *os.Root, string) error { return errors.ErrUnsupported }
