package main

import (
	"context"
	"errors"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/urfave/cli/v2"

	"shoal/chunker"
	"shoal/node/api"
)

func cidVerb() verb {
	return verb{
		name: "cid", args: "PATH…", short: "print the CID that sharing a path would give",
		about: `Hashes files and directories without a daemon and without storing anything. The CID is the one that ` + "`ipfs add`" + ` gives under the profile
unixfs-v1-2025. Several paths are printed with their CIDs. With --json: {"cid","path","size","files","seconds"}.`,
		examples: []string{"shoal cid debian.iso", "shoal cid --preserve ~/src"},
		exits:    []int{exitContent},
		flags: []cli.Flag{
			&cli.BoolFlag{Name: "no-hidden", Usage: "leave out names inside a directory that start with a dot"},
			&cli.BoolFlag{Name: "preserve", Usage: "record modes and modification times (this changes the CID)"},
		},
		do: runCid,
	}
}

// cidResult is a line of --json.
type cidResult struct {
	CID     string  `json:"cid"`
	Path    string  `json:"path"`
	Size    int64   `json:"size"`
	Files   int     `json:"files"`
	Seconds float64 `json:"seconds"`
}

func runCid(ctx context.Context, c *call) error {
	if err := c.want(1, -1); err != nil {
		return err
	}
	return c.each(c.args, func(path string) error {
		res, err := c.hash(ctx, path)
		switch {
		case err != nil:
			return cannot("hash", path, chunkerError(err))
		case c.json:
			c.object(res)
		case len(c.args) == 1:
			c.printf("%s\n", res.CID)
		default:
			c.printf("%s  %s\n", res.CID, printable(path))
		}
		return c.out.err
	})
}

// hash gives the root of a file or tree and keeps nothing.
func (c *call) hash(ctx context.Context, path string) (cidResult, error) {
	full, err := abs(path)
	if err != nil {
		return cidResult{}, err
	}
	if err := (api.ShareRequest{Path: full}).Check(); err != nil {
		return cidResult{}, err
	}
	p := c.progressFor(path, false)
	defer p.done()
	start := time.Now()
	report := func(files, bytes int64) api.Progress {
		return api.Progress{
			State: api.StateIndexing, Files: files, Bytes: bytes,
			Rate: float64(bytes) / max(time.Since(start).Seconds(), 1e-3),
		}
	}
	tree, err := chunker.Build(ctx, full, chunker.Config{
		Exclude:  []string{c.home}, // as share does, for the same CID
		NoHidden: c.flags.Bool("no-hidden"),
		Preserve: c.flags.Bool("preserve"),
		Skip: func(path string, err error) {
			p.update(api.Progress{Warning: &api.Issue{Path: path, Reason: err.Error()}})
		},
		Progress: func(files, bytes int64) { p.update(report(files, bytes)) },
	}, func(cid.Cid, []byte) error { return nil })
	if err != nil {
		return cidResult{}, err
	}
	return cidResult{tree.Root.String(), full, tree.Size, tree.Files, time.Since(start).Seconds()}, nil
}

// chunkerError gives an error of the chunker its code; those of the file system have theirs.
func chunkerError(err error) error {
	switch {
	case errors.Is(err, chunker.ErrChanged):
		return api.Errorf(api.Changed, "%w", err).WithHint("Try again once nothing writes to it.")
	case errors.Is(err, chunker.ErrNotFile):
		return api.Errorf(api.Invalid, "%w", err)
	case errors.Is(err, chunker.ErrLimit), errors.Is(err, chunker.ErrUnsupported):
		return api.Errorf(api.Unsupported, "%w", err)
	}
	return err
}
