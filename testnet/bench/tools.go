package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"shoal/testnet"
)

// tool is one way to move a file or tree from a seeder to fetchers.
type tool struct {
	name    string
	missing func() string // what to install; "": all there
	lonely  string        // why it needs a network of its own, and no 127.0.0.0/8; ""
	// seed serves path from p until the group is closed.
	seed func(ctx context.Context, g *group, p place, path string) (offer, error)
	// fetcher makes everything ready at p, so that only the transfer is timed.
	fetcher func(ctx context.Context, g *group, p place, o offer) (fetcher, error)
}

// offer is what fetchers get to know of a seeder.
type offer struct {
	at    place
	name  string // of the file or tree
	link  string // in the tool's own form: a link, a URL, the path of a torrent file
	root  string // CID, where the tool has one
	proc  *proc  // the seeder
	addrs []string
}

// fetcher fetches what was offered into the directory dest, under its name, and returns when it is whole. It tells the payload bytes that
// came more than once, -1 where the tool does not say.
type fetcher func(ctx context.Context, dest string) (duplicate int64, err error)

// installed is those of the tools that are wanted and on this machine; the report names those that are not there.
func (b *bench) installed(where string, tools ...tool) []tool {
	var there []tool
	for _, t := range tools {
		if len(b.tools) > 0 && !slices.Contains(b.tools, t.name) {
			continue
		}
		if pkg := t.missing(); pkg != "" {
			b.report.remark("%s: skipped %s, which is not here (%s)", where, t.name, pkg)
			continue
		}
		if t.lonely != "" && !b.isolated {
			b.report.remark("%s: skipped %s, which %s (a network of its own needs Linux and root)", where, t.name, t.lonely)
			continue
		}
		there = append(there, t)
	}
	return there
}

// commands is a tool's missing function for "command:package" pairs.
func commands(pairs ...string) func() string {
	return func() string {
		var packages []string
		for _, pair := range pairs {
			command, pkg, _ := strings.Cut(pair, ":")
			if _, err := exec.LookPath(command); err != nil {
				packages = append(packages, pkg)
			}
		}
		if len(packages) == 0 {
			return ""
		}
		return "Debian: " + strings.Join(packages, " ")
	}
}

// check compares what was fetched into dest with the original, and removes it.
func check(path, dest string) error {
	if err := testnet.Same(path, filepath.Join(dest, filepath.Base(path)), false); err != nil {
		return fmt.Errorf("wrong bytes: %w", err)
	}
	return os.RemoveAll(dest)
}
