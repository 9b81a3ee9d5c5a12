package store

import (
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// accessList is the attribute that says more of who may read a file than its permission bits, of which it changes the meaning.
const accessList = "system.posix_acl_access"

// copyAttrs copies the attributes of the user, and with access the access list, as far as the disk has them. An error: the access list
// was not copied.
func copyAttrs(from, to *os.File, access bool) error {
	names := make([]byte, 64<<10) // the most that Linux gives
	n, err := unix.Flistxattr(int(from.Fd()), names)
	if err != nil {
		return nil
	}
	value := make([]byte, 64<<10)
	for name := range strings.SplitSeq(string(names[:n]), "\x00") {
		list := name == accessList
		if !strings.HasPrefix(name, "user.") && !(list && access) {
			continue
		}
		n, err := unix.Fgetxattr(int(from.Fd()), name, value)
		if err == nil {
			err = unix.Fsetxattr(int(to.Fd()), name, value[:n], 0)
		}
		if err != nil && list {
			return err
		}
	}
	return nil
}

// ownerOf tells whose a file is.
func ownerOf(fi fs.FileInfo) (uid, gid int, ok bool) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(st.Uid), int(st.Gid), true
}
