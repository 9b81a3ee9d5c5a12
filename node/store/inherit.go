package store

import (
	"os"

	"shoal/chunker"
)

// inherit gives the new file name in dir what the file that it will replace has beside its content: the owner where the process may
// give that, the attributes of the user, and the permission bits, unless the share records some.
func (d *Download) inherit(i int, e chunker.Entry, rel string, dir *os.Root, name string) error {
	d.mu.RLock()
	replaces := d.replace[i] && d.there != nil
	d.mu.RUnlock()
	if !replaces {
		return nil
	}
	old, err := d.there.lstat(rel)
	if err != nil || !old.Mode().IsRegular() {
		return nil // gone, or a symlink, which has none
	}
	if uid, gid, ok := ownerOf(old); ok && os.Geteuid() == 0 {
		_ = dir.Lchown(name, uid, gid) // a disk without owners
	}
	if err := d.inheritAttrs(rel, dir, name, !e.HasMode); err != nil {
		return err
	}
	fi, err := dir.Lstat(name)
	if err != nil || e.HasMode || fi.Mode().Perm() == old.Mode().Perm() {
		return err
	}
	return dir.Chmod(name, old.Mode().Perm())
}

// inheritAttrs copies the attributes of the file at the destination. One that cannot be read gives none.
func (d *Download) inheritAttrs(rel string, dir *os.Root, name string, access bool) error {
	from, err := d.there.readFile(rel)
	if err != nil {
		return nil
	}
	defer from.Close()
	to, err := openRegular(dir, name, os.O_RDONLY)
	if err != nil && !access {
		return nil // a recorded mode forbids it
	}
	if err != nil {
		return err
	}
	defer to.Close()
	return copyAttrs(from, to, access)
}
