package node

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// leastRate is the lowest limit that is taken, in bytes a second: less is a slip, a
// "5" that was to be 5 MB/s, and keeps peers waiting for so long that they give up.
const leastRate = 10_000

// rateUnits are the units a rate may have, "/s" apart. MB is a million bytes, MiB 1024
// times 1024, Mbit a million bits.
var rateUnits = []struct {
	name  string
	bytes float64
}{
	{"B", 1}, {"k", 1e3}, {"kB", 1e3}, {"KiB", 1 << 10}, {"Ki", 1 << 10}, {"kbit", 1e3 / 8},
	{"M", 1e6}, {"MB", 1e6}, {"MiB", 1 << 20}, {"Mi", 1 << 20}, {"Mbit", 1e6 / 8},
	{"G", 1e9}, {"GB", 1e9}, {"GiB", 1 << 30}, {"Gi", 1 << 30}, {"Gbit", 1e9 / 8},
}

// lifted are the words for no limit.
var lifted = []string{"off", "none", "unlimited"}

// ParseRate reads a limit, "5MB/s", "500k", "2MiB/s" or "10Mbit/s", as bytes a second.
// "off" and "0" are 0: no limit.
func ParseRate(text string) (int64, error) {
	s := strings.TrimSpace(text)
	if slices.Contains(lifted, strings.ToLower(s)) {
		return 0, nil
	}
	end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		end = len(s)
	}
	v, err := strconv.ParseFloat(s[:end], 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no rate; write one like 5MB/s, 500kB/s, 2MiB/s or 10Mbit/s, or off", text)
	}
	unit, err := unitBytes(strings.TrimSpace(s[end:]))
	if err != nil {
		return 0, fmt.Errorf("%q is no rate: %w", text, err)
	}
	v = math.Round(v * unit)
	switch {
	case v > 1e15:
		return 0, fmt.Errorf("%q is more than any network carries; off is no limit", text)
	case v != 0 && v < leastRate:
		return 0, fmt.Errorf("%q is %.0f bytes a second, too little to be meant; the least is 10kB/s", text, v)
	}
	return int64(v), nil
}

// unitBytes is the size of a unit in bytes; none is bytes.
func unitBytes(s string) (float64, error) {
	name := strings.TrimSuffix(s, "/s")
	if bits, ok := strings.CutSuffix(name, "bps"); ok {
		name = bits + "bit"
	} else if bytes, ok := strings.CutSuffix(name, "Bps"); ok {
		name = bytes + "B"
	}
	if name == "" {
		return 1, nil
	}
	if len(name) == 2 && name[1] == 'b' { // Mb: bits to some, bytes to others
		return 0, fmt.Errorf("%s can mean bits or bytes; write %sB/s or %sbit/s", name, name[:1], name[:1])
	}
	for _, u := range rateUnits {
		if strings.EqualFold(u.name, name) {
			return u.bytes, nil
		}
	}
	return 0, fmt.Errorf("there is no unit %q; there are kB, MB, GB, KiB, MiB, GiB, kbit, Mbit and Gbit, each with or without /s", s)
}

// FormatRate writes a limit so that ParseRate reads it again, in the unit that makes it
// shortest: "5MB/s", "2MiB/s", "off".
func FormatRate(n int64) string {
	if n <= 0 {
		return "off"
	}
	number, unit := "", ""
	for _, u := range rateUnits {
		if !strings.HasSuffix(u.name, "B") || float64(n) < u.bytes {
			continue
		}
		v := strconv.FormatFloat(float64(n)/u.bytes, 'f', -1, 64)
		if number == "" || len(v) <= len(number) {
			number, unit = v, u.name
		}
	}
	return number + unit + "/s"
}
