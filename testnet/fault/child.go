//go:build linux

package fault

import (
	"os/exec"
	"strings"
	"testing"
)

// Need skips the test unless the program is installed, and names the Debian package that has it.
func Need(t testing.TB, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed: apt-get install %s", program, pkg)
	}
	return path
}

// Inject wraps a command line so that system calls of it and of its children fail. Each rule is what strace takes for --inject:
// "fdatasync:error=EIO:when=3+". It counts per thread. The trace goes to the file log.
func Inject(t testing.TB, log string, command []string, rules ...string) []string {
	t.Helper()
	args := []string{Need(t, "strace", "strace"), "-f", "-qq", "-o", log}
	var calls []string
	for _, r := range rules {
		name, _, _ := strings.Cut(r, ":")
		calls = append(calls, name)
	}
	args = append(args, "--seccomp-bpf", "-e", "trace="+strings.Join(calls, ","))
	for _, r := range rules {
		args = append(args, "--inject="+r)
	}
	args = append(append(args, "--"), command...)
	if out, err := exec.Command(args[0], "-f", "-qq", "-o", "/dev/null", "--", "/bin/true").CombinedOutput(); err != nil {
		t.Skipf("processes cannot be traced here: %v: %s", err, out)
	}
	return args
}

// Limited wraps a command line so that a resource of it is limited, by an option of prlimit(1): "--nofile=64", "--fsize=1048576".
func Limited(t testing.TB, command []string, limits ...string) []string {
	t.Helper()
	return append(append([]string{Need(t, "prlimit", "util-linux")}, limits...), command...)
}
