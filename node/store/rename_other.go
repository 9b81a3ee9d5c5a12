//go:build !linux

package store

import (
	"errors"
	"os"
	"path/filepath"
)

// rename moves from to a free name in the parent directory; fs.ErrExist if it is taken.
func (t *dest) rename(from, to string) error { return t.renameChecked(from, to) }

// renameFree would need a rename between two directories that refuses to replace.
func renameFree(*os.Root, string, *os.Root, string) error { return errors.ErrUnsupported }

// renameOver moves a name from one directory to another, over what is there. There is no call for that between two open
// directories, so that these are named once more.
func renameOver(from *os.Root, name string, to *os.Root, toName string) error {
	return os.Rename(filepath.Join(from.Name(), name), filepath.Join(to.Name(), toName))
}
