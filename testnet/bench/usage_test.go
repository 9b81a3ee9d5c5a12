package main

import "testing"

func TestParseStat(t *testing.T) {
	const stat = "1234 (a (b) c) S 1 77 1234 0 -1 4194560 100 200 0 0 150 50 25 5 20 0 8 0 100 0 0"
	pgrp, seconds, err := parseStat(stat)
	if err != nil || pgrp != 77 || seconds != 2.3 {
		t.Errorf("%d, %g s, %v", pgrp, seconds, err)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) S 1", "1 (x) S 1 y 1234 0 -1 4194560 100 200 0 0 150 50 25 5 20"} {
		if _, _, err := parseStat(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestStatusBytes(t *testing.T) {
	const status = "Name:\tshoal\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\nRssAnon:\t     512 kB\n"
	for field, want := range map[string]int64{"VmHWM": 2 << 20, "RssAnon": 512 << 10, "RssFile": 0} {
		if got := statusBytes(status, field); got != want {
			t.Errorf("%s: %d, want %d", field, got, want)
		}
	}
}

func TestSentBytes(t *testing.T) {
	const dev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       2    0    0    0     0          0         0      300       4    0    0    0     0       0          0
  eth0:12345678901234  1    0    0    0     0          0         0 98765432109876       1    0    0    0     0       0          0
`
	for name, want := range map[string]int64{"lo": 300, "eth0": 98765432109876, "eth1": -1} {
		if got := sentBytes(dev, name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	if wireSince(-1, 5) != -1 || wireSince(5, -1) != -1 || wireSince(2, 5) != 3 {
		t.Error("a difference of counters")
	}
}

func TestParseQdisc(t *testing.T) {
	got, err := parseQdisc([]byte(`[{"kind":"tbf","handle":"8001:","root":true,"bytes":3066,"packets":2,"drops":0}]`))
	if err != nil || got.Bytes != 3066 || got.payload() != 2934 {
		t.Errorf("%+v, %v", got, err)
	}
	if d := got.minus(counter{66, 1}); d != (counter{3000, 1}) {
		t.Errorf("%+v", d)
	}
	for _, bad := range []string{"", "[]", "tbf"} {
		if _, err := parseQdisc([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestSyncthingWhole(t *testing.T) {
	for name, row := range map[string]struct {
		s    syncthingStatus
		want bool
	}{
		"it scans":            {syncthingStatus{"scanning", 10, 0}, false},
		"it knows of nothing": {syncthingStatus{"idle", 0, 0}, false},
		"it needs one":        {syncthingStatus{"idle", 10, 1}, false},
		"it is whole":         {syncthingStatus{"idle", 10, 0}, true},
	} {
		if got := row.s.whole(10); got != row.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestTrackerTellsTheProxy(t *testing.T) {
	if p := viaPeer("10.1.2.254:4000"); p.ip != "10.1.2.254" || p.port != 4000 {
		t.Errorf("%+v", p)
	}
}
