package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"shoal/node/api"
)

// TestPlainProgress plays reports at set times and expects the lines.
func TestPlainProgress(t *testing.T) {
	type report struct {
		ms int
		p  api.Progress
	}
	fetch := func(ms int, bytes int64) report {
		return report{ms, api.Progress{State: api.StateFetching, Name: "f", Bytes: bytes << 20, Total: 100 << 20, Peers: 2, Rate: 1 << 20, ETA: 9}}
	}
	wait := func(ms int) report {
		return report{ms, api.Progress{State: api.StateSearching, Message: "nobody yet"}}
	}
	for _, row := range []struct {
		name string
		in   []report
		want []string
	}{
		{"nothing for what is quick", []report{fetch(10, 1), fetch(900, 99)}, nil},
		{"one a second", []report{fetch(1000, 1), fetch(1500, 2), fetch(2100, 3)}, []string{
			"fetching f, 1.00 MiB of 100 MiB (1%), 1.00 MiB/s, 2 peers, 9s left",
			"fetching f, 3.00 MiB of 100 MiB (3%), 1.00 MiB/s, 2 peers, 9s left",
		}},
		{"none while it stands still", []report{fetch(1000, 1), fetch(5000, 1), fetch(9000, 1)}, []string{
			"fetching f, 1.00 MiB of 100 MiB (1%), 1.00 MiB/s, 2 peers, 9s left",
		}},
		{"nothing about a short search", []report{wait(200), wait(1900)}, nil},
		{"a reason to wait, then the change", []report{wait(200), wait(2000), wait(2500), fetch(2600, 1)}, []string{
			"searching, nobody yet",
			"fetching f, 1.00 MiB of 100 MiB (1%), 1.00 MiB/s, 2 peers, 9s left",
		}},
		{"warnings always", []report{{1, api.Progress{Warning: &api.Issue{Path: "a\x1b", Reason: "a device"}}}}, []string{
			`warning: left out a\x1b: a device`,
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out bytes.Buffer
			now := time.Unix(0, 0)
			l := newPlain(&out, func() time.Time { return now })
			for _, r := range row.in {
				now = time.Unix(0, 0).Add(time.Duration(r.ms) * time.Millisecond)
				l.update(r.p)
			}
			l.done()
			want := strings.Join(row.want, "\n")
			if want != "" {
				want += "\n"
			}
			if out.String() != want {
				t.Errorf("got\n%swant\n%s", out.String(), want)
			}
		})
	}
}

// TestBar draws a bar into a buffer: what it shows must be there, and warnings pass through it.
func TestBar(t *testing.T) {
	var out bytes.Buffer
	c := newConsole(&out)
	b := newBar(c, "what")
	b.update(api.Progress{State: api.StateFetching, Name: "a-very-long-file-name-that-is-cut.iso", Bytes: 1 << 20, Total: 4 << 20, Peers: 1})
	if head := b.head(); !strings.Contains(head, "fetching a-very-") || !strings.Contains(head, "…") {
		t.Errorf("head %q", head)
	}
	if tail := b.tail(); tail != " 1.00 MiB of 4.00 MiB (25%), 1 peer" {
		t.Errorf("tail %q", tail)
	}
	b.update(api.Progress{Warning: &api.Issue{Path: "p", Reason: "r"}})
	b.done()
	c.Write([]byte("after\n"))
	if !strings.Contains(out.String(), "warning: left out p: r\n") || !strings.HasSuffix(out.String(), "after\n") {
		t.Errorf("output %q", out.String())
	}
}

func TestStatusText(t *testing.T) {
	got := statusText(api.Status{
		ID: "12D3", Version: "0.1.0", Home: "/h", Network: "local", Addrs: []string{"/a", "/b"}, Uptime: 185, Memory: 50 << 20,
		Reach: api.Reach{State: api.ReachNone, Text: "not from the internet", Next: "forward a port"},
		Peers: 1, Routing: 4, Shares: 2, SharedBytes: 3 << 30, Received: 1 << 20,
		Transfers: []api.Progress{{State: api.StateFetching, Name: "x", Bytes: 1 << 20, Total: 2 << 20, Peers: 3}},
	})
	want := `peer      12D3
daemon    0.1.0, up 3m05s, 50.0 MiB of memory, home /h
network   local, 1 peer, 4 in the routing table
listen    /a
          /b
reached   not from the internet
          next: forward a port
shares    2, 3.00 GiB
traffic   in 0 B/s (1.00 MiB), out 0 B/s (0 B)
get       [==========          ] fetching x, 1.00 MiB of 2.00 MiB (50%), 3 peers
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
