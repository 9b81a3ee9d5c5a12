package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"shoal/node"
	"shoal/node/api"
)

// verb is one command of shoal.
type verb struct {
	name     string
	args     string   // of the usage line
	short    string   // a clause for the list of verbs
	about    string   // a paragraph or two
	examples []string // command lines
	exits    []int    // the exit codes it can end with, besides those every verb has
	flags    []cli.Flag
	ownNode  bool // takes the flags that set up a node

	transfers bool // what it begins can be limited by itself
	do        func(ctx context.Context, c *call) error
}

// everyExit are the exit codes that every verb can end with.
var everyExit = []int{exitOK, exitFailure, exitUsage, exitInterrupted}

// verbs lists all verbs in the order of the help.
func verbs() []verb {
	return []verb{
		shareVerb(), getVerb(), catVerb(), findVerb(), whyVerb(), lsVerb(), mvVerb(), rmVerb(), verifyVerb(), cidVerb(),
		daemonVerb(), statusVerb(), doctorVerb(), peersVerb(), limitVerb(), networkVerb(), idVerb(), configVerb(), versionVerb(),
	}
}

// globalFlags are taken before the verb and after it.
func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "home", Usage: "keep everything in `DIR` (SHOAL_HOME; default " + node.DefaultHome() + ")"},
		&cli.BoolFlag{Name: "json", Usage: "print JSON, one object a line"},
		&cli.StringFlag{Name: "log-level", Usage: "log `LEVEL`: debug, info, warn or error (SHOAL_LOG_LEVEL)"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "show no progress"},
	}
}

// nodeFlags set up a node: the daemon's, or the one that a verb runs where there is no daemon.
func nodeFlags() []cli.Flag {
	return slices.Concat([]cli.Flag{
		&cli.StringFlag{Name: "network", Usage: "join the network `NAME` (SHOAL_NETWORK)"},
		&cli.StringSliceFlag{Name: "listen", Usage: "listen on the multiaddr `ADDR`; repeatable (SHOAL_LISTEN)"},
		&cli.StringSliceFlag{Name: "bootstrap", Usage: "join by the peer at `ADDR`; repeatable (SHOAL_BOOTSTRAP)"},
	}, reachFlags(), limitFlags())
}

// allFlags is every flag that a verb takes.
func (v verb) allFlags() []cli.Flag {
	flags := slices.Clone(v.flags)
	if v.ownNode {
		flags = append(flags, nodeFlags()...)
	}
	return append(flags, globalFlags()...)
}

// run is shoal: it does what args say and gives the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	e := &env{stdin: stdin, out: &sticky{w: stdout}, err: newConsole(stderr), getenv: os.LookupEnv}
	e.json = slices.Contains(args, "--json")
	ctx, stop := watchSignals(context.Background())
	defer stop()
	err := dispatch(ctx, e, args)
	if err == nil {
		err = e.out.err
	}
	return e.report(err)
}

// sameSignal is how soon a second signal counts as the first one: timeout(1) and supervisors signal a process and its group.
const sameSignal = 300 * time.Millisecond

// watchSignals gives a context that the first SIGINT or SIGTERM ends. A later one ends the process at once.
func watchSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		var first time.Time
		for {
			select {
			case <-signals:
				switch {
				case first.IsZero():
					first = time.Now()
					cancel()
				case time.Since(first) > sameSignal:
					os.Exit(exitInterrupted)
				}
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}

// dispatch finds the verb and calls it.
func dispatch(ctx context.Context, e *env, args []string) error {
	all := verbs()
	early := append(append(globalFlags(), nodeFlags()...), &cli.BoolFlag{Name: "version", Aliases: []string{"v"}})
	cmd, err := arrange(args, specOf(early), func(name string) (flagSpec, error) {
		if name == "help" {
			return specOf(globalFlags()), nil
		}
		v, err := verbNamed(all, name)
		return specOf(v.allFlags()), err
	})
	switch {
	case err != nil:
		return err
	case cmd.verb == "" && slices.ContainsFunc(cmd.flags, func(f string) bool { return f == "--version" || f == "--v" }):
		cmd.verb = "version"
		cmd.flags = slices.DeleteFunc(cmd.flags, func(f string) bool { return f == "--version" || f == "--v" })
	case cmd.verb == "" && len(args) == 0:
		io.WriteString(e.err, overview(all))
		return errSaid{api.Errorf(api.Invalid, "no verb")}
	case cmd.verb == "" || cmd.verb == "help" && len(cmd.args) == 0:
		io.WriteString(e.out, overview(all))
		return nil
	case cmd.verb == "help":
		cmd.verb, cmd.args, cmd.flags = cmd.args[0], nil, []string{"--help"}
	}
	v, err := verbNamed(all, cmd.verb)
	if err != nil {
		return err
	}
	line := append([]string{"shoal", v.name}, cmd.flags...)
	return application(e, v).RunContext(ctx, append(append(line, "--"), cmd.args...))
}

// verbNamed looks a verb up by name, with a suggestion for one that is misspelt.
func verbNamed(all []verb, name string) (verb, error) {
	var names []string
	for _, v := range all {
		if v.name == name {
			return v, nil
		}
		names = append(names, v.name)
	}
	if near := api.Nearest(name, names); near != "" {
		return verb{}, usagef("", "there is no verb %q; did you mean %s?", name, near)
	}
	return verb{}, usagef("", "there is no verb %q", name)
}

// application makes the urfave/cli application of one verb. It parses flags and shows help; the rest is ours.
func application(e *env, v verb) *cli.App {
	return &cli.App{
		Name: "shoal", HideVersion: true, HideHelpCommand: true,
		Writer: e.out, ErrWriter: e.err,
		DisableSliceFlagSeparator: true, // file names have commas
		ExitErrHandler:            func(*cli.Context, error) {},
		Commands: []*cli.Command{{
			Name: v.name, Usage: v.short, Flags: v.allFlags(),
			HideHelpCommand: true, CustomHelpTemplate: helpOf(v),
			OnUsageError: func(_ *cli.Context, err error, _ bool) error { return usagef(v.name, "%s", flagProblem(err)) },
			Action: func(ctx *cli.Context) error {
				c, err := newCall(e, v, ctx)
				if err != nil {
					return err
				}
				return v.do(ctx.Context, c)
			},
		}},
	}
}

// homeOf settles the home directory: flag, environment, default.
func homeOf(flag string, getenv func(string) (string, bool)) (home, source string, err error) {
	home, source = node.DefaultHome(), "default"
	if v, ok := getenv("SHOAL_HOME"); ok && v != "" {
		home, source = v, "SHOAL_HOME"
	}
	if flag != "" {
		home, source = flag, "--home"
	}
	home, err = filepath.Abs(home)
	return home, source, err
}

// report tells what went wrong and gives the exit code.
func (e *env) report(err error) int {
	var said errSaid
	if err != nil && !errors.As(err, &said) {
		e.complain(err)
	}
	return exitCode(err)
}

// complain prints an error for a person and, with --json, for a program.
func (e *env) complain(err error) {
	io.WriteString(e.err, complain(err))
	if e.json {
		e.object(struct {
			Event string     `json:"event"`
			Error *api.Error `json:"error"`
		}{"error", api.AsError(err)})
	}
}
