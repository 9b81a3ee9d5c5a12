package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"shoal/node"
	"shoal/node/api"
)

func main() {
	home := flag.String("home", node.DefaultHome(), "home `DIR` of the daemon")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *home, flag.Args(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		if e := api.AsError(err); e.Hint != "" {
			fmt.Fprintln(os.Stderr, e.Hint)
		}
		os.Exit(1)
	}
}

// run does one thing with the daemon of a home.
func run(ctx context.Context, home string, args []string, out io.Writer) error {
	home, err := filepath.Abs(home)
	if err != nil {
		return err
	}
	daemon := api.NewClient(home)
	switch {
	case len(args) == 1 && args[0] == "status":
		return status(ctx, daemon, out)
	case len(args) == 2 && args[0] == "share":
		return share(ctx, daemon, args[1], out)
	case len(args) == 3 && args[0] == "get":
		return get(ctx, daemon, args[1], args[2], out)
	}
	return errors.New("usage: client [-home DIR] status | share PATH | get LINK DEST")
}

func status(ctx context.Context, daemon api.Service, out io.Writer) error {
	s, err := daemon.Status(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s in network %s: %d peers, %d shares of %d bytes\n", s.ID, s.Network, s.Peers, s.Shares, s.SharedBytes)
	return err
}

// share prints a link. The daemon works in another directory, so paths have to be absolute.
func share(ctx context.Context, daemon api.Service, path string, out io.Writer) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	s, err := daemon.Share(ctx, api.ShareRequest{Path: path}, func(p api.Progress) {
		if p.Warning != nil {
			fmt.Fprintf(out, "left out %s: %s\n", p.Warning.Path, p.Warning.Reason)
		}
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, s.Link)
	return err
}

// get shows progress while it waits. Ending ctx pauses the fetch; the same request resumes it.
func get(ctx context.Context, daemon api.Service, link, dest string, out io.Writer) error {
	dest, err := filepath.Abs(dest)
	if err != nil {
		return err
	}
	got, err := daemon.Get(ctx, api.GetRequest{Link: link, Output: dest}, func(p api.Progress) {
		fmt.Fprintf(out, "%s: %d of %d bytes, %d peers %s\n", p.State, p.Bytes, p.Total, p.Peers, p.Message)
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s: %d bytes from %d peers in %.1f s\n", got.Path, got.Size, len(got.From), got.Seconds)
	return err
}
