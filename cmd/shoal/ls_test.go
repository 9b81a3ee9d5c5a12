package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"shoal/node/api"
)

// countWriter counts the writes that come to it.
type countWriter struct {
	bytes.Buffer
	writes int
}

func (w *countWriter) Write(p []byte) (int, error) {
	w.writes++
	return w.Buffer.Write(p)
}

// TestListIsWrittenInFewPieces counts the writes of a long list: each is a system call, and wakes who reads a pipe.
func TestListIsWrittenInFewPieces(t *testing.T) {
	const n = 2000
	shares := make([]api.Share, n)
	for i := range shares {
		shares[i] = api.Share{Name: fmt.Sprint("share ", i), State: api.StateComplete, Chunks: 1, Have: 1}
	}
	entries := make([]api.Entry, n)
	for _, json := range []bool{false, true} {
		for name, list := range map[string]func(c *call) error{
			"shares":  func(c *call) error { return c.listShares(shares) },
			"entries": func(c *call) error { return c.listEntries(api.Share{}, entries) },
		} {
			var out countWriter
			if err := list(&call{env: &env{out: &sticky{w: &out}, json: json}}); err != nil {
				t.Fatal(err)
			}
			lines := bytes.Count(out.Bytes(), []byte("\n"))
			if lines < n || lines > n+1 || out.writes > 1+out.Len()/listBuffer*2 {
				t.Errorf("%s, json %t: %d lines, %d bytes in %d writes", name, json, lines, out.Len(), out.writes)
			}
		}
	}
}

// Some of the shares that wait or have changed are told of, and the rest is counted, whatever is wrong with them.
func TestSayChanged(t *testing.T) {
	var shares []api.Share
	for i := range 2 * listedProblems {
		state := []api.State{api.StatePaused, api.StateChanged}[i%2]
		shares = append(shares, api.Share{Name: fmt.Sprint("film", i), State: state, Reason: "its disk is away"}, api.Share{State: api.StateComplete})
	}
	var out bytes.Buffer
	c := &call{env: &env{err: newConsole(&out)}}
	c.sayChanged(shares)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if strings.Contains(out.String(), "shoal verify") {
		t.Error("verify does not look at what waits")
	}
	if last := lines[len(lines)-1]; len(lines) != listedProblems+1 || !strings.Contains(last, fmt.Sprintf("and %d more; `shoal ls --json` has the reason of each", listedProblems)) {
		t.Errorf("%q", lines)
	}
}
