//go:build !linux

package testnet

import "syscall"

// dieWithParent has no counterpart here: a test binary that is killed leaves its daemons.
func dieWithParent() *syscall.SysProcAttr { return nil }
