package testnet

import "syscall"

// dieWithParent makes the kernel end a child when the test binary ends without having done so.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
