package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"shoal/node/api"
)

func verifyVerb() verb {
	return verb{
		name: "verify", args: "[CID|NAME|PATH]…", short: "check that shared files are what they were",
		about: `Compares the named shares, or all, with their files, and says which are changed, damaged or missing. Files whose size and times are as recorded
are hashed only with --full. It works without a daemon too. With --json: one object a share.`,
		examples: []string{"shoal verify", "shoal verify --full photos"},
		exits:    []int{exitContent, exitDaemon},
		flags:    []cli.Flag{&cli.BoolFlag{Name: "full", Usage: "hash every file"}},
		do:       runVerify,
	}
}

func runVerify(ctx context.Context, c *call) (err error) {
	s, shares, err := c.openShares(ctx)
	if err != nil {
		return cannot("verify", "", err)
	}
	defer c.leave(s, &err)
	args := c.args
	if len(args) == 0 {
		for _, share := range shares {
			args = append(args, share.CID)
		}
		if len(args) == 0 {
			c.note("no shares to verify")
		}
	}
	var bad error
	err = c.each(args, func(arg string) error {
		share, err := matchArg(shares, arg)
		if err != nil {
			return cannot("verify", arg, err)
		}
		ok, err := c.verifyOne(ctx, s, share)
		if err == nil && !ok {
			bad = errSaid{api.Errorf(api.Damaged, "%s is not what it was", arg)}
		}
		return err
	})
	if err == nil {
		err = bad
	}
	return err
}

// verifyOne checks a share and tells the result, which is whether it is whole.
func (c *call) verifyOne(ctx context.Context, s api.Service, share api.Share) (bool, error) {
	p := c.progressFor(share.Name, false)
	res, err := s.Verify(ctx, api.VerifyRequest{Ref: share.CID, Full: c.flags.Bool("full")}, p.update)
	p.done()
	if err != nil {
		return false, cannot("verify", share.Name, err)
	}
	if c.json {
		c.object(res)
		return res.OK, c.out.err
	}
	if res.OK {
		c.printf("ok       %s  %s, %s (%s hashed)\n", printable(share.Name), count(res.Files, "file"), size(res.Bytes), size(res.Checked))
		return true, c.out.err
	}
	c.printf("changed  %s  %s: %s\n", printable(share.Name), printable(share.Path), count(res.IssueCount, "problem"))
	for _, i := range res.Issues {
		path := i.Path
		if path == "" {
			path = share.Name
		}
		c.printf("         %s: %s\n", printable(path), printable(i.Reason))
	}
	if more := res.IssueCount - int64(len(res.Issues)); more > 0 {
		c.printf("         and %d more\n", more)
	}
	c.note("Chunks that no longer fit are not served. `shoal share` the path again to offer what is there now.")
	return false, c.out.err
}
