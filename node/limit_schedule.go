package node

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"shoal/node/api"
)

// The limits that there are, as indices.
const (
	limitUp = iota
	limitDown
	limitPeerUp
	limitPeerDown
	limitKinds
)

// limitNames are how people write them.
var limitNames = [limitKinds]string{"up", "down", "peer-up", "peer-down"}

// rates are limits by kind, in bytes a second; nil: not set.
type rates [limitKinds]*int64

// checkLimits takes the limits that are set.
func checkLimits(l api.Limits) (r rates, err error) {
	for kind, v := range [limitKinds]int64{l.Up, l.Down, l.PeerUp, l.PeerDown} {
		if v != 0 {
			r[kind] = &v
		}
	}
	return r, r.check()
}

// check says what cannot be meant.
func (r rates) check() error {
	for kind, v := range r {
		if v != nil && *v != 0 && *v < leastRate {
			return fmt.Errorf("the limit %s cannot be %d bytes a second; the least is %d, and 0 is none", limitNames[kind], *v, leastRate)
		}
	}
	return nil
}

// schedule is rules; where several hold, the first one that names a limit sets it.
type schedule []rule

// rule holds on some days between two times of day, by the clock on the wall. Where it
// ends sooner than it begins, it goes on into the next day.
type rule struct {
	text     string
	days     [7]bool // by time.Weekday, of its beginning
	from, to int     // minutes of the day, to at most 24*60
	set      rates
}

// parseSchedule reads rules like "mon-fri 08:00-18:00 up=1MB/s down=5MB/s": days, hours
// and limits, by spaces apart and in any order. Without days it holds daily, without
// hours all day.
func parseSchedule(texts []string) (schedule, error) {
	var out schedule
	for _, text := range texts {
		r, err := parseRule(text)
		if err != nil {
			return nil, fmt.Errorf("limit schedule %q: %w", text, err)
		}
		out = append(out, r)
	}
	return out, nil
}

func parseRule(text string) (rule, error) {
	r := rule{text: strings.Join(strings.Fields(text), " "), to: -1}
	var days bool
	for _, word := range strings.Fields(text) {
		name, rate, isLimit := strings.Cut(word, "=")
		var err error
		switch {
		case isLimit:
			err = r.limit(name, rate)
		case strings.Contains(word, ":") && r.to >= 0:
			err = fmt.Errorf("%q is a second time; write a rule for each", word)
		case strings.Contains(word, ":"):
			r.from, r.to, err = parseHours(word)
		default:
			days = true
			err = r.addDays(word)
		}
		if err != nil {
			return r, err
		}
	}
	if !days && r.to < 0 {
		return r, fmt.Errorf("it says no days or hours (want e.g. mon-fri 08:00-18:00 up=1MB/s)")
	}
	if r.set == (rates{}) {
		return r, fmt.Errorf("it sets no limit (want e.g. 08:00-18:00 up=1MB/s down=5MB/s)")
	}
	if !days {
		r.days = [7]bool{true, true, true, true, true, true, true}
	}
	if r.to < 0 {
		r.to = 24 * 60
	}
	return r, nil
}

// limit reads a word like up=1MB/s.
func (r *rule) limit(name, rate string) error {
	for kind, known := range limitNames {
		if !strings.EqualFold(name, known) {
			continue
		}
		if r.set[kind] != nil {
			return fmt.Errorf("%s is set twice", known)
		}
		v, err := ParseRate(rate)
		if err != nil {
			return fmt.Errorf("%s: %w", known, err)
		}
		r.set[kind] = &v
		return nil
	}
	return fmt.Errorf("there is no limit %q; there are %s", name, strings.Join(limitNames[:], ", "))
}

// parseHours reads 08:00-18:00 as minutes of the day.
func parseHours(word string) (from, to int, err error) {
	first, last, ok := strings.Cut(word, "-")
	if !ok {
		return 0, 0, fmt.Errorf("%q is no time of day (want e.g. 08:00-18:00)", word)
	}
	if from, err = parseClock(first); err != nil {
		return 0, 0, err
	}
	if to, err = parseClock(last); err != nil {
		return 0, 0, err
	}
	if from == 24*60 {
		from = 0
	}
	if from == to {
		return 0, 0, fmt.Errorf("%q is no time at all; the whole day is 00:00-24:00", word)
	}
	return from, to, nil
}

// parseClock reads 08:00 or 8:00, up to 24:00, as minutes of the day.
func parseClock(s string) (int, error) {
	hour, minute, _ := strings.Cut(s, ":")
	h, errH := strconv.ParseUint(hour, 10, 8)
	m, errM := strconv.ParseUint(minute, 10, 8)
	t := int(h*60 + m)
	if errH != nil || errM != nil || len(hour) > 2 || len(minute) != 2 || m > 59 || t > 24*60 {
		return 0, fmt.Errorf("%q is no time of day (want e.g. 08:00, from 00:00 to 24:00)", s)
	}
	return t, nil
}

// addDays reads mon, mon-fri or sat,sun.
func (r *rule) addDays(word string) error {
	for _, part := range strings.Split(word, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, err := parseDay(first)
		if err != nil {
			return err
		}
		to := from
		if isRange {
			if to, err = parseDay(last); err != nil {
				return err
			}
		}
		for d := from; ; d = (d + 1) % 7 {
			r.days[d] = true
			if d == to {
				break
			}
		}
	}
	return nil
}

func parseDay(s string) (time.Weekday, error) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if full := strings.ToLower(d.String()); len(s) >= 3 && strings.HasPrefix(full, strings.ToLower(s)) {
			return d, nil
		}
	}
	return 0, fmt.Errorf("%q is neither days (mon-fri), hours (08:00-18:00) nor a limit (up=1MB/s)", s)
}

// holds tells whether the rule is in force at t, in t's location.
func (r *rule) holds(t time.Time) bool {
	today, minute := t.Weekday(), t.Hour()*60+t.Minute()
	if r.from < r.to {
		return r.days[today] && r.from <= minute && minute < r.to
	}
	return r.days[today] && minute >= r.from || r.days[(today+6)%7] && minute < r.to
}

// at gives, for each limit that is scheduled at t, the rule that sets it.
func (s schedule) at(t time.Time) (by [limitKinds]*rule) {
	for i := range s {
		if !s[i].holds(t) {
			continue
		}
		for kind := range by {
			if by[kind] == nil && s[i].set[kind] != nil {
				by[kind] = &s[i]
			}
		}
	}
	return by
}

// next is when a rule begins or ends after t; zero without rules. A clock that is put
// forward or back between may move it.
func (s schedule) next(t time.Time) (first time.Time) {
	year, month, day := t.Date()
	for i := range s {
		r := &s[i]
		for off := -1; off <= 7; off++ {
			if begins := time.Date(year, month, day+off, 0, 0, 0, 0, time.UTC).Weekday(); !r.days[begins] {
				continue
			}
			end := r.to
			if r.to <= r.from {
				end += 24 * 60
			}
			for _, minute := range [...]int{r.from, end} {
				edge := time.Date(year, month, day+off, 0, minute, 0, 0, t.Location())
				if edge.After(t) && (first.IsZero() || edge.Before(first)) {
					first = edge
				}
			}
		}
	}
	return first
}
