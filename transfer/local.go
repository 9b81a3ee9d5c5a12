package transfer

import (
	"time"

	"shoal/transfer/sched"
)

// Bringer is a Job that gets some leaves by itself: copies of what other shares
// here hold, repeats of a leaf that is asked for once. Its methods are called from
// the goroutine that called Fetch.
type Bringer interface {
	// Held tells of a leaf, when it becomes known, that the job is about to bring
	// it: no peer is asked.
	Held(i int) bool
	// News calls came with leaves that are here now, and ask with held ones that
	// the job cannot bring. Leaves that were written may be among the former. An
	// error ends the fetch.
	News(came, ask func(first, count int)) error
	// Signal gets a token when there may be news.
	Signal() <-chan struct{}
}

// bringer is what the session holds of one: the zero value is none.
type bringer struct {
	job    Bringer
	signal <-chan struct{} // nil: never
}

func bringerOf(job Job) bringer {
	b, ok := job.(Bringer)
	if !ok {
		return bringer{}
	}
	return bringer{job: b, signal: b.Signal()}
}

func (b bringer) held(i int) bool { return b.job != nil && b.job.Held(i) }

// news takes in what the job has brought, and asks peers for what it cannot bring.
func (s *session) news(now time.Time) error {
	if s.local.job == nil {
		return nil
	}
	var ask []sched.Run
	known := s.known // of the rest grow asks
	err := s.local.job.News(
		func(first, count int) {
			for i := first; i < min(first+count, known); i++ {
				s.appeared(uint32(i))
			}
		},
		func(first, count int) { ask = append(ask, sched.Run{First: sched.Leaf(first), Count: uint32(count)}) },
	)
	s.settle(now)
	if len(ask) > 0 {
		s.handle(now, sched.Ask{Runs: ask})
	}
	return err
}
