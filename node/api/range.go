package api

import (
	"strconv"
	"strings"
)

// Range is a part of a file in HTTP's terms (RFC 9110 section 14.1.2): from byte First to byte Last, both included and
// counted from 0. Last -1 is the end of the file. First -1 makes Last the number of bytes at the end.
type Range struct{ First, Last int64 }

// wholeFile is the range "".
var wholeFile = Range{0, -1}

// ParseRange reads "first-last", "first-", "-n" or "", which is everything. Code: invalid.
func ParseRange(s string) (Range, error) {
	if s == "" {
		return wholeFile, nil
	}
	first, last, ok := strings.Cut(s, "-")
	r := Range{-1, -1}
	for _, part := range []struct {
		text string
		to   *int64
	}{{first, &r.First}, {last, &r.Last}} {
		if part.text == "" {
			continue
		}
		n, err := strconv.ParseUint(part.text, 10, 63)
		if err != nil {
			ok = false
		}
		*part.to = int64(n)
	}
	if !ok || first == "" && last == "" {
		return r, Errorf(Invalid, "%q is not a range of bytes", s).
			WithHint("It looks like 0-499 (both included), 500- or -500 for the last 500.")
	}
	switch {
	case r.First < 0 && r.Last == 0:
		return r, Errorf(Invalid, "the range %s is empty", s)
	case r.First > r.Last && r.Last >= 0:
		return r, Errorf(Invalid, "the range %s ends before it begins", s)
	}
	return r, nil
}

// Of gives the first byte and the number of bytes of the range in a file of that size. What is behind the end does not count;
// a range that begins there is an error with code invalid, unless it is the whole file (also written "0-").
func (r Range) Of(size int64) (first, count int64, err error) {
	switch {
	case r == wholeFile:
		return 0, size, nil
	case r.First < 0:
		count = min(r.Last, size)
		first = size - count
	default:
		first, count = r.First, max(0, size-r.First)
		if r.Last >= 0 {
			count = min(count-1, r.Last-r.First) + 1
		}
	}
	if count == 0 {
		return 0, 0, Errorf(Invalid, "the range begins at byte %d of a file of %d bytes", first, size)
	}
	return first, count, nil
}
