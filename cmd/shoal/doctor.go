package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"shoal/node"
	"shoal/node/api"
)

func doctorVerb() verb {
	return verb{
		name: "doctor", short: "check the home, and mend it",
		about: `Checks what shoal keeps in its home while no daemon runs: the identity key, and that the index opens and is whole. It changes nothing and exits
with 4 if something is damaged. With --repair a damaged index is made anew from shares.jsonl in the home and from the files themselves: shares are
hashed again, and shared if they are what they were; unfinished downloads go on with what they have. Nothing is deleted: what was damaged is
kept beside it as NAME.damaged-DATE. With --json: one object.`,
		examples: []string{"shoal doctor", "shoal doctor --repair"},
		exits:    []int{exitContent, exitDestination, exitDaemon},
		flags: []cli.Flag{
			&cli.BoolFlag{Name: "repair", Usage: "make a damaged index anew"},
			&cli.BoolFlag{Name: "new-identity", Usage: "with --repair: make a new key if the old one is missing or damaged; links that name this peer then do not lead to it"},
		},
		do: runDoctor,
	}
}

func runDoctor(ctx context.Context, c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
	}
	if c.flags.Bool("new-identity") && !c.flags.Bool("repair") {
		return usagef("doctor", "--new-identity goes with --repair")
	}
	p := c.progressFor("doctor", false)
	d, err := node.Doctor(ctx, node.DoctorConfig{
		Home: c.home, Repair: c.flags.Bool("repair"), NewIdentity: c.flags.Bool("new-identity"), Progress: p.update,
	})
	p.done()
	if err != nil {
		return cannot("check", c.home, err)
	}
	if c.json {
		c.object(d)
	} else {
		c.tellDiagnosis(d)
	}
	if c.out.err != nil {
		return c.out.err
	}
	if !d.Sound || lostShares(d) > 0 {
		return errSaid{api.Errorf(api.Damaged, "the home is damaged")}
	}
	return nil
}

// lostShares counts what a repair did not bring back.
func lostShares(d node.Diagnosis) (n int) {
	for _, r := range d.Restored {
		if r.Outcome == "changed" || r.Outcome == "missing" || r.Outcome == "failed" {
			n++
		}
	}
	return n
}

// tellDiagnosis is the diagnosis for a person.
func (c *call) tellDiagnosis(d node.Diagnosis) {
	for _, r := range d.Restored {
		c.printf("%-9s %s  %s", r.Outcome, printable(r.Name), printable(r.Path))
		if r.Reason != "" {
			c.printf(": %s", printable(r.Reason))
		}
		c.printf("\n")
	}
	for _, k := range d.Kept {
		c.printf("%-9s %s\n", "kept", printable(k))
	}
	keyless, index := false, false
	for _, f := range d.Findings {
		head := "note"
		if f.Harm {
			head = "damaged"
		}
		keyless = keyless || f.What == "key"
		index = index || f.Harm && f.What != "key" && f.What != "read"
		c.printf("%-9s %s: ", head, f.What)
		if f.Object != "" {
			c.printf("%s: ", printable(f.Object))
		}
		c.printf("%s\n", printable(f.Text))
	}
	if d.Sound {
		c.printf("%-9s %s  %s, %s, %s, %s\n", "ok", printable(d.Home), count(d.Shares, "share"), count(d.Downloads, "download"),
			count(d.Files, "file"), count(d.Nodes, "node"))
		return
	}
	if keyless {
		c.note("Put the key back from a backup. If there is none, `shoal doctor --repair --new-identity` makes another: links that name this peer then do not lead to it.")
	}
	if index && !c.flags.Bool("repair") {
		c.note("`shoal doctor --repair` makes the index anew from the shared files, and keeps the damaged one.")
	}
}
