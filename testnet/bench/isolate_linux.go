package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"shoal/testnet"
)

// isolatedEnv marks the copy of this process that runs in a network namespace of its own.
const isolatedEnv = "SHOAL_BENCH_ISOLATED"

// lonelyAddrs are on the loopback of that namespace, for tools that run only there.
var lonelyAddrs = []string{"10.254.0.1", "10.254.0.2"}

// isolate runs this program again in a network namespace that has nothing but loopback, where that is possible: what it starts can reach
// nobody else, its counters tell what it sends, and everything but named namespaces goes away with it. It says whether it has done so.
func isolate(ctx context.Context, args []string) (done bool, err error) {
	if noNamespaces() != "" {
		return false, nil
	}
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	runtime.LockOSThread() // the child's end is tied to this thread
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Env = append(os.Environ(), isolatedEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return false, nil // not permitted: go on without
	}
	if err := cmd.Wait(); err != nil {
		return true, errSaid
	}
	return true, nil
}

// isolated says whether this is the copy that isolate runs, and makes its loopback ready.
func isolated() (bool, error) {
	if os.Getenv(isolatedEnv) == "" {
		return false, nil
	}
	commands := "link set lo up\n"
	for _, a := range lonelyAddrs {
		commands += fmt.Sprintf("addr add %s/32 dev lo\n", a)
	}
	return true, testnet.Batch("ip", "", commands)
}

// processAttr makes a process the leader of a group, and lets the kernel end it when the benchmark ends without having done so.
func processAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// killGroup ends a process that has processAttr, and its children.
func killGroup(p *os.Process) { syscall.Kill(-p.Pid, syscall.SIGKILL) }
