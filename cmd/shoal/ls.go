package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"shoal/node/api"
)

func lsVerb() verb {
	return verb{
		name: "ls", args: "[CID|NAME|PATH]", short: "list the shares, or what is in one",
		about: `Without an argument: every share and unfinished download. With one: its files, directories and symlinks. It works
without a daemon too.`,
		examples: []string{"shoal ls", "shoal ls photos", "shoal ls --json | jq -r .link"},
		exits:    []int{exitDaemon},
		do:       runLs,
	}
}

func runLs(ctx context.Context, c *call) (err error) {
	if err := c.want(0, 1); err != nil {
		return err
	}
	s, err := c.openHere(ctx)
	if err != nil {
		return cannot("list", "", err)
	}
	defer c.leave(s, &err)
	shares, err := s.List(ctx)
	if err != nil {
		return cannot("list", "", err)
	}
	if len(c.args) == 0 {
		return c.listShares(shares)
	}
	share, err := matchArg(shares, c.args[0])
	if err != nil {
		return cannot("list", c.args[0], err)
	}
	entries, err := s.Entries(ctx, share.CID)
	if err != nil {
		return cannot("list", c.args[0], err)
	}
	return c.listEntries(share, entries)
}

// matchArg finds the share that an argument names.
func matchArg(shares []api.Share, arg string) (api.Share, error) {
	return byRef(arg, func(ref string) (api.Share, error) { return api.MatchShare(shares, ref) })
}

// openHere gives the daemon, else the store. A home that does not exist has no shares, and is not made.
func (c *call) openHere(ctx context.Context) (*session, error) {
	if c.noHome() {
		return &session{Service: nothing{}, stop: func() error { return nil }}, nil
	}
	_, s, err := c.connect(ctx, c.offline)
	return s, err
}

// byRef does something to the share that an argument names: by CID, link, name or absolute path, else by path from here.
func byRef[T any](arg string, do func(ref string) (T, error)) (T, error) {
	v, err := do(arg)
	if api.AsError(err) == nil || api.AsError(err).Code != api.NotFound {
		return v, err
	}
	if full, absErr := abs(arg); absErr == nil && full != arg {
		if v, err := do(full); api.AsError(err) == nil || api.AsError(err).Code != api.NotFound || isPath(arg) {
			return v, err
		}
	}
	return v, err
}

// isPath tells whether an argument that names no share can only be meant as a path.
func isPath(arg string) bool {
	return strings.ContainsRune(arg, filepath.Separator) && api.RefCID(arg) == strings.TrimSuffix(arg, "/")
}

// nothing is the service of a home that does not exist.
type nothing struct{ api.Service }

func (nothing) noShare(ref string) error {
	_, err := api.MatchShare(nil, ref)
	return err
}

func (nothing) List(context.Context) ([]api.Share, error) { return nil, nil }

func (n nothing) Remove(_ context.Context, ref string) (api.Share, error) {
	return api.Share{}, n.noShare(ref)
}
func (n nothing) Move(_ context.Context, req api.MoveRequest, _ func(api.Progress)) (api.MoveResult, error) {
	return api.MoveResult{}, n.noShare(req.From)
}
func (n nothing) Verify(_ context.Context, req api.VerifyRequest, _ func(api.Progress)) (api.VerifyResult, error) {
	if req.All {
		return api.VerifyResult{OK: true}, nil
	}
	return api.VerifyResult{}, n.noShare(req.Ref)
}

func (c *call) listShares(shares []api.Share) error {
	if c.json {
		return objects(c.env, shares)
	}
	if len(shares) == 0 {
		c.note("no shares yet; `shoal share PATH` adds one")
		return nil
	}
	err := c.columns("NAME\tSIZE\tFILES\tSTATE\tHAVE\tCID", func(w io.Writer) {
		for _, s := range shares {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n",
				printable(s.Name), size(s.Size), s.Files, s.State, haveOf(s.State, s.Have, s.Chunks), s.CID)
		}
	})
	c.sayPlaces(shares)
	c.sayLimits(shares)
	c.sayChanged(shares)
	return err
}

// sayPlaces tells where the shares are that lie at several places.
func (c *call) sayPlaces(shares []api.Share) {
	for _, s := range shares {
		if len(s.Places) < 2 {
			continue
		}
		c.printf("%s is at\n", printable(s.Name))
		for _, p := range s.Places {
			c.printf("  %s  %s\n", printable(p.Path), p.State)
		}
	}
}

// sayLimits tells which shares have rate limits of their own.
func (c *call) sayLimits(shares []api.Share) {
	for _, s := range shares {
		if s.Limits != nil {
			c.printf("%s is limited to %s\n", printable(s.Name), limitsInForce(api.Limits(*s.Limits)))
		}
	}
}

// sayChanged tells of the shares that are not served as they were, at most some.
func (c *call) sayChanged(shares []api.Share) {
	told := 0
	for _, s := range shares {
		waits := s.State == api.StatePaused && s.Reason != ""
		switch {
		case !waits && s.State != api.StateChanged && s.State != api.StatePartial:
			continue
		case told >= listedProblems:
		case waits:
			c.note("%s waits: %s", printable(s.Name), printable(s.Reason))
		case s.State == api.StatePartial:
			c.note("%s is partial: %s", printable(s.Name), printable(s.Reason))
		case s.Gone:
			c.note("%s was moved or deleted: `shoal mv %s NEWPATH` tells shoal where it is now", printable(s.Path), quoted(s.Path))
		default:
			c.note("%s is changed and not served as it was: %s", printable(s.Name), printable(s.Reason))
		}
		told++
	}
	if told > listedProblems {
		c.note("and %d more; `shoal ls --json` has the reason of each", told-listedProblems) // verify passes over what waits
	}
}

// haveOf is how much of a share is there. An empty one is there when it is complete.
func haveOf(state api.State, have, chunks int64) string {
	if chunks == 0 && state == api.StateComplete {
		return "100%"
	}
	return percent(have, chunks)
}

func (c *call) listEntries(share api.Share, entries []api.Entry) error {
	if c.json {
		return objects(c.env, entries)
	}
	return c.columns("PATH\tSIZE\tHAVE\tMODE", func(w io.Writer) {
		for _, e := range entries {
			path, amount, have := printable(e.Path), size(e.Size), haveOf(share.State, e.Have, e.Chunks)
			if e.Path == "" {
				path = printable(share.Name)
			}
			switch e.Kind {
			case api.KindDir:
				path += "/"
			case api.KindSymlink:
				path, amount, have = path+" -> "+printable(e.Target), "-", "-"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", path, amount, have, e.Mode)
		}
	})
}

// columns prints a table with a head.
func (c *call) columns(head string, rows func(io.Writer)) error {
	buf := bufio.NewWriterSize(c.out, listBuffer)
	w := tabwriter.NewWriter(buf, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, head)
	rows(w)
	w.Flush()
	buf.Flush()
	return c.out.err
}
