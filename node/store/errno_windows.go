package store

import (
	"errors"

	"golang.org/x/sys/windows"
)

func isNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}

// isTransient tells errors of this process or moment from those of the file.
func isTransient(err error) bool {
	return errors.Is(err, windows.ERROR_TOO_MANY_OPEN_FILES) || errors.Is(err, windows.ERROR_NOT_ENOUGH_MEMORY)
}

// isIO tells that the disk failed, which says nothing of what the file holds.
func isIO(err error) bool {
	return errors.Is(err, windows.ERROR_CRC) || errors.Is(err, windows.ERROR_IO_DEVICE)
}

// isExhausted tells that the process has no handle left.
func isExhausted(err error) bool { return errors.Is(err, windows.ERROR_TOO_MANY_OPEN_FILES) }

// isResource tells errors of the disk or the process from those of the data.
func isResource(err error) bool {
	return isNoSpace(err) || isTransient(err) || isReadOnly(err) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
}

func isReadOnly(err error) bool { return errors.Is(err, windows.ERROR_WRITE_PROTECT) }
