package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"shoal/node/api"
	"shoal/transfer"
)

func TestParseRate(t *testing.T) {
	for _, tt := range []struct {
		text string
		want int64
		err  string // a part of it
	}{
		{"5MB/s", 5_000_000, ""},
		{"5MB", 5_000_000, ""},
		{"5 MB/s", 5_000_000, ""},
		{"500k", 500_000, ""},
		{"500kB/s", 500_000, ""},
		{"500KB/s", 500_000, ""},
		{"2MiB/s", 2 << 20, ""},
		{"2Mi", 2 << 20, ""},
		{"64KiB", 64 << 10, ""},
		{"1.5GB/s", 1_500_000_000, ""},
		{"10Mbit/s", 1_250_000, ""},
		{"10Mbps", 1_250_000, ""},
		{"10MBps", 10_000_000, ""},
		{"1Gbit", 125_000_000, ""},
		{"5000000", 5_000_000, ""},
		{"0", 0, ""},
		{"0MB/s", 0, ""},
		{"off", 0, ""},
		{"Unlimited", 0, ""},
		{"", 0, "write one like 5MB/s"},
		{"fast", 0, "write one like 5MB/s"},
		{"-5MB/s", 0, "write one like 5MB/s"},
		{"1.2.3MB", 0, "write one like 5MB/s"},
		{"NaN", 0, "write one like 5MB/s"},
		{"5Mb/s", 0, "Mb can mean bits or bytes; write MB/s or Mbit/s"},
		{"500kb", 0, "bits or bytes"},
		{"5MB/h", 0, `no unit "MB/h"`},
		{"5 apples", 0, `no unit "apples"`},
		{"5", 0, "too little to be meant"},
		{"9999", 0, "the least is 10kB/s"},
		{"1e9", 0, "no unit"},
		{"99999999GB", 0, "more than any network"},
	} {
		got, err := ParseRate(tt.text)
		if tt.err == "" && (err != nil || got != tt.want) {
			t.Errorf("%q: %d, %v; want %d", tt.text, got, err, tt.want)
		}
		if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%q: %d, %v; want an error with %q", tt.text, got, err, tt.err)
		}
	}
}

func TestFormatRate(t *testing.T) {
	for n, want := range map[int64]string{
		0: "off", 10_000: "10kB/s", 10 << 10: "10KiB/s", 500_000: "500kB/s", 5_000_000: "5MB/s", 2 << 20: "2MiB/s",
		1_250_000: "1.25MB/s", 1_234_567: "1234567B/s", 1 << 30: "1GiB/s", 125_000_000: "125MB/s",
	} {
		got := FormatRate(n)
		back, err := ParseRate(got)
		if got != want || err != nil || back != n {
			t.Errorf("%d: %q, read as %d, %v; want %q", n, got, back, err, want)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"5MB/s", "10Mbit", "off", "1.5 GiB/s", "5Mb", "0", "9e9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseRate(s)
		if err != nil {
			return
		}
		if n != 0 && n < leastRate {
			t.Fatalf("%q is %d", s, n)
		}
		if again, err := ParseRate(FormatRate(n)); err != nil || again != n {
			t.Fatalf("%q is %d, written as %q, read as %d, %v", s, n, FormatRate(n), again, err)
		}
	})
}

func TestParseSchedule(t *testing.T) {
	for _, tt := range []struct{ text, err string }{
		{"08:00-18:00 up=1MB/s down=5MB/s", ""},
		{"mon-fri 22:00-06:00 up=off", ""},
		{"sat,sun peer-up=500k", ""},
		{"Saturday sun 8:00-24:00 peer-down=1Mbit/s", ""},
		{"down=1MB/s fri-mon", ""},
		{"", "it says no days or hours"},
		{"up=1MB/s", "it says no days or hours"},
		{"mon-fri 08:00-18:00", "it sets no limit"},
		{"08:00 up=1MB/s", `"08:00" is no time of day (want e.g. 08:00-18:00)`},
		{"08:00-25:00 up=1MB/s", `"25:00" is no time of day`},
		{"08:00-24:01 up=1MB/s", `"24:01" is no time of day`},
		{"08:60-09:00 up=1MB/s", `"08:60" is no time of day`},
		{"08:5-09:00 up=1MB/s", `"08:5" is no time of day`},
		{"+8:00-09:00 up=1MB/s", `"+8:00" is no time of day`},
		{"08:00-08:00 up=1MB/s", "the whole day is 00:00-24:00"},
		{"24:00-00:00 up=1MB/s", "the whole day is 00:00-24:00"},
		{"08:00-09:00 10:00-11:00 up=1MB/s", "write a rule for each"},
		{"08:00-09:00 up=1MB/s up=2MB/s", "up is set twice"},
		{"08:00-09:00 upp=1MB/s", `there is no limit "upp"`},
		{"08:00-09:00 up=5", "up: \"5\" is 5 bytes a second"},
		{"today 08:00-09:00 up=1MB/s", `"today" is neither days`},
		{"mon- 08:00-09:00 up=1MB/s", "is neither days"},
		{"m 08:00-09:00 up=1MB/s", "is neither days"},
	} {
		_, err := parseSchedule([]string{tt.text})
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%q: %v; want %q", tt.text, err, tt.err)
		}
	}
}

// The rules of the table below, and times of a week that begins on a Monday.
func TestScheduleAt(t *testing.T) {
	rules := []string{
		"mon-fri 08:00-18:00 up=1MB/s down=5MB/s",
		"mon-fri 17:00-20:00 up=2MB/s peer-up=1MB/s",
		"fri-sat 22:00-06:00 up=off",
		"sun down=9MB/s",
	}
	s, err := parseSchedule(rules)
	if err != nil {
		t.Fatal(err)
	}
	const off = -1
	for _, tt := range []struct {
		at   string // day of June 2026, time; the 1st is a Monday
		want [limitKinds]int64
		next string
	}{
		{"1 07:59", [4]int64{}, "1 08:00"},
		{"1 08:00", [4]int64{1, 5, 0, 0}, "1 17:00"},
		{"1 17:00", [4]int64{1, 5, 1, 0}, "1 18:00"},
		{"1 18:00", [4]int64{2, 0, 1, 0}, "1 20:00"},
		{"1 20:00", [4]int64{}, "2 08:00"},
		{"1 23:00", [4]int64{}, "2 08:00"},
		{"5 21:00", [4]int64{}, "5 22:00"},
		{"5 22:00", [4]int64{off}, "6 06:00"},
		{"6 05:59", [4]int64{off}, "6 06:00"},
		{"6 06:00", [4]int64{}, "6 22:00"},
		{"6 12:00", [4]int64{}, "6 22:00"},
		{"7 00:00", [4]int64{off, 9}, "7 06:00"},
		{"7 06:00", [4]int64{0, 9}, "8 00:00"},
		{"8 00:00", [4]int64{}, "8 08:00"},
	} {
		at, next := june(t, tt.at), june(t, tt.next)
		var got [limitKinds]int64
		for kind, r := range s.at(at) {
			if r != nil {
				if got[kind] = *r.set[kind] / 1e6; got[kind] == 0 {
					got[kind] = off
				}
			}
		}
		if got != tt.want || !s.next(at).Equal(next) {
			t.Errorf("%s: %v until %v; want %v until %v", tt.at, got, s.next(at), tt.want, next)
		}
	}
}

func june(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.ParseInLocation("2006 1 2 15:04", "2026 6 "+s, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// Whatever a schedule that parses says, nothing changes before the time that next gives.
func FuzzSchedule(f *testing.F) {
	f.Add("mon-fri 08:00-18:00 up=1MB/s down=5MB/s", int64(0))
	f.Add("22:00-06:00 up=off", int64(1_780_000_000))
	f.Add("sat,sun peer-up=500k", int64(1_790_000_000))
	f.Add("fri-mon 0:00-24:00 peer-down=500k", int64(1_790_000_000))
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		s, err := parseSchedule([]string{text})
		if err != nil {
			return
		}
		at := time.Unix(unix%(1<<33), 0).UTC()
		next := s.next(at)
		if !next.After(at) || next.Sub(at) > 8*24*time.Hour {
			t.Fatalf("after %v comes %v", at, next)
		}
		for probe := at; probe.Before(next); probe = probe.Add(next.Sub(at)/7 + 1) {
			if s[0].holds(probe) != s[0].holds(at) {
				t.Fatalf("at %v it is not as at %v, before %v", probe, at, next)
			}
		}
	})
}

// limitLog records what limits apply, and when.
type limitLog struct {
	mu   sync.Mutex
	seen []string
}

func (l *limitLog) apply(t transfer.Limits) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, fmt.Sprintf("%s up=%d down=%d", time.Now().Format("15:04"), t.Up, t.Down))
}

func TestLimitsFollowTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		clock := func(d time.Duration) string { return from.Add(d).Format("15:04") }
		rules, err := parseSchedule([]string{
			fmt.Sprintf("%s-%s up=1MB/s", clock(time.Hour), clock(3*time.Hour)),
			fmt.Sprintf("%s-%s up=off down=2MB/s", clock(2*time.Hour), clock(4*time.Hour)),
		})
		if err != nil {
			t.Fatal(err)
		}
		base, err := checkLimits(api.Limits{Up: 9_000_000})
		if err != nil {
			t.Fatal(err)
		}
		var log limitLog
		l := &limits{log: slog.New(slog.DiscardHandler), base: base, rules: rules}
		l.start(log.apply)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = l.run(ctx) })

		time.Sleep(90 * time.Minute) // a limit set by hand stays, whatever the schedule says
		down := int64(7_000_000)
		if _, err := l.set(time.Now(), api.LimitRequest{Down: &down}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour) // and is taken back
		s, err := l.set(time.Now(), api.LimitRequest{Auto: true})
		if err != nil || s.Down.Source != api.LimitSchedule || s.Up.Rate != 0 || s.Up.Rule != rules[1].text {
			t.Errorf("%+v, %v", s, err)
		}
		time.Sleep(2 * time.Hour)
		cancel()
		wg.Wait()
		want := []string{
			clock(0) + " up=9000000 down=0",
			clock(time.Hour) + " up=1000000 down=0",
			clock(90*time.Minute) + " up=1000000 down=7000000",
			clock(3*time.Hour) + " up=0 down=7000000",
			clock(210*time.Minute) + " up=0 down=2000000",
			clock(4*time.Hour) + " up=9000000 down=0",
		}
		if !slices.Equal(log.seen, want) {
			t.Errorf("applied %q\nwant    %q", log.seen, want)
		}
	})
}

// A node takes limits from its settings and by hand, and tells which are in force.
func TestNodeLimits(t *testing.T) {
	n, err := Open(t.Context(), Config{
		Home: t.TempDir(), Network: "local",
		Limits: api.Limits{Up: 5_000_000, PeerDown: 1_000_000}, LimitSchedule: []string{"00:00-24:00 down=2MB/s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	off := int64(0)
	s, err := n.SetLimits(t.Context(), api.LimitRequest{PeerDown: &off})
	if err != nil {
		t.Fatal(err)
	}
	want := api.LimitState{
		Up:       api.Limit{Rate: 5_000_000, Source: api.LimitConfig},
		Down:     api.Limit{Rate: 2_000_000, Source: api.LimitSchedule, Rule: "00:00-24:00 down=2MB/s"},
		PeerDown: api.Limit{Source: api.LimitHand},
	}
	if s.Up != want.Up || s.Down != want.Down || s.PeerUp != want.PeerUp || s.PeerDown != want.PeerDown || s.Next.IsZero() {
		t.Errorf("%+v", s)
	}
	st, err := n.Status(t.Context())
	if err != nil || st.Limits != s.Rates() {
		t.Errorf("status says %+v, %v", st.Limits, err)
	}
	low := int64(5)
	if _, err := n.SetLimits(t.Context(), api.LimitRequest{Up: &low}); api.AsError(err).Code != api.Invalid {
		t.Errorf("5 B/s: %v", err)
	}
}
