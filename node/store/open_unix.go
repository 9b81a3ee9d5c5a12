//go:build unix

package store

import (
	"os"
	"syscall"
)

// openRead does not wait for a writer should a FIFO have taken the file's place.
const openRead = os.O_RDONLY | syscall.O_NONBLOCK
