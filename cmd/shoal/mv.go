package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"shoal/node/api"
)

func mvVerb() verb {
	return verb{
		name: "mv", args: "OLD NEW", short: "tell shoal that you have moved shared files",
		about: `Takes note that what is shared at OLD, and below it, lies at NEW now. shoal moves no files: move or rename them first, by any means.
Files that are the same but for their path are not hashed; others are, so after a move to another disk all. If NEW is a directory that holds
OLD under its old name, that is meant. The CID stays the same. It works without a daemon too.

With --json: one object a share, as verify prints it, with "from".`,
		examples: []string{"mv ~/Pictures ~/Photos; shoal mv ~/Pictures ~/Photos", "shoal mv holiday.mp4 /mnt/films/"},
		exits:    []int{exitContent, exitDaemon},
		flags:    []cli.Flag{},
		do:       runMv,
	}
}

func runMv(ctx context.Context, c *call) (err error) {
	if err := c.want(2, 2); err != nil {
		return err
	}
	from, err := abs(c.args[0])
	if err != nil {
		return err
	}
	to, err := abs(c.args[1])
	if err != nil {
		return err
	}
	s, err := c.openHere(ctx)
	if err != nil {
		return cannot("move", "", err)
	}
	defer c.leave(s, &err)
	p := c.progressFor(c.args[0], false)
	res, err := s.Move(ctx, api.MoveRequest{From: from, To: to}, p.update)
	p.done()
	if err != nil {
		return cannot("move", c.args[0], err)
	}
	var bad error
	for _, m := range res.Shares {
		if c.sayMoved(m); !m.OK {
			bad = errSaid{api.Errorf(api.Changed, "%s is not what it was", m.Name)}
		}
	}
	c.nextStep(bad)
	if bad == nil {
		return c.out.err
	}
	return bad
}

// sayMoved tells what was found of one share at its new path.
func (c *call) sayMoved(m api.MovedShare) {
	switch {
	case c.json:
		c.object(m)
	case m.OK:
		c.printf("moved    %s  %s, %s (%s hashed): %s\n", printable(m.Name), count(m.Files, "file"), size(m.Bytes), size(m.Checked), printable(m.Path))
	default:
		c.sayProblems(m.VerifyResult)
	}
}
