package node

import (
	"time"

	"shoal/node/api"
)

// reporter passes an operation's progress on and fills in rate and ETA. It belongs
// to one goroutine at a time.
type reporter struct {
	out  func(api.Progress)
	from time.Time
	last time.Time
}

func newReporter(out func(api.Progress)) *reporter {
	if out == nil {
		out = func(api.Progress) {}
	}
	return &reporter{out: out, from: time.Now()}
}

// now passes p on as it is.
func (r *reporter) now(p api.Progress) { r.out(p) }

// rate passes p on with the average rate since the start, ten times a second at most.
func (r *reporter) rate(p api.Progress) {
	now := time.Now()
	if now.Sub(r.last) < 100*time.Millisecond {
		return
	}
	r.last = now
	if s := now.Sub(r.from).Seconds(); s > 0 {
		p.Rate = float64(p.Bytes) / s
	}
	if p.Rate > 0 && p.Total > p.Bytes {
		p.ETA = float64(p.Total-p.Bytes) / p.Rate
	}
	r.out(p)
}
