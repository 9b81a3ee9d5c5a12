//go:build unix

package node

import (
	"errors"
	"syscall"
)

// isTaken tells whether an address could not be bound because somebody else has the port.
func isTaken(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
