package main

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	"github.com/urfave/cli/v2"

	"shoal/node/api"
)

// env is the world outside of one run of shoal.
type env struct {
	stdin  io.Reader
	out    *sticky  // results: for people, or with --json for programs
	err    *console // progress, warnings, errors and logs
	getenv func(string) (string, bool)
	json   bool
}

// printf prints a line of the result for a person.
func (e *env) printf(format string, args ...any) { fmt.Fprintf(e.out, format, args...) }

// note tells the person something that is not the result.
func (e *env) note(format string, args ...any) { fmt.Fprintf(e.err, format+"\n", args...) }

// object prints one JSON object on a line of its own.
func (e *env) object(v any) {
	raw, err := api.Marshal(v)
	if err == nil {
		_, err = e.out.Write(append(raw, '\n'))
	}
	if err != nil && e.out.err == nil {
		e.out.err = err
	}
}

// listBuffer of a list is written at once: as it comes, a table of 10,000 rows is 120,000 writes.
const listBuffer = 64 << 10

// objects prints a list, one JSON object a line.
func objects[T any](e *env, list []T) error {
	buf := bufio.NewWriterSize(e.out, listBuffer)
	for _, v := range list {
		raw, err := api.Marshal(v)
		if err != nil {
			return err
		}
		buf.Write(raw)
		buf.WriteByte('\n')
	}
	buf.Flush()
	return e.out.err
}

// call is one verb being run.
type call struct {
	*env
	verb  verb
	flags *cli.Context
	args  []string
	home  string // absolute
	from  string // where home comes from
	set   settings
	quiet bool
}

func newCall(e *env, v verb, ctx *cli.Context) (*call, error) {
	e.json = ctx.Bool("json")
	home, from, err := homeOf(ctx.String("home"), e.getenv)
	if err != nil {
		return nil, err
	}
	c := &call{
		env: e, verb: v, flags: ctx, args: ctx.Args().Slice(),
		home: home, from: from, quiet: ctx.Bool("quiet"),
	}
	file, err := readConfig(home)
	if err != nil && v.name == "version" {
		err = nil // works in any home
	}
	if err == nil {
		c.set, err = settle(file, e.getenv, c.flagValues)
	}
	return c, err
}

// flagValues gives the values of a flag, if it was given.
func (c *call) flagValues(name string) ([]string, bool) {
	if !c.flags.IsSet(name) {
		return nil, false
	}
	if list := c.flags.StringSlice(name); list != nil {
		return list, true
	}
	return []string{c.flags.String(name)}, true
}

// want checks the number of arguments; most below 0 is any.
func (c *call) want(least, most int) error {
	switch {
	case len(c.args) < least:
		return usagef(c.verb.name, "%s needs %s", c.verb.name, c.verb.args)
	case most >= 0 && len(c.args) > most:
		return usagef(c.verb.name, "%s does not take the argument %q", c.verb.name, c.args[most])
	}
	return nil
}

// each does something for every argument. It tells each error as it comes and goes on, unless ctx has ended: the exit code
// is that of the first.
func (c *call) each(args []string, do func(arg string) error) error {
	var first error
	for _, arg := range args {
		err := do(arg)
		if err == nil {
			continue
		}
		if first == nil {
			first = err
		}
		if len(args) == 1 || exitCode(err) == exitInterrupted {
			return err
		}
		c.complain(err)
	}
	if first != nil {
		return errSaid{first}
	}
	return nil
}

// abs resolves a path of the command line: a daemon works in another directory.
func abs(path string) (string, error) {
	if path == "" {
		return "", usagef("", "a path is empty")
	}
	full, err := filepath.Abs(path)
	if err != nil {
		return "", cannot("resolve", path, err)
	}
	return full, nil
}

// sticky is a writer that remembers its first error, so that a full disk behind stdout is noticed once, at the end.
type sticky struct {
	w   io.Writer
	err error
}

func (s *sticky) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(p)
	if err != nil {
		s.err = fmt.Errorf("cannot write the output: %w", err)
	}
	return n, err
}

// console is stderr. While bars are on the screen, text goes through them, so that it appears above.
type console struct {
	mu   sync.Mutex
	base io.Writer
	over io.Writer // nil: none
}

func newConsole(w io.Writer) *console { return &console{base: w} }

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over != nil {
		if n, err := c.over.Write(p); err == nil {
			return n, nil
		} // the bars have just gone
	}
	return c.base.Write(p)
}

// divert sends text through w from now on; nil ends that.
func (c *console) divert(w io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = w
}
