package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"shoal/node/api"
)

func catVerb() verb {
	return verb{
		name: "cat", args: "LINK|CID[/PATH]|NAME[/PATH]|PATH", short: "write a file to stdout while it is fetched",
		about: `Writes one file in order while it comes from everyone who has it. Each byte is checked before it is written. PATH is that of a shared
file, or of one in a shared directory. Nothing is kept: what is here
already is read from here, the rest is fetched a little ahead of whoever reads stdout, no faster than that. Ending the reader, as head does, ends
the fetch. With a running daemon the --limit flags limit this transfer while it runs.`,
		examples: []string{
			"shoal cat bafybei…/film.mkv | mpv -",
			"shoal cat --range 0-1023 'ipfs://bafybei…?filename=disk.img' | file -",
			"shoal cat --range -1000000 photos/log.txt | tail -3",
		},
		exits: []int{exitNobody, exitContent, exitDaemon},
		flags: []cli.Flag{
			&cli.StringFlag{Name: "range", Usage: "only the bytes `A-B` (from 0, both included), A- (to the end) or -N (the last N)"},
			&cli.DurationFlag{Name: "timeout", Usage: "give up when nothing has come for `D`, like 30s or 2m"},
		},
		ownNode: true, transfers: true,
		do: runCat,
	}
}

func runCat(ctx context.Context, c *call) error {
	req := api.CatRequest{Range: c.flags.String("range")}
	if err := c.want(1, 1); err != nil {
		return err
	}
	req.Link = c.args[0]
	var err error
	if req.Limits, err = c.transferLimits(); err != nil {
		return err
	}
	limit := c.flags.Duration("timeout")
	switch _, err := api.ParseRange(req.Range); {
	case err != nil:
		return err
	case req.Range == "" && c.flags.IsSet("range"):
		return usagef("cat", "--range is empty")
	case limit < 0 || limit == 0 && c.flags.IsSet("timeout"):
		return usagef("cat", "--timeout %s is not a time to wait", limit)
	case c.json:
		return usagef("cat", "cat writes the file to stdout, so --json has no place there")
	}
	signal.Ignore(syscall.SIGPIPE) // the write fails instead, and we end in order
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	out := &paced{w: c.out, limit: limit, late: stop}
	out.start()
	defer out.stop()
	err = c.cat(ctx, req, out)
	if errors.Is(c.out.err, syscall.EPIPE) {
		c.out.err = nil // whoever reads has had enough
		return nil
	}
	if c.out.err != nil {
		return c.out.err
	}
	if errors.Is(err, context.Canceled) && out.over() {
		return c.catLate(brief(req.Link), out)
	}
	return err
}

// cat writes a link's bytes from the running daemon or a node of our own.
func (c *call) cat(ctx context.Context, req api.CatRequest, out *paced) (err error) {
	work, s, err := c.connect(ctx, c.network)
	if err != nil {
		return cannot("read", brief(req.Link), err)
	}
	defer c.leave(s, &err)
	p := c.catProgress(brief(req.Link))
	what := brief(req.Link)
	read := func() error {
		_, err := s.Cat(work, req, out, func(now api.Progress) {
			out.note(now)
			p.update(now)
		})
		return err
	}
	err = read()
	if full, ok := fileAt(req.Link); ok && err != nil && (api.AsError(err).Code == api.Invalid || api.AsError(err).Code == api.NotFound) && !named(work, s, req.Link) {
		req.Link = full // then it is meant as a path
		err = read()
	}
	p.done()
	if err != nil {
		return cannot("read", what, because(work, err))
	}
	return nil
}

// named tells whether arg begins with the name of a share: then it means nothing else.
func named(ctx context.Context, s api.Service, arg string) bool {
	name, _, _ := strings.Cut(arg, "/")
	_, err := s.Entries(ctx, name)
	return name != "" && err == nil
}

// fileAt is the absolute path of what arg names in the file system, where it was not given so.
func fileAt(arg string) (string, bool) {
	full, err := abs(arg)
	if err != nil || full == arg {
		return "", false
	}
	_, err = os.Lstat(full)
	return full, err == nil
}

// catProgress shows progress, but where the file itself is shown only what it waits for.
func (c *call) catProgress(what string) progress {
	f, ok := c.out.w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || c.quiet {
		return c.progressFor(what, false)
	}
	return untilFirst{newPlain(c.err, time.Now)}
}

// untilFirst passes reports on until bytes come.
type untilFirst struct{ progress }

func (u untilFirst) update(p api.Progress) {
	if p.Bytes == 0 {
		u.progress.update(p)
	}
}

// catLate says that --timeout ran out.
func (c *call) catLate(what string, out *paced) error {
	limit := duration(out.limit.Round(time.Millisecond).Seconds())
	if last := out.noted(); last.Cause != nil && out.n == 0 {
		return late("read", what, limit, last, "")
	}
	if out.n == 0 {
		return api.Errorf(api.Unavailable, "cannot read %s: nobody who has it was reached within %s", what, limit).
			WithHint("Check that someone who has it is online and in the same network (`shoal find`, `shoal network`), then run the same command again.")
	}
	return api.Errorf(api.Timeout, "cannot read %s: nothing came for %s, after %s", what, limit, size(out.n))
}

// paced passes bytes on and calls late when none have come for limit; while w takes its time, that does not count.
type paced struct {
	w     io.Writer
	limit time.Duration // 0: none
	late  func()

	mu    sync.Mutex
	timer *time.Timer
	ended bool
	n     int64
	last  api.Progress
}

// note keeps a report, for what is said when it gets late.
func (p *paced) note(now api.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = now
}

func (p *paced) noted() api.Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func (p *paced) start() {
	if p.limit > 0 {
		p.timer = time.AfterFunc(p.limit, func() {
			p.mu.Lock()
			p.ended = true
			p.mu.Unlock()
			p.late()
		})
	}
}

func (p *paced) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

// over says whether the time ran out.
func (p *paced) over() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

func (p *paced) Write(b []byte) (int, error) {
	p.stop()
	n, err := p.w.Write(b)
	p.n += int64(n)
	if p.timer != nil && !p.over() {
		p.timer.Reset(p.limit)
	}
	return n, err
}
