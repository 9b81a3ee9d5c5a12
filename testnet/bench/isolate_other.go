//go:build !linux

package main

import (
	"context"
	"os"
	"syscall"
)

var lonelyAddrs []string

// isolate does nothing where there are no network namespaces.
func isolate(context.Context, []string) (bool, error) { return false, nil }

func isolated() (bool, error) { return false, nil }

// processAttr asks for nothing where the kernel cannot do it.
func processAttr() *syscall.SysProcAttr { return nil }

func killGroup(p *os.Process) { p.Kill() }
