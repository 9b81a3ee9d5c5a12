package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

const (
	congestionFile = "/proc/sys/net/ipv4/tcp_congestion_control"
	allowedFile    = "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
)

// allowCongestion lets network namespaces of this machine choose the algorithm name, which only the machine itself can permit, and
// returns how to undo that.
func allowCongestion(name string) (undo func() error, err error) {
	nothing := func() error { return nil }
	old, err := os.ReadFile(allowedFile)
	if err != nil || name == "" || slices.Contains(strings.Fields(string(old)), name) {
		return nothing, err
	}
	if err := os.WriteFile(allowedFile, []byte(strings.TrimSpace(string(old))+" "+name), 0); err != nil {
		return nothing, fmt.Errorf("allow %s: %w (-cc '' measures with the machine's own algorithm)", name, err)
	}
	return func() error { return os.WriteFile(allowedFile, old, 0) }, nil
}

// setCongestion chooses the algorithm of a named network namespace, or of this process's own ("").
func setCongestion(ns, name string) error {
	if name == "" {
		return nil
	}
	if ns == "" {
		return os.WriteFile(congestionFile, []byte(name), 0)
	}
	out, err := exec.Command("ip", "netns", "exec", ns, "sysctl", "-q", "-w", "net.ipv4.tcp_congestion_control="+name).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("set %s in %s: %w: %s", name, ns, err, out)
	}
	return err
}

// congestion is the algorithm in force for this process.
func congestion() string {
	b, err := os.ReadFile(congestionFile)
	return strings.TrimSpace(string(b)) + map[bool]string{true: "unknown"}[err != nil]
}

// machine tells what a figure was measured on.
func machine() string {
	cpu := "unknown CPU"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	return cpu
}
