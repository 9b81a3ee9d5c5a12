package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"shoal/node/api"
)

func getVerb() verb {
	return verb{
		name: "get", args: "LINK|CID[/PATH]", short: "fetch a file or directory from everyone who has it",
		about: `Fetches into the working directory, under the name in the link, else the one that the sharing peer gives, else the CID. It ends when everything
is there and verified. Ctrl-C pauses; the same command resumes without fetching anything twice. While nobody has it, it says so and keeps looking.

With -o, a directory that exists, or a DEST with a slash at its end, means into it, as for cp; any other DEST names the result itself.
A directory that exists is merged with: files that are right are kept and not fetched, missing ones come, and different ones are left alone and
listed (exit 5). --force replaces those, and only those: files whose names are in the share, one by one, each once the new one is whole and
verified; the new one has the owner and, unless the share records some, the permissions of the old one. A directory is never removed for a file, nor a file for a directory, no symlink inside is followed, and what is not in the share stays.

The next get of the same CID may say something else: what --select names is added to what was asked before, and with another -o, or
none, what has come moves there. A --select that asks for less than an unfinished get fetches that and ends: it then lies in the .part, with
what has come beyond it, until the rest is asked for again. Of a get that has brought no byte nothing is kept.

With a running daemon the --limit flags limit this transfer while it runs, also when the daemon goes on with it
after a restart; the daemon's own limits hold too. Of several gets of one CID the latest with such flags sets them (off is none).

With --json: progress objects, and last {"event":"done","cid","path","size","seconds","from":{"<peer id>":bytes}},
with "left_count" and "left":[{"path","code","reason"}] where names were left out.`,
		examples: []string{
			"shoal get 'ipfs://bafybei…?filename=photos'",
			"shoal get bafybei… -o ~/photos --select 2026/june",
			"shoal get --timeout 1m bafybei…/notes.txt",
		},
		exits: []int{exitNobody, exitContent, exitDestination, exitDaemon},
		flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "save as `DEST`; into it where that is a directory, or ends in a slash"},
			&cli.StringSliceFlag{Name: "select", Usage: "fetch only `PATH` inside of it; repeatable"},
			&cli.DurationFlag{Name: "timeout", Usage: "give up after `D`, like 30s or 2h; what has come stays"},
			&cli.BoolFlag{Name: "force", Usage: "replace different files that have the names of the share's, one by one; nothing else"},
			&cli.BoolFlag{Name: "rename-illegal", Usage: "give names that the disk does not take, or takes for one, others like a_b for a:b; without it they are left out"},
		},
		ownNode: true, transfers: true,
		do: runGet,
	}
}

// getDone is the last object of --json.
type getDone struct {
	Event string `json:"event"`
	api.GetResult
}

func runGet(ctx context.Context, c *call) (err error) {
	req, err := c.getRequest()
	if err != nil {
		return err
	}
	if limit := c.flags.Duration("timeout"); limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	res, err := c.fetch(ctx, req)
	for errors.Is(err, errLent) && ctx.Err() == nil {
		res, err = c.fetch(ctx, req) // goes on in another node
	}
	if err != nil {
		return err
	}
	if c.json {
		c.object(getDone{"done", res})
	} else {
		c.sayGot(res)
	}
	if c.out.err != nil {
		return c.out.err
	}
	return c.leftOut(brief(req.Link), res)
}

// leftOut lists the names of the share that are not at the destination, and is an error if there are any.
func (c *call) leftOut(what string, res api.GetResult) error {
	if res.LeftCount == 0 {
		return nil
	}
	for _, l := range res.Left {
		c.note("left out: %s %s", printable(l.Path), printable(l.Reason))
	}
	if more := res.LeftCount - int64(len(res.Left)); more > 0 {
		c.note("and %d more", more)
	}
	err := api.Errorf(api.Exists, "%s left out of %s; all else is there", count(res.LeftCount, "name"), res.Path)
	return cannot("get all of", what, err.WithHint("%s", hintLeft(res)))
}

// hintLeft is the next step for names that are not at the destination.
func hintLeft(res api.GetResult) string {
	var hints []string
	if slices.ContainsFunc(res.Left, func(l api.Issue) bool { return l.Code == api.Unsupported }) {
		hints = append(hints, "With --rename-illegal, names that the disk does not take, or takes for one, come too, changed like a_b for a:b.")
	}
	if res.Replaceable > 0 {
		hints = append(hints, fmt.Sprintf("With --force, %s of these would be replaced, and nothing else.", count(res.Replaceable, "file")))
	}
	if len(hints) == 0 {
		return "What is there is never removed: move it, or choose another destination with -o, and run the same command again."
	}
	return strings.Join(hints, " ")
}

// errLent marks a fetch cut off because it ran in the node of another verb, which ended.
var errLent = errors.New("the node of another verb ended")

// fetch gets a link from the running daemon or a node of our own.
func (c *call) fetch(ctx context.Context, req api.GetRequest) (res api.GetResult, err error) {
	work, s, err := c.connect(ctx, c.network)
	if err != nil {
		return res, c.getError(ctx, brief(req.Link), err, api.Progress{})
	}
	defer c.leave(s, &err)
	var last api.Progress
	p := c.progressFor(brief(req.Link), true)
	res, err = s.Get(work, req, func(now api.Progress) {
		last = now
		p.update(now)
	})
	p.done()
	switch {
	case err == nil:
		return res, nil
	case s.lent && api.AsError(err).Code == api.Stopped:
		return res, errLent
	}
	return res, c.getError(ctx, brief(req.Link), because(work, err), last)
}

// sayGot tells a person what has come, from how many, and prints where it is.
func (c *call) sayGot(res api.GetResult) {
	what := count(res.Files, "file") + ", " + size(res.Size)
	var got int64
	for _, bytes := range res.From {
		got += bytes
	}
	switch {
	case c.quiet:
	case got == 0:
		c.note("%s: all of it was here already", what)
	default:
		c.note("%s in %s (%s) from %s", what, duration(res.Seconds), rate(float64(got)/max(res.Seconds, 1e-3)), count(len(res.From), "peer"))
	}
	if res.Unfinished {
		rest := "is paused"
		if res.GoesOn {
			rest = "goes on"
		}
		c.note("it lies in an unfinished file, as more was asked for before; the rest %s, and get without --select brings it", rest)
	}
	for _, r := range res.Renamed {
		c.note("%s is called %s here: that name cannot be used", printable(r.From), printable(r.To))
	}
	c.printf("%s\n", printable(res.Path))
}

// brief is a link without its hints, for messages: the CID, and the path inside.
func brief(link string) string {
	link, _, _ = strings.Cut(link, "?")
	return strings.TrimPrefix(strings.TrimPrefix(link, "ipfs://"), "/ipfs/")
}

// getRequest reads the command line.
func (c *call) getRequest() (api.GetRequest, error) {
	req := api.GetRequest{Select: c.flags.StringSlice("select"), Force: c.flags.Bool("force"), RenameIllegal: c.flags.Bool("rename-illegal")}
	if err := c.want(1, 1); err != nil {
		return req, err
	}
	req.Link = c.args[0]
	if d := c.flags.Duration("timeout"); d < 0 || d == 0 && c.flags.IsSet("timeout") {
		return req, usagef("get", "--timeout %s is not a time to wait", d)
	}
	var err error
	if req.Limits, err = c.transferLimits(); err != nil {
		return req, err
	}
	if req.Dir, err = os.Getwd(); err != nil {
		return req, fmt.Errorf("cannot tell the working directory: %w", err)
	}
	if c.flags.IsSet("output") {
		if c.flags.String("output") == "-" {
			return req, usagef("get", "get writes files, not to stdout; a file called - is ./-")
		}
		req.Output, err = absOutput(c.flags.String("output"))
	}
	return req, err
}

// absOutput makes DEST absolute and keeps what says that it is a directory.
func absOutput(dest string) (string, error) {
	full, err := abs(dest)
	if err == nil && (os.IsPathSeparator(dest[len(dest)-1]) || filepath.Base(dest) == "." || filepath.Base(dest) == "..") && !os.IsPathSeparator(full[len(full)-1]) {
		full += string(filepath.Separator)
	}
	return full, err
}

// late says that --timeout ran out, and why so as far as it can be told: changed or damaged content is another failure than
// that nobody was there. kept says what became of what has come.
func late(do, what, limit string, last api.Progress, kept string) error {
	code, so := causeCodes[last.Cause.Code], "not whole after"
	switch {
	case code == api.Changed || code == api.Damaged:
	case last.State == api.StateSearching:
		code, so = api.Unavailable, "nobody who has it was reached within"
	default:
		code = api.Timeout
	}
	return api.Errorf(code, "cannot %s %s: %s %s: %s", do, what, so, limit, strings.TrimSuffix(last.Cause.What, ".")).
		WithHint("%s", strings.TrimSpace(last.Cause.Next+" "+kept))
}

// getError says how a fetch ended before its end, and that nothing is lost.
func (c *call) getError(ctx context.Context, what string, err error, last api.Progress) error {
	const resume = "What has come is kept; the same command resumes."
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		limit := duration(c.flags.Duration("timeout").Round(time.Millisecond).Seconds())
		if last.Cause != nil {
			return late("get", what, limit, last, resume)
		}
		if last.State == "" || last.State == api.StateSearching {
			return api.Errorf(api.Unavailable, "cannot get %s: nobody who has it was reached within %s", what, limit).
				WithHint("Check that someone who has it is online and in the same network (`shoal find`, `shoal network`), then run the same command again.")
		}
		return api.Errorf(api.Timeout, "cannot get %s: not whole after %s", what, limit).WithHint(resume)
	case ctx.Err() != nil:
		return api.Errorf(api.Canceled, "paused; run the same command to resume")
	}
	return cannot("get", what, err)
}
