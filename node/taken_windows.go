package node

import (
	"errors"

	"golang.org/x/sys/windows"
)

// isTaken tells whether an address could not be bound because somebody else has the port.
func isTaken(err error) bool {
	return errors.Is(err, windows.WSAEADDRINUSE) || errors.Is(err, windows.WSAEACCES)
}
