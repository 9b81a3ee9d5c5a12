package main

import (
	"math"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestSize(t *testing.T) {
	for in, want := range map[int64]string{
		0: "0 B", 1: "1 B", 1023: "1023 B", 1024: "1.00 KiB", 1536: "1.50 KiB", 10 << 10: "10.0 KiB", 100 << 10: "100 KiB",
		1023 << 10: "1.00 MiB", 1 << 20: "1.00 MiB", 12_900_000: "12.3 MiB", 512 << 20: "512 MiB", 1<<30 - 1: "1.00 GiB",
		1 << 40: "1.00 TiB", math.MaxInt64: "8.00 EiB", -1: "-1 B", -2048: "-2.00 KiB",
	} {
		if got := size(in); got != want {
			t.Errorf("size(%d) = %q; want %q", in, got, want)
		}
	}
}

func TestRate(t *testing.T) {
	for in, want := range map[float64]string{
		0: "0 B/s", -5: "0 B/s", 0.4: "0 B/s", 1500: "1.46 KiB/s", 1e8: "95.4 MiB/s", math.Inf(1): "4.00 EiB/s",
	} {
		if got := rate(in); got != want {
			t.Errorf("rate(%g) = %q; want %q", in, got, want)
		}
	}
	if got := rate(math.NaN()); got != "0 B/s" {
		t.Errorf("rate(NaN) = %q", got)
	}
}

func TestDuration(t *testing.T) {
	for in, want := range map[float64]string{
		0: "0s", -1: "0s", 1e-9: "1ms", 0.026: "26ms", 0.9994: "999ms", 0.9996: "1.0s", 1: "1s", 1.26: "1.3s", 9.94: "9.9s", 9.96: "10s", 59.4: "59s", 59.6: "1m00s", 185: "3m05s", 3599.7: "1h00m",
		7620: "2h07m", 4*86400 + 6*3600: "4d06h", math.Inf(1): "centuries",
	} {
		if got := duration(in); got != want {
			t.Errorf("duration(%g) = %q; want %q", in, got, want)
		}
	}
}

func TestPercent(t *testing.T) {
	for _, row := range []struct {
		part, whole int64
		want        string
	}{
		{0, 0, "-"}, {0, 10, "0%"}, {999, 1000, "99%"}, {1000, 1000, "100%"}, {5, 3, "100%"},
		{math.MaxInt64 - 1, math.MaxInt64, "99%"}, {-1, 3, "0%"},
	} {
		if got := percent(row.part, row.whole); got != row.want {
			t.Errorf("percent(%d, %d) = %q; want %q", row.part, row.whole, got, row.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain.txt": "plain.txt", "größe 日本": "größe 日本", "a\x1b[31mb": `a\x1b[31mb`, "two\nlines": `two\nlines`,
		"\xff\xfe": `\xff\xfe`, "exe.\u202etxt": `exe.\u202etxt`, "\uFFFD": "\uFFFD",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q; want %q", in, got, want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b]0;title\x07")
	f.Fuzz(func(t *testing.T, in string) {
		got := printable(in)
		if !utf8.ValidString(got) || strings.IndexFunc(got, func(r rune) bool { return !unicode.IsPrint(r) && r != unicode.ReplacementChar }) >= 0 {
			t.Errorf("printable(%q) = %q", in, got)
		}
	})
}

func FuzzFormat(f *testing.F) {
	f.Add(int64(1023<<10), 59.96)
	f.Fuzz(func(t *testing.T, n int64, v float64) {
		if s := size(n); len(s) > 9 && n > -1024 && !strings.HasPrefix(s, "-") {
			t.Errorf("size(%d) = %q is wide", n, s)
		}
		if d := duration(v); len(d) > 10 {
			t.Errorf("duration(%g) = %q is wide", v, d)
		}
		_, _ = rate(v), percent(n, int64(v))
	})
}

func TestShorten(t *testing.T) {
	for _, row := range []struct {
		in   string
		most int
		want string
	}{
		{"short", 9, "short"}, {"a-long-name.iso", 9, "a-lo….iso"}, {"größen", 5, "gr…en"},
	} {
		if got := shorten(row.in, row.most); got != row.want {
			t.Errorf("shorten(%q, %d) = %q; want %q", row.in, row.most, got, row.want)
		}
	}
}

func TestWrap(t *testing.T) {
	got := wrap("one two three four five\nsix\n\nseven", 9)
	if want := "one two\nthree\nfour five\nsix\n\nseven"; got != want {
		t.Errorf("%q; want %q", got, want)
	}
}
