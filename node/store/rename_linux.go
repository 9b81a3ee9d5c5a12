package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// rename moves from to a free name in the parent directory; fs.ErrExist if it is taken.
func (t *dest) rename(from, to string) error { return t.renameat2(from, to, unix.RENAME_NOREPLACE) }

func (t *dest) renameat2(from, to string, flags uint) error {
	dir, err := t.parent.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	fd := int(dir.Fd())
	err = unix.Renameat2(fd, from, fd, to, flags)
	if flags == unix.RENAME_NOREPLACE && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS)) {
		return t.renameChecked(from, to) // some network file systems
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// renameFree moves a name from one directory to a free one in another; fs.ErrExist if it
// is taken, errors.ErrUnsupported where a rename cannot refuse to replace.
func renameFree(from *os.Root, name string, to *os.Root, toName string) error {
	src, err := from.Open(".")
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := to.Open(".")
	if err != nil {
		return err
	}
	defer dst.Close()
	err = unix.Renameat2(int(src.Fd()), name, int(dst.Fd()), toName, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) {
		return errors.ErrUnsupported
	}
	return os.NewSyscallError("rename", err)
}

// renameOver moves a name from one directory to another, over what is there.
func renameOver(from *os.Root, name string, to *os.Root, toName string) error {
	src, err := from.Open(".")
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := to.Open(".")
	if err != nil {
		return err
	}
	defer dst.Close()
	return os.NewSyscallError("rename", unix.Renameat(int(src.Fd()), name, int(dst.Fd()), toName))
}
