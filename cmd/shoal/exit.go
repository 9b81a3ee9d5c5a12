package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"shoal/node/api"
)

// Exit codes. They are stable: scripts rely on them.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitNobody      = 3
	exitContent     = 4
	exitDestination = 5
	exitDaemon      = 6
	exitInterrupted = 130
)

// exits says in the help what each exit code means.
var exits = []struct {
	code    int
	meaning string
}{
	{exitOK, "done"},
	{exitFailure, "something else went wrong"},
	{exitUsage, "the command cannot be meant: unknown flag, malformed link, missing path"},
	{exitNobody, "nobody has it, --timeout ran out first, or with share --wait others cannot find it yet"},
	{exitContent, "changed or damaged content"},
	{exitDestination, "the destination exists, is full or cannot be written"},
	{exitDaemon, "no daemon runs, or another process uses the home"},
	{exitInterrupted, "interrupted"},
}

// exitOf is the one table from what went wrong to how shoal exits.
var exitOf = map[api.Code]int{
	api.Invalid:     exitUsage,
	api.Unsupported: exitUsage,
	api.NotFound:    exitUsage,
	api.Unavailable: exitNobody,
	api.Timeout:     exitNobody,
	api.Changed:     exitContent,
	api.Damaged:     exitContent,
	api.Exists:      exitDestination,
	api.NoSpace:     exitDestination,
	api.ReadOnly:    exitDestination,
	api.Denied:      exitFailure,
	api.Locked:      exitDaemon,
	api.NoDaemon:    exitDaemon,
	api.Conflict:    exitFailure,
	api.Stopped:     exitFailure,
	api.Canceled:    exitInterrupted,
	api.Internal:    exitFailure,
}

// exitCode gives the exit code for an error; nil is success.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if code, ok := exitOf[api.AsError(err).Code]; ok {
		return code
	}
	return exitFailure
}

// errSaid is returned by a verb that has told its errors already; code is the exit code they lead to.
type errSaid struct{ first error }

func (e errSaid) Error() string { return e.first.Error() }
func (e errSaid) Unwrap() error { return e.first }

// failed says what shoal could not do, to what, and why.
type failed struct {
	do, object string
	err        error
}

// cannot wraps an error of a verb; object may be empty.
func cannot(do, object string, err error) error { return &failed{do, object, err} }

func (f *failed) Error() string {
	message := api.AsError(f.err).Message
	if f.object == "" {
		return "cannot " + f.do + ": " + message
	}
	return "cannot " + f.do + " " + f.object + ": " + reason(message, f.object)
}

func (f *failed) Unwrap() error { return f.err }

// reason takes from the head of a message what only names the object again: the parts below say "open /x: " and
// "share /x: " for good reasons, but a person has just read "/x". Of CID/PATH the CID alone names it too.
func reason(message, object string) string {
	names := []string{object}
	if full, err := filepath.Abs(object); err == nil {
		names = append(names, full)
	}
	if root, _, ok := strings.Cut(object, "/"); ok && root != "" {
		names = append(names, root)
	}
	for {
		head, rest, ok := strings.Cut(message, ": ")
		_, named, _ := strings.Cut(head, " ")
		if !ok || rest == "" || !slices.Contains(names, head) && !slices.Contains(names, named) {
			return message
		}
		message = rest
	}
}

// usagef makes an error about the command line of a verb.
func usagef(verb, format string, args ...any) error {
	help := "shoal --help"
	if verb != "" {
		help = "shoal " + verb + " --help"
	}
	return api.Errorf(api.Invalid, format, args...).WithHint("See `%s`.", help)
}

// complain tells a person about an error: what could not be done and why, then the next step.
func complain(err error) string {
	var told *api.Error
	if !errors.As(err, &told) && errors.Is(err, context.Canceled) {
		return "shoal: interrupted\n"
	}
	e := api.AsError(err)
	text := "shoal: " + printable(e.Message) + "\n"
	if e.Hint != "" {
		text += "  " + printable(e.Hint) + "\n"
	}
	return text
}

// describeExits lists the given exit codes for a help text.
func describeExits(codes ...int) string {
	var b strings.Builder
	for _, x := range exits {
		for _, c := range codes {
			if c == x.code {
				fmt.Fprintf(&b, "  %3d  %s\n", x.code, x.meaning)
			}
		}
	}
	return b.String()
}
