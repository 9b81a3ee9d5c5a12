package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// watch tells whether another process opens or changes files while we write them, which their times cannot: our own writes change those
// too. It is a fanotify group (Linux 5.13, no privileges), whose events name the process and the file. Each file is marked
// right after it was made or opened; a lease shows that nobody else had it open at that moment. Events of one process for one file are
// merged, so the queue stays short, and reading it now and then is enough. Nil watches nothing.
type watch struct {
	fd      int
	pid     int32
	entries map[string][]int // by file handle
	buf     []byte
}

// maxWatched files are marked: each mark holds an inode in the memory of the kernel.
const maxWatched = 16 << 10

const watchedFor = unix.FAN_MODIFY | unix.FAN_OPEN | unix.FAN_CLOSE_WRITE

// newWatch is nil where the system has none.
func newWatch() *watch {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_REPORT_FID|unix.FAN_NONBLOCK|unix.FAN_CLOEXEC, unix.O_RDONLY)
	if err != nil {
		return nil
	}
	return &watch{fd: fd, pid: int32(os.Getpid()), entries: map[string][]int{}, buf: make([]byte, 8<<10)}
}

// local are file systems that nobody changes but through this kernel.
var local = map[int64]bool{
	unix.EXT4_SUPER_MAGIC: true, unix.XFS_SUPER_MAGIC: true, unix.BTRFS_SUPER_MAGIC: true, unix.TMPFS_MAGIC: true,
	unix.F2FS_SUPER_MAGIC: true, 0xca451a4e: true, // bcachefs
}

// add watches an open file from now on, for an entry. false: nothing can be said of it. f must be the only descriptor of ours.
func (w *watch) add(f *os.File, entry int) bool {
	if w == nil || len(w.entries) >= maxWatched {
		return false
	}
	var fs unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &fs) != nil || !local[int64(fs.Type)] {
		return false
	}
	h, _, err := unix.NameToHandleAt(int(f.Fd()), "", unix.AT_EMPTY_PATH)
	if err != nil {
		return false
	}
	if err := unix.FanotifyMark(w.fd, unix.FAN_MARK_ADD, watchedFor, unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd())); err != nil {
		return false
	}
	key := handleKey(h.Type(), h.Bytes())
	w.entries[key] = append(w.entries[key], entry)
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		return false // somebody else has it open, and may have mapped it
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	return err == nil
}

func handleKey(kind int32, handle []byte) string {
	return string(binary.NativeEndian.AppendUint32(nil, uint32(kind))) + string(handle)
}

// alone takes a lease on a file that was just opened, which ends when it is closed: until then whoever opens the file waits. false: somebody
// else has it open, or it cannot be told.
func alone(f *os.File) bool {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
	return err == nil
}

// touched reads what happened since the last call: the entries that another process opened or changed. all: any of them may have been.
func (w *watch) touched() (entries []int, all bool) {
	if w == nil {
		return nil, true
	}
	for {
		n, err := unix.Read(w.fd, w.buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return entries, all
		case err != nil || n == 0:
			return entries, true
		}
		for b := w.buf[:n]; len(b) >= int(unix.FAN_EVENT_METADATA_LEN); {
			size := int(binary.NativeEndian.Uint32(b))
			if size < int(unix.FAN_EVENT_METADATA_LEN) || size > len(b) {
				return entries, true
			}
			got, ok := w.event(b[:size])
			entries, all = append(entries, got...), all || !ok
			b = b[size:]
		}
	}
}

// event reads one event: struct fanotify_event_metadata and the info of its file. ok is false for a foreign one that names no file.
func (w *watch) event(b []byte) (entries []int, ok bool) {
	mask, pid := binary.NativeEndian.Uint64(b[8:]), int32(binary.NativeEndian.Uint32(b[20:]))
	if mask&unix.FAN_Q_OVERFLOW != 0 {
		return nil, false
	}
	if pid == w.pid {
		return nil, true
	}
	info := b[binary.NativeEndian.Uint16(b[6:]):]
	const head = 4 + 8 // type, pad, length; file system
	if len(info) < head+8 || info[0] != unix.FAN_EVENT_INFO_TYPE_FID {
		return nil, false
	}
	size, kind := int(binary.NativeEndian.Uint32(info[head:])), int32(binary.NativeEndian.Uint32(info[head+4:]))
	if size > len(info)-head-8 {
		return nil, false
	}
	entries, ok = w.entries[handleKey(kind, info[head+8:head+8+size])]
	return entries, ok
}

func (w *watch) close() {
	if w != nil {
		unix.Close(w.fd)
	}
}
