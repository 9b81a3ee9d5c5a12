package main

import "syscall"

// dieWithParent makes the kernel end a process when the benchmark ends without having done so.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
