package main

import (
	"context"
	"runtime"

	"shoal/node"
	"shoal/node/api"
)

func versionVerb() verb {
	return verb{
		name: "version", short: "print the version of this program and of the daemon",
		about:    `Prints the version of this program and, if a daemon of another version runs for this home, that one's. With --json: {"version","go","os","arch","daemon"}.`,
		examples: []string{"shoal version"},
		do:       runVersion,
	}
}

// versionEvent is the object of --json.
type versionEvent struct {
	api.Version
	Daemon *api.Version `json:"daemon,omitempty"` // none runs: left out
}

func runVersion(ctx context.Context, c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
	}
	v := versionEvent{Version: api.Version{Version: node.Version(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}}
	if daemon, err := api.NewClient(c.home).Version(ctx); err == nil {
		daemon.Transient = false
		v.Daemon = &daemon
	}
	if c.json {
		c.object(v)
		return c.out.err
	}
	c.printf("shoal %s %s %s/%s\n", v.Version.Version, v.Go, v.OS, v.Arch)
	if v.Daemon != nil && *v.Daemon != v.Version {
		c.printf("daemon %s %s %s/%s\n", v.Daemon.Version, v.Daemon.Go, v.Daemon.OS, v.Daemon.Arch)
	}
	return c.out.err
}
