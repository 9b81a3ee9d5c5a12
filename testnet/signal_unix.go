//go:build unix

package testnet

import (
	"os"
	"syscall"
)

const (
	stopSignal     = syscall.SIGSTOP
	continueSignal = syscall.SIGCONT
)

// terminate asks a process to end.
func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// interrupt is Ctrl-C.
func interrupt(p *os.Process) error { return p.Signal(os.Interrupt) }
