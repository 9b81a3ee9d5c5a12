package store

import (
	"io/fs"
	"os"

	"shoal/chunker"
)

// identity tells a .part from what another program puts in its place. The inode alone does not: that of a deleted file is given to the
// next one that is made, often at once.
type identity struct {
	mark  uint64 // of inode and time of birth; the inode where the system does not tell that time
	inode uint64 // what an older shoal recorded
}

// is tells whether it is what was recorded.
func (i identity) is(recorded uint64) bool { return recorded == i.mark || recorded == i.inode }

// identify is the identity of name in the parent directory, which fi was told of.
func (t *dest) identify(name string, fi fs.FileInfo) identity {
	t.diskMu.Lock()
	defer t.diskMu.Unlock()
	return newIdentity(fi, birth(t.disk, t.dir, name, fi))
}

// identify is the identity of name in the directory root, whose path is dir.
func identify(root *os.Root, dir, name string, fi fs.FileInfo) identity {
	at, err := root.Open(".")
	if err != nil {
		at = nil // by its path then
	} else {
		defer at.Close()
	}
	return newIdentity(fi, birth(at, dir, name, fi))
}

func newIdentity(fi fs.FileInfo, born int64) identity {
	inode := chunker.StatOf(fi).Inode
	if inode == 0 || born == 0 {
		return identity{inode, inode}
	}
	return identity{max(1, inode*0x9e3779b97f4a7c15^uint64(born)*0xc2b2ae3d27d4eb4f), inode}
}
