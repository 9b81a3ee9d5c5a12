package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// size formats bytes with three significant digits: "0 B", "1.50 KiB", "12.3 MiB", "512 GiB".
func size(n int64) string {
	if n > -1024 && n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v := float64(n) / 1024
	units := []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	u := 0
	for u < len(units)-1 && (v >= 999.5 || v <= -999.5) {
		v /= 1024
		u++
	}
	return significant(v) + " " + units[u]
}

// significant formats a number below 1000 with three digits.
func significant(v float64) string {
	abs := max(v, -v)
	switch {
	case abs < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case abs < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// rate formats bytes a second.
func rate(v float64) string {
	if !(v > 0) { // NaN too
		return "0 B/s"
	}
	return size(int64(min(v, 1<<62))) + "/s"
}

// duration formats seconds coarsely, two units at most: "26ms", "1.3s", "12s", "3m05s", "2h07m", "4d06h".
func duration(seconds float64) string {
	switch {
	case !(seconds > 0):
		return "0s"
	case seconds < 0.9995:
		return fmt.Sprintf("%dms", max(1, int(seconds*1000+0.5)))
	case seconds < 9.95 && seconds != float64(int(seconds)):
		return strconv.FormatFloat(seconds, 'f', 1, 64) + "s"
	case seconds > 365*24*3600*100:
		return "centuries"
	}
	s := int64(seconds + 0.5)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd%02dh", s/(24*3600), s/3600%24)
}

// percent formats a part of a whole, rounded down, so that 100% means all.
func percent(part, whole int64) string {
	if whole <= 0 {
		return "-"
	}
	if part >= whole {
		return "100%"
	}
	return fmt.Sprintf("%d%%", min(99, int64(float64(max(part, 0))/float64(whole)*100)))
}

// count formats a number with its noun: "1 file", "12 files".
func count[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// printable makes text that may come from a peer or a file system safe for a terminal: control and format characters, which
// could move the cursor or reverse the line, are shown as escapes. Bytes that are not UTF-8 too.
func printable(s string) string {
	if strings.IndexFunc(s, unprintable) < 0 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == unicode.ReplacementChar && s[i] >= 0x80 && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unprintable(r) && r != unicode.ReplacementChar:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }

// quoted is a path as one word of a shell's command line.
func quoted(path string) string {
	plain := func(r rune) bool {
		return r == '/' || r == '.' || r == '-' || r == '_' || r == '+' || r == ',' || r == '@' || r >= 0x80 ||
			'0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	path = printable(path)
	if path != "" && strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
