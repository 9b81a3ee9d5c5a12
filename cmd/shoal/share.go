package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"shoal/node/api"
)

func shareVerb() verb {
	return verb{
		name: "share", args: "PATH…", short: "offer files and directories, and print their links",
		about: `Indexes each PATH where it is, copying nothing, and prints one link a path. Who has the link can fetch it while this node or anyone who
has fetched it is reachable. Without a running daemon it goes on serving until Ctrl-C.

One path is one share: sharing a path again replaces what was shared there, says what has changed, and reads only files whose size, times
or inode changed. The version before is served for another day to those who ask for it, as far as its files are still there; it is not
listed or announced. The same content at a second path is a second place of the same share: it is served from any place where it is
right, and a new --name is taken. It replaces a place where nothing is any more, unless its disk is not mounted.

Hidden files are shared too; it says how many there are, and which look like passwords or private keys. --exclude leaves names out, as
lines of a .gitignore file do; so does a file .shoalignore in any directory, which must be a file that can be read. What --exclude and
--no-hidden left out of a path stays out when it is shared again, also with more of them, by another name, or as a part of what lies
above or below it; it says so. It also says which PATTERN fits no name, and leaves out nothing. --no-exclude forgets that, and leaves out only what is given with it. The home of a shoal node is always left out, and so is
what is mounted below PATH and holds no files, as /proc. What cannot be read or shared is left
out too; then it lists that and ends with 1, unless --skip-unreadable says that this is fine.

With --wait it comes back once enough other peers know that this node has it, so that anyone in the network finds it by its CID; if that
does not happen within 30 seconds (5 where there is no other peer), it says why and ends with 3. The path stays shared and announced.

The --limit flags limit what is swapped of this share, as long as it lasts or until it is shared with others (off is none).

With --json: {"cid","name","size","files","chunks","link","seconds"}, and with --wait "findable": {"ok","holders","needed","seconds","reason"}.`,
		examples: []string{"shoal share holiday.mp4", "shoal share --name photos ~/Pictures/2026", "shoal share --preserve --no-hidden src"},
		exits:    []int{exitNobody, exitContent, exitDestination, exitDaemon},
		flags: []cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "call it `NAME` instead of the path's last part"},
			&cli.BoolFlag{Name: "no-hidden", Usage: "leave out names inside a directory that start with a dot"},
			excludeFlag(),
			&cli.BoolFlag{Name: "no-exclude", Usage: "forget what was left out of this path before"},
			&cli.BoolFlag{Name: "preserve", Usage: "record modes and modification times (this changes the CID)"},
			skipFlag(),
			&cli.BoolFlag{Name: "wait", Usage: "wait until others can find it"},
			&cli.BoolFlag{Name: "exit", Usage: "without a daemon, stop once indexed; a daemon started later serves it"},
		},
		ownNode: true, transfers: true,
		do: runShare,
	}
}

func runShare(ctx context.Context, c *call) (err error) {
	if err := c.want(1, -1); err != nil {
		return err
	}
	if c.flags.String("name") != "" && len(c.args) > 1 {
		return usagef("share", "--name goes with one path, not %d", len(c.args))
	}
	if c.flags.IsSet("name") && c.flags.String("name") == "" {
		return usagef("share", "--name is empty")
	}
	if c.flags.Bool("wait") && c.flags.Bool("exit") {
		return usagef("share", "--wait and --exit exclude each other: who has gone is not found")
	}
	open := c.network
	if c.flags.Bool("exit") {
		open = c.offline
	}
	work, s, err := c.connect(ctx, open)
	if err != nil {
		return cannot("share", "", err)
	}
	defer c.leave(s, &err)
	var shared int
	err = c.each(c.args, func(path string) error {
		done, err := c.shareOne(work, s, path)
		if done {
			shared++
		}
		return err
	})
	if s.lent && shared > 0 {
		c.note("served only while the other shoal of this home runs (`shoal daemon` would serve in the background)")
	}
	if !s.own || c.flags.Bool("exit") || shared == 0 || ctx.Err() != nil {
		return err
	}
	if said := (errSaid{}); err != nil && !errors.As(err, &said) {
		c.complain(err)
		err = errSaid{err}
	}
	c.note("serving until Ctrl-C (`shoal daemon` would serve in the background)")
	<-work.Done()
	if ctx.Err() != nil {
		return err // the person has had enough; that is how serving ends
	}
	return context.Cause(work)
}

// shareOne shares one path and prints its link. done says that it is shared, whatever else is wrong.
func (c *call) shareOne(ctx context.Context, s api.Service, path string) (done bool, err error) {
	full, err := abs(path)
	if err != nil {
		return false, err
	}
	limits, err := c.transferLimits()
	if err != nil {
		return false, err
	}
	p := c.progressFor(path, false)
	res, err := s.Share(ctx, api.ShareRequest{
		Limits: limits,
		Path:   full, Name: c.flags.String("name"),
		NoHidden: c.flags.Bool("no-hidden"), Exclude: c.flags.StringSlice("exclude"), ForgetExclude: c.flags.Bool("no-exclude"), Preserve: c.flags.Bool("preserve"), Wait: c.flags.Bool("wait"),
	}, p.update)
	p.done()
	if err != nil {
		return false, cannot("share", path, because(ctx, err))
	}
	if c.json {
		c.object(res)
		return true, c.shared(path, res)
	}
	if !c.quiet {
		c.note("%s: %s, %s, indexed in %s", printable(res.Name), count(res.Files, "file"), size(res.Size), duration(res.Seconds))
	}
	c.sayChanges(res)
	c.sayGone(res)
	c.sayIncluded(res)
	c.printf("%s\n", res.Link)
	return true, c.shared(path, res)
}

// shared tells what is wrong with a share that was made.
func (c *call) shared(path string, res api.ShareResult) error {
	if err := c.findable(path, res); err != nil {
		return err
	}
	return c.incomplete("share", path, res.SkippedCount, res.Skipped)
}

// sayIncluded tells what a share includes that its owner may not know of, and what is left out by request.
func (c *call) sayIncluded(res api.ShareResult) {
	if given := res.Exclude[len(res.KeptExclude):]; len(given) > 0 && !c.quiet {
		c.note("left out by request: %s", printable(strings.Join(given, "  ")))
	}
	if len(res.KeptExclude) > 0 && !c.quiet {
		c.note("left out as by an earlier request: %s (--no-exclude forgets that)", printable(strings.Join(res.KeptExclude, "  ")))
	}
	c.sayUnmatched(res.Unmatched)
	if res.Hidden > 0 && !c.quiet {
		c.note("note: includes %s", count(res.Hidden, "hidden file"))
	}
	if res.SecretCount > 0 {
		first := res.Secrets[:min(len(res.Secrets), mostNamed)]
		c.note("warning: includes %s that may hold passwords or keys: %s%s", count(res.SecretCount, "file"), printable(strings.Join(first, ", ")), more(res.SecretCount, len(first)))
		c.note("  Who has the link can read them. `shoal rm` stops sharing; --exclude PATTERN leaves out names inside a directory.")
	}
}

// sayUnmatched warns of patterns that left out nothing: what they were for is shared.
func (c *call) sayUnmatched(patterns []string) {
	if len(patterns) == 0 {
		return
	}
	for _, p := range patterns[:min(len(patterns), mostNamed)] {
		c.note("warning: no name fits the pattern %s: it leaves out nothing", printable(p))
	}
	if len(patterns) > mostNamed {
		c.note("warning: nor do names fit%s", more(int64(len(patterns)), mostNamed))
	}
	c.note("  Patterns are those of a .gitignore file in what is shared: *.tmp fits names at any depth, build/ only directories, /notes only what is at the top.")
}

// mostNamed paths are named in a line.
const mostNamed = 5

// more says how many are not named.
func more(all int64, named int) string {
	if all <= int64(named) {
		return ""
	}
	return fmt.Sprintf(" and %d more", all-int64(named))
}

// incomplete is an error where something could not be read or shared, unless the user said that this is fine.
func (c *call) incomplete(do, path string, all int64, listed []api.Issue) error {
	if all == 0 || c.flags.Bool("skip-unreadable") {
		return nil
	}
	first := listed[:min(len(listed), mostNamed)]
	if !c.json {
		for _, issue := range first {
			c.note("left out: %s: %s", printable(issue.Path), printable(reason(issue.Reason, issue.Path)))
		}
		if len(first) < int(all) {
			c.note("left out:%s", more(all, len(first)))
		}
	}
	return cannot(do, "all of "+path, api.Errorf(api.Denied, "%s could not be read or shared and left out; the rest is done", count(all, "path")).
		WithHint("--skip-unreadable makes this no error; --exclude PATTERN leaves names out."))
}

func excludeFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "exclude", Usage: "leave out names inside a directory that fit `PATTERN`, like *.tmp or /build/; repeatable"}
}

func skipFlag() cli.Flag {
	return &cli.BoolFlag{Name: "skip-unreadable", Usage: "leaving out what cannot be read or shared is no error"}
}

// sayGone tells which paths of the same content are forgotten, since nothing is there any more.
func (c *call) sayGone(res api.ShareResult) {
	for _, path := range res.Gone {
		if !c.quiet {
			c.note("it replaces %s, where nothing is any more", printable(path))
		}
	}
}

// sayChanges tells what sharing a path again found.
func (c *call) sayChanges(res api.ShareResult) {
	if ch := res.Changes; ch != nil && !c.quiet {
		c.note("since it was shared last: %s new, %d changed, %d gone, %d unchanged", count(ch.New, "file"), ch.Changed, ch.Gone, ch.Unchanged)
		for _, file := range ch.IgnoreGone {
			c.note("warning: %s was removed: what it left out is shared now", printable(file))
		}
	}
}

// findable tells whether others can find what was shared, if that was asked for.
func (c *call) findable(path string, res api.ShareResult) error {
	f := res.Findable
	switch {
	case c.out.err != nil || f == nil:
		return c.out.err
	case !f.OK:
		return cannot("announce", path, api.Errorf(api.Unavailable, "it is shared, but others cannot find it yet: %s", f.Reason).
			WithHint("Its link works for who can reach this node; --bootstrap ADDRESS joins a network through a peer in it."))
	case !c.quiet:
		c.note("others can find it: the record is with at least %s, after %s", count(f.Holders, "peer"), duration(f.Seconds))
	}
	return nil
}
