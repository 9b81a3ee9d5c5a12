package sched

import (
	"math"
	"time"
)

// climb finds how many turns at once an uplink needs. One conn seldom fills it:
// the peer's own link is slower, or the path is long. Too many share it out so
// thin that nobody has a whole leaf for long. So their number is tried out, by
// what is acknowledged in a while: doubled as long as that pays, then now and
// again a step up or down, kept if the rate says so.
type climb struct {
	n, tried int       // in force, and on trial (0: none)
	rate     float64   // B/s with n
	bytes    int64     // acknowledged in this trial
	since    time.Time // the trial's start
	least    int       // n is no less
	short    bool      // there were fewer to send than turns: says nothing
	fast     bool      // still doubling
	up       bool      // the next step goes up
	rest     time.Time // no trial before

	slow      float64   // B/s over a longer while
	flow, top float64   // B/s just now, and at its best lately
	flowAt    time.Time // up to when flow counts
}

const (
	leastTurns = 4

	mostTurns = 256

	// One turn more begins when less than slackPart of the best flows. How far back
	// each looks:
	flowMemory = 100 * time.Millisecond // what flows now, or as long as the best takes for
	flowBytes  = 512 << 10              // so many bytes
	slowMemory = 5                      // times that: what the best is taken from
	topMemory  = 20 * time.Second       // the best
	slackPart  = 0.9

	trialBytes = 8 << 20 // a trial takes as long as so many bytes, within
	trialShort = 50 * time.Millisecond
	trialLong  = 2 * time.Second
	trialRest  = 3 * time.Second
)

// restart begins to look for the number of turns anew. What flows is still known.
func (c *climb) restart(least int) {
	c.n, c.tried, c.least, c.rate, c.rest = least, 0, least, 0, time.Time{}
	c.fast, c.up = true, true
	c.since = time.Time{}
}

func (c *climb) acked(now time.Time, n int64) {
	c.bytes += n
	c.fade(now)
	m := c.memory()
	c.flow += float64(n) / m.Seconds()
	c.slow += float64(n) / (slowMemory * m).Seconds()
	c.top = max(c.top, c.slow)
}

func (c *climb) fade(now time.Time) {
	dt := now.Sub(c.flowAt)
	m := c.memory()
	c.flow *= math.Exp(-dt.Seconds() / m.Seconds())
	c.slow *= math.Exp(-dt.Seconds() / (slowMemory * m).Seconds())
	c.top *= math.Exp(-dt.Seconds() / topMemory.Seconds())
	c.flowAt = now
}

// slack reports whether less flows than could.
func (c *climb) slack(now time.Time) bool {
	c.fade(now)
	return c.flow < slackPart*c.top
}

// turns returns how many turns may be under way; want is how many could be.
func (c *climb) turns(now time.Time, want int) int {
	if c.since.IsZero() {
		c.begin(now)
	}
	n := c.n
	if c.tried != 0 {
		n = c.tried
	}
	if want <= n {
		c.short = true
	}
	d := now.Sub(c.since)
	if d < trialShort || d < trialLong && c.bytes < trialBytes {
		return n
	}
	if c.short {
		c.begin(now) // not enough demand to learn from
		return n
	}
	rate := float64(c.bytes) / d.Seconds()
	c.judge(now, rate)
	c.begin(now)
	if c.tried != 0 {
		return c.tried
	}
	return c.n
}

func (c *climb) begin(now time.Time) { c.since, c.bytes, c.short = now, 0, false }

// judge ends a trial at a rate and decides on the next.
func (c *climb) judge(now time.Time, rate float64) {
	switch {
	case c.tried == 0:
		c.rate = rate
	case c.tried > c.n:
		grew := float64(c.tried-c.n) / float64(c.n)
		if rate > c.rate*(1+grew/2) {
			c.n, c.rate = c.tried, rate
		} else {
			c.fast, c.up, c.rest = false, false, now.Add(trialRest)
		}
	default:
		if rate > c.rate*0.95 {
			c.n, c.rate = c.tried, rate
		} else {
			c.up = true
		}
		c.rest = now.Add(trialRest)
	}
	was := c.tried
	c.tried = 0
	switch {
	case c.fast:
		c.tried = min(c.n*2, mostTurns)
	case was != 0 || now.Before(c.rest):
		// measure what is in force
	case c.up:
		c.tried = min(c.n+max(1, c.n/4), mostTurns)
	case c.n > c.least:
		c.tried = max(c.n-max(1, c.n/4), c.least)
	default:
		c.up = true
	}
	if c.tried == c.n {
		c.tried = 0
	}
}

// memory is how far back flow looks: far enough that single acknowledgements do not count.
func (c *climb) memory() time.Duration {
	return min(max(flowMemory, time.Duration(flowBytes/max(c.top, 1)*float64(time.Second))), time.Second)
}
