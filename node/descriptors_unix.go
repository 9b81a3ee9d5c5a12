//go:build unix

package node

import (
	"golang.org/x/sys/unix"

	"shoal/node/api"
)

// leastDescriptors are what a node needs to serve and fetch at all. The Go runtime has raised the soft limit to the hard one.
const leastDescriptors = 48

// checkDescriptors refuses to start where accepting a connection would already fail.
func checkDescriptors() error {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil || r.Cur >= leastDescriptors {
		return nil
	}
	return api.Errorf(api.Internal, "this process may open only %d files, and shoal needs %d", r.Cur, leastDescriptors).
		WithHint("Raise the limit with `ulimit -n 1024`, or that of the service.")
}
