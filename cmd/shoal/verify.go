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
are hashed only with --full, or where the disk does not tell when a file was changed (FAT, exFAT). Of each share the first problems are listed and the
rest is counted. Unfinished downloads are passed over: their chunks are checked as they arrive. A path where nothing is any more is only noted where
the same content is whole at another one. It works without a daemon too. With --json: one object a share.`,
		examples: []string{"shoal verify", "shoal verify --full photos"},
		exits:    []int{exitContent, exitDaemon},
		flags:    []cli.Flag{&cli.BoolFlag{Name: "full", Usage: "hash every file"}},
		do:       runVerify,
	}
}

func runVerify(ctx context.Context, c *call) (err error) {
	s, err := c.openHere(ctx)
	if err != nil {
		return cannot("verify", "", err)
	}
	defer c.leave(s, &err)
	if len(c.args) == 0 {
		return c.verifyAll(ctx, s)
	}
	var bad error
	err = c.each(c.args, func(arg string) error {
		res, err := c.verifyOne(ctx, s, arg)
		if err != nil {
			return cannot("verify", arg, err)
		}
		if !res.OK {
			bad = errSaid{api.Errorf(api.Damaged, "%s is not what it was", arg)}
		}
		c.sayVerified(res)
		return c.out.err
	})
	c.nextStep(bad)
	if err == nil {
		err = bad
	}
	return err
}

// verifyOne checks the share that an argument names.
func (c *call) verifyOne(ctx context.Context, s api.Service, arg string) (api.VerifyResult, error) {
	p := c.progressFor(arg, false)
	defer p.done()
	return byRef(arg, func(ref string) (api.VerifyResult, error) {
		return s.Verify(ctx, api.VerifyRequest{Ref: ref, Full: c.flags.Bool("full")}, p.update)
	})
}

// verifyAll checks every share by one request, and tells the results as they come.
func (c *call) verifyAll(ctx context.Context, s api.Service) error {
	var p progress   // the bar on the screen
	var failed int64 // shares of which nothing was learned
	sum, err := s.Verify(ctx, api.VerifyRequest{All: true, Full: c.flags.Bool("full")}, func(now api.Progress) {
		switch {
		case now.Verified != nil && p != nil: // results do not go through a bar
			p.done()
			p = nil
		case now.Verified == nil && p == nil:
			p = c.progressFor("all shares", false)
		}
		if now.Verified == nil {
			p.update(now)
		}
		for _, res := range now.Verified {
			if failedToLook(res) {
				failed++
			}
			c.sayVerified(res)
		}
	})
	if p != nil {
		p.done()
	}
	if err != nil {
		return cannot("verify", "", err)
	}
	if sum.Unfinished > 0 && !c.json {
		c.note("%s passed over: each chunk is checked as it arrives", count(sum.Unfinished, "unfinished download"))
	}
	if sum.Shares == 0 && sum.Unfinished == 0 {
		c.note("no shares to verify")
	}
	if sum.OK {
		return c.out.err
	}
	if sum.Bad == failed {
		return errSaid{api.Errorf(api.Internal, "%s of %d could not be looked at", count(failed, "share"), sum.Shares)}
	}
	bad := errSaid{api.Errorf(api.Damaged, "%s of %d not what they were", count(sum.Bad, "share"), sum.Shares)}
	if !c.json && sum.Shares > 1 {
		c.note("%d of %s not as shared", sum.Bad, count(sum.Shares, "share"))
	}
	c.nextStep(bad)
	return bad
}

// failedToLook tells that nothing was learned of a share: its one issue is an error of this moment, not of its files.
func failedToLook(res api.VerifyResult) bool {
	return len(res.Issues) == 1 && res.Issues[0].Code == api.Internal
}

// listedProblems of one share are told; the rest is counted.
const listedProblems = 5

// sayVerified tells the result of one share.
func (c *call) sayVerified(res api.VerifyResult) {
	switch {
	case c.json:
		c.object(res)
	case res.State != "":
		c.printf("%-8s %s  is not whole yet: each chunk is checked as it arrives\n", res.State, printable(res.Name))
	case res.OK:
		c.printf("ok       %s  %s, %s (%s hashed)\n", printable(res.Name), count(res.Files, "file"), size(res.Bytes), size(res.Checked))
	case res.Gone:
		c.printf("changed  %s  %s: was moved or deleted\n", printable(res.Name), printable(res.Path))
		c.printf("         if it was moved, `shoal mv %s NEWPATH` tells shoal where it is now; `shoal rm %[1]s` forgets it\n", quoted(res.Path))
	default:
		c.sayProblems(res)
	}
	for _, path := range res.GonePlaces {
		if !c.json {
			c.note("note: %s is whole, but no longer at %s: `shoal rm %s` forgets that path", printable(res.Name), printable(path), quoted(path))
		}
	}
}

// sayProblems tells what is wrong with one share, briefly.
func (c *call) sayProblems(res api.VerifyResult) {
	state := "changed"
	if failedToLook(res) {
		state = "failed"
	}
	c.printf("%-8s %s  %s: %s\n", state, printable(res.Name), printable(res.Path), count(res.IssueCount, "problem"))
	for _, i := range res.Issues[:min(len(res.Issues), listedProblems)] {
		path := i.Path
		if path == "" {
			path = res.Name
		}
		c.printf("         %s: %s\n", printable(path), printable(i.Reason))
	}
	if more := res.IssueCount - listedProblems; more > 0 {
		c.printf("         and %d more\n", more)
	}
}

// nextStep says what to do about shares that are not what they were.
func (c *call) nextStep(bad error) {
	if bad != nil {
		c.note("Chunks that no longer fit are not served. `shoal share` the path again to offer what is there now.")
	}
}
