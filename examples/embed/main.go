package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"shoal/node"
	"shoal/node/api"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1)
	}
}

// run makes the directory to work in, and the file if none is named.
func run(ctx context.Context, args []string, out io.Writer) error {
	dir, err := os.MkdirTemp("", "shoal-embed")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "greeting.txt")
	if len(args) > 0 {
		file, err = filepath.Abs(args[0])
	} else {
		err = os.WriteFile(file, []byte(strings.Repeat("Hello from one shoal to another.\n", 100_000)), 0o644)
	}
	if err != nil {
		return err
	}
	return swap(ctx, dir, file, out)
}

// swap shares a file on one node and fetches it on another.
func swap(ctx context.Context, dir, file string, out io.Writer) (err error) {
	alice, err := start(ctx, filepath.Join(dir, "alice"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, alice.stop()) }()
	bob, err := start(ctx, filepath.Join(dir, "bob"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bob.stop()) }()

	// The link holds the root's CID, a name, and where alice can be dialled: bob needs nothing else to find her.
	shared, err := alice.Share(ctx, api.ShareRequest{Path: file}, nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "alice shares %d bytes in %d chunks\n%s\n", shared.Size, shared.Chunks, shared.Link)

	got, err := bob.Get(ctx, api.GetRequest{Link: shared.Link, Output: filepath.Join(dir, "copy")}, nil)
	if err != nil {
		return err
	}
	for id, bytes := range got.From {
		fmt.Fprintf(out, "bob got %d bytes from %s\n", bytes, id)
	}
	return nil
}

// peer is a node that runs.
type peer struct {
	*node.Node
	cancel context.CancelFunc
	ran    chan error
}

// start opens a node with a home of its own and runs it until stop.
func start(ctx context.Context, home string) (*peer, error) {
	n, err := node.Open(ctx, node.Config{
		Home:    home,
		Network: "local",
		Listen:  []string{"/ip4/127.0.0.1/tcp/0"},
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &peer{Node: n, cancel: cancel, ran: make(chan error, 1)}
	go func() { p.ran <- n.Run(ctx) }()
	select {
	case <-n.Ready():
		return p, nil
	case err := <-p.ran:
		cancel()
		return nil, errors.Join(err, n.Close())
	}
}

// stop ends the node and releases its home.
func (p *peer) stop() error {
	p.cancel()
	return errors.Join(<-p.ran, p.Close())
}
