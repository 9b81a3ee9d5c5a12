package sched

import "time"

const (
	// reaction is how much a peer must be able to send between two of our
	// reactions: late ticks, busy workers, a stop-the-world on either side.
	reaction = 250 * time.Millisecond

	// roundLimit ends a round of the window even if less than a window came.
	roundLimit = 2 * time.Second

	// leastWindow lets any peer owe one leaf, whatever its size.
	leastWindow = 64 << 10
)

// windowFor returns how many bytes to have in flight to a peer of that rate
// (B/s) and round trip: twice the bandwidth-delay product, because a rate
// measured under a window that is too small is too low, and what it sends in a
// reaction time. Peers that send MinWindow within two seconds may owe that
// much, so that the next leaf is always under way before the last is whole.
func windowFor(cfg Config, rate float64, rtt time.Duration) int64 {
	w := int64(rate * (reaction + 2*rtt).Seconds())
	w = max(w, min(cfg.MinWindow, int64(rate*2)))
	return min(max(w, leastWindow), cfg.MaxWindow)
}

// advance counts cost arrived and, once a window of it has come, sets the
// window from the rate of this round: at most twice or half what it was, which
// makes it a slow start.
func (p *peerState) advance(cfg Config, now time.Time, cost int64) {
	p.acked += cost
	elapsed := now.Sub(p.round)
	if p.acked < p.window && elapsed < roundLimit {
		return
	}
	rate := float64(p.acked) / max(elapsed.Seconds(), 1e-4)
	w := windowFor(cfg, rate, p.roundTrip(rate))
	if p.starved {
		w = max(w, p.window) // it showed what we asked for, not what it can do
	}
	p.window = min(max(w, p.window/2), p.window*2)
	p.acked, p.round, p.starved = 0, now, false
}

// roundTrip is the measured round trip or else what the first answer took
// longer than its bytes did.
func (p *peerState) roundTrip(rate float64) time.Duration {
	if p.rtt > 0 || p.delay == 0 || rate == 0 {
		return p.rtt
	}
	own := p.delay - time.Duration(float64(p.first)/rate*float64(time.Second))
	return min(max(own, 0), roundLimit)
}

// sampleRTT takes a measured round trip: lower ones at once, higher ones
// slowly, since our own requests queue before the measurement.
func (p *peerState) sampleRTT(d time.Duration) {
	switch {
	case d <= 0:
	case p.rtt == 0 || d < p.rtt:
		p.rtt = min(d, 10*time.Second)
	default:
		p.rtt += (min(d, 10*time.Second) - p.rtt) / 16
	}
}

// resume starts measuring a peer that was idle until now.
func (p *peerState) resume(now time.Time) {
	p.meter.mark, p.round, p.asked = now, now, now
	p.acked, p.starved, p.partial = 0, false, 0
}
