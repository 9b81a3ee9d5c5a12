//go:build !unix

package testnet

import (
	"errors"
	"os"
	"syscall"
)

// There is no stopping and continuing here; sending these fails.
const (
	stopSignal     = syscall.Signal(0)
	continueSignal = syscall.Signal(0)
)

// terminate ends a process: there is no way to ask it from outside its console.
func terminate(p *os.Process) error { return p.Kill() }

func interrupt(*os.Process) error { return errors.ErrUnsupported }
