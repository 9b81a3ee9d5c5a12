package main

import (
	"context"
	"errors"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/urfave/cli/v2"

	"shoal/chunker"
	"shoal/node"
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
			excludeFlag(),
			&cli.BoolFlag{Name: "preserve", Usage: "record modes and modification times (this changes the CID)"},
			skipFlag(),
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

	SkippedCount int64       `json:"skipped_count,omitempty"`
	Skipped      []api.Issue `json:"skipped,omitempty"`
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
		if c.out.err != nil {
			return c.out.err
		}
		return c.incomplete("hash", path, res.SkippedCount, res.Skipped)
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
	patterns, err := node.Excludes(api.ShareRequest{Path: full, Exclude: c.flags.StringSlice("exclude"), NoHidden: c.flags.Bool("no-hidden")})
	if err != nil {
		return cidResult{}, err
	}
	cfg, err := node.BuildConfig(c.home, full, patterns) // as share does, for the same CID
	if err != nil {
		return cidResult{}, err
	}
	var res cidResult
	cfg.Preserve = c.flags.Bool("preserve")
	cfg.Skip = func(path string, err error) {
		issue := api.Issue{Path: path, Reason: err.Error()}
		if !errors.Is(err, chunker.ErrExcluded) && !errors.Is(err, node.ErrSystem) {
			if res.SkippedCount++; len(res.Skipped) < api.MaxListed {
				res.Skipped = append(res.Skipped, issue)
			}
		}
		p.update(api.Progress{Warning: &issue})
	}
	cfg.Progress = func(files, bytes int64) { p.update(report(files, bytes)) }
	tree, err := chunker.Build(ctx, full, cfg, func(cid.Cid, []byte) error { return nil })
	if err != nil {
		return cidResult{}, err
	}
	res.CID, res.Path, res.Size, res.Files = tree.Root.String(), full, tree.Size, tree.Files
	res.Seconds = time.Since(start).Seconds()
	return res, nil
}

// chunkerError gives an error of the chunker its code; those of the file system have theirs.
func chunkerError(err error) error {
	switch {
	case errors.Is(err, chunker.ErrChanged):
		return api.Errorf(api.Changed, "%w", err).WithHint("Try again once nothing writes to it.")
	case errors.Is(err, chunker.ErrIgnoreFile):
		return api.Errorf(api.Invalid, "%w", err).WithHint(node.HintIgnoreFile)
	case errors.Is(err, chunker.ErrNotFile), errors.Is(err, chunker.ErrExcluded), errors.Is(err, node.ErrSystem):
		return api.Errorf(api.Invalid, "%w", err)
	case errors.Is(err, chunker.ErrLimit), errors.Is(err, chunker.ErrUnsupported):
		return api.Errorf(api.Unsupported, "%w", err)
	}
	return err
}
