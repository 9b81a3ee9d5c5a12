//go:build !linux

package main

import "runtime"

func allowCongestion(string) (undo func() error, err error) { return func() error { return nil }, nil }

func setCongestion(string, string) error { return nil }

func congestion() string { return "the system's own" }

func machine() string { return runtime.GOARCH }
