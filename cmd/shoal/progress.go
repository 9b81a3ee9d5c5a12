package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"shoal/node/api"
)

// Rules for what people see:
//
//   - stdout has results and nothing else: a link, a CID, a table, or with --json objects, one a line. It can be piped.
//   - stderr has the rest: progress, notes, warnings, errors, logs.
//   - On a terminal progress is one bar that is redrawn, and gone in the end. Elsewhere it is plain lines: none for what takes
//     less than a second (or a search of less than two), then one when the state changes and about one a second while it
//     moves, none while it stands still.
//   - With --json, verbs that wait print progress as objects on stdout, if they end with an object that says "done".
//     --quiet silences progress of either kind, never warnings and errors.
//   - A wait says why: nobody has it yet, peers send nothing. An error says what could not be done, why, and the next step.
//   - Names from peers and file systems are shown with control characters escaped.
//   - Sizes are binary (KiB, MiB) with three digits, durations have two units at most. Nothing is coloured.

// progress shows how an operation goes on.
type progress interface {
	update(api.Progress)
	done() // takes bars off the screen; no update comes after it
}

// progressFor chooses how to show progress of a verb. objects says that with --json it goes to stdout.
func (c *call) progressFor(what string, objects bool) progress {
	switch {
	case c.json && objects && !c.quiet:
		return jsonProgress{c.env}
	case c.json || c.quiet:
		return &warnings{c.err}
	case drawable(c.err.base):
		return newBar(c.err, what)
	}
	return newPlain(c.err, time.Now)
}

// drawable says whether bars can be redrawn on w.
func drawable(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return false
	}
	width, height, err := term.GetSize(int(f.Fd()))
	return err == nil && width > 0 && height > 0
}

// progressEvent is a line of --json output.
type progressEvent struct {
	Event string `json:"event"`
	api.Progress
}

type jsonProgress struct{ *env }

func (j jsonProgress) update(p api.Progress) { j.object(progressEvent{"progress", p}) }
func (j jsonProgress) done()                 {}

// warnings shows warnings alone.
type warnings struct{ w io.Writer }

func (q *warnings) update(p api.Progress) { warn(q.w, p) }
func (q *warnings) done()                 {}

// warn tells what was left out, if the report is about that.
func warn(w io.Writer, p api.Progress) bool {
	if p.Warning == nil {
		return false
	}
	fmt.Fprintf(w, "warning: left out %s: %s\n", printable(p.Warning.Path), printable(p.Warning.Reason))
	return true
}

// plainProgress prints lines.
type plainProgress struct {
	w   io.Writer
	now func() time.Time

	mu   sync.Mutex
	last time.Time // when the last line was written; at first, when it began
	kind string    // state and message of that line
	line string
}

func newPlain(w io.Writer, now func() time.Time) *plainProgress {
	return &plainProgress{w: w, now: now, last: now()}
}

const (
	plainEvery = time.Second     // the least time before the first line, and between two that differ in numbers alone
	sayNobody  = 2 * time.Second // the least time before saying that nobody is found: mostly somebody is, at once
)

func (l *plainProgress) update(p api.Progress) {
	if warn(l.w, p) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	kind := string(p.State) + p.Message
	now, line := l.now(), describe(p)
	pause := plainEvery
	if l.kind == "" && p.State == api.StateSearching {
		pause = sayNobody
	}
	same := l.kind == "" || kind == l.kind
	if line == l.line || same && now.Sub(l.last) < pause {
		return
	}
	l.last, l.kind, l.line = now, kind, line
	fmt.Fprintln(l.w, line)
}

func (l *plainProgress) done() {}

// describe is a report on one line.
func describe(p api.Progress) string {
	parts := []string{string(p.State)}
	if p.Name != "" {
		parts[0] += " " + printable(p.Name)
	}
	if p.Message != "" {
		parts = append(parts, printable(p.Message))
	}
	return strings.Join(append(parts, figures(p)...), ", ")
}

// figures are the numbers of a report that are known.
func figures(p api.Progress) []string {
	var parts []string
	switch {
	case p.Total > 0:
		parts = append(parts, fmt.Sprintf("%s of %s (%s)", size(p.Bytes), size(p.Total), percent(p.Bytes, p.Total)))
	case p.Bytes > 0:
		parts = append(parts, size(p.Bytes))
	}
	if p.Files > 1 {
		parts = append(parts, count(p.Files, "file"))
	}
	if p.Rate > 0 {
		parts = append(parts, rate(p.Rate))
	}
	if p.State == api.StateFetching || p.State == api.StateStalled {
		parts = append(parts, count(p.Peers, "peer"))
	}
	if p.ETA > 0 {
		parts = append(parts, duration(max(1, math.Round(p.ETA)))+" left")
	}
	return parts
}
