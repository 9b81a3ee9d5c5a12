package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"shoal/node"
	"shoal/node/api"
)

// defaultNetwork is joined unless a setting says otherwise.
const defaultNetwork = "lan"

func checkNetwork(v string) error   { return node.Config{Network: v}.Check() }
func checkListen(v string) error    { return node.Config{Listen: []string{v}}.Check() }
func checkBootstrap(v string) error { return node.Config{Bootstrap: []string{v}}.Check() }

// nodeConfig sets up a node from the settings.
func (c *call) nodeConfig() node.Config {
	c.tameLibraries()
	return node.Config{
		Transient: c.verb.name != "daemon",
		Home:      c.home, Network: c.set.one("network"),
		Listen: c.set.list("listen"), Bootstrap: c.set.list("bootstrap"),
		Reach:  c.set.reach(),
		Limits: c.set.limits(), LimitSchedule: c.set.list("limit_schedule"),
		APISocket: true, Logger: c.logger(),
	}
}

// session is a service to work on, and how to leave it.
type session struct {
	api.Service
	own  bool // a node of our own, which serves nobody once we leave
	lent bool // the node of another verb, which may end before we do
	stop func() error
}

// startWait is how long a verb waits for a daemon that has taken the home's lock and does not answer yet (or any more).
const startWait = 5 * time.Second

// daemon gives the running daemon's service, or an error with code no_daemon.
func (c *call) daemon(ctx context.Context) (*session, error) {
	client := api.NewClient(c.home)
	v, err := client.Version(ctx)
	if err != nil {
		return nil, err
	}
	if c.verb.ownNode {
		for _, f := range nodeFlags() {
			name := f.Names()[0]
			switch {
			case !c.flags.IsSet(name):
			case c.verb.transfers && name == "limit-schedule":
				return nil, usagef(c.verb.name, "a daemon runs for %s, and --limit-schedule is for all that it swaps: set it with `shoal config set limit_schedule`. "+
					"--limit-up and --limit-down limit this transfer", c.home)
			case c.verb.transfers && strings.HasPrefix(name, "limit-"): // the request says it
			case strings.HasPrefix(name, "limit-"):
				c.note("note: a daemon runs for %s, so --%s has no effect; `shoal limit` sets its limits", c.home, name)
			default:
				c.note("note: a daemon runs for %s, so --%s has no effect", c.home, name)
			}
		}
	}
	return &session{Service: client, lent: v.Transient, stop: func() error { return nil }}, nil
}

// connect gives the running daemon's service, else one that open makes in this process. The context ends when that
// one fails.
func (c *call) connect(ctx context.Context, open func(context.Context) (context.Context, *session, error)) (context.Context, *session, error) {
	deadline := time.Now().Add(startWait)
	for {
		s, err := c.daemon(ctx)
		if err == nil {
			return ctx, s, nil
		}
		if api.AsError(err).Code != api.NoDaemon {
			return ctx, nil, err
		}
		opened, s, err := open(ctx)
		if err == nil {
			return opened, s, nil
		}
		if api.AsError(err).Code != api.Locked || time.Now().After(deadline) {
			return ctx, nil, err
		}
		select {
		case <-ctx.Done():
			return ctx, nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// network is for connect: a node that finds, fetches and serves until the session stops. It has an API socket, so that
// other verbs reach it meanwhile.
func (c *call) network(ctx context.Context) (context.Context, *session, error) {
	n, err := node.Open(ctx, c.nodeConfig())
	if err != nil {
		return ctx, nil, err
	}
	// The node outlives ctx, so that an interrupted operation can still be ended in order.
	running, halt := context.WithCancel(context.WithoutCancel(ctx))
	ctx, fail := context.WithCancelCause(ctx)
	ran := make(chan error, 1)
	go func() {
		err := n.Run(running)
		if err != nil {
			fail(err)
		}
		ran <- err
	}()
	stop := func() error {
		halt()
		err := <-ran
		fail(nil)
		return errors.Join(err, n.Close())
	}
	select {
	case <-n.Ready():
		return ctx, &session{Service: n, own: true, stop: stop}, nil
	case <-ctx.Done():
		err := stop() // tells why, if the node failed
		if err == nil {
			err = ctx.Err()
		}
		return ctx, nil, err
	}
}

// leave ends a session when its verb returns. An error of the verb says more than one of stopping.
func (c *call) leave(s *session, err *error) {
	if stopErr := s.stop(); stopErr != nil && *err == nil {
		*err = fmt.Errorf("cannot stop in order: %w", stopErr)
	}
}

// because gives the reason for an error: where ctx ended because a node of our own failed, that failure.
func because(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || cause == nil || !errors.Is(err, context.Canceled) || errors.Is(cause, context.Canceled) {
		return err
	}
	return cause
}

// offline is for connect: the home's store without a network.
func (c *call) offline(ctx context.Context) (context.Context, *session, error) {
	cfg := c.nodeConfig()
	cfg.Offline, cfg.APISocket = true, false
	n, err := node.Open(ctx, cfg)
	if err != nil {
		return ctx, nil, err
	}
	return ctx, &session{Service: n, own: true, stop: n.Close}, nil
}

// noHome says whether the home does not exist, so that looking into it need not make one.
func (c *call) noHome() bool {
	_, err := os.Stat(c.home)
	return errors.Is(err, os.ErrNotExist)
}
