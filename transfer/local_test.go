package transfer

import (
	"errors"
	"sync"
	"testing"
)

// bringJob brings the leaves that hold says by itself, once the others are here: those that lose says it gives up.
type bringJob struct {
	*memJob
	whole  *content
	hold   func(i int) bool
	lose   func(i int) bool
	err    error
	signal chan struct{}

	once      sync.Once
	came, ask []int
}

func (j *bringJob) Held(i int) bool         { return j.hold(i) }
func (j *bringJob) Signal() <-chan struct{} { return j.signal }

func (j *bringJob) Write(i int, b []byte) error {
	if err := j.memJob.Write(i, b); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for k := range j.leaves {
		if len(j.pending) > 0 || !j.hold(k) && j.data[k] == nil {
			return nil
		}
	}
	j.once.Do(j.bring)
	return nil
}

func (j *bringJob) bring() {
	for k := range j.leaves {
		switch {
		case !j.hold(k):
		case j.lose(k):
			j.ask = append(j.ask, k)
		default:
			j.data[k] = j.whole.data[k]
			j.came = append(j.came, k)
		}
	}
	j.signal <- struct{}{}
}

func (j *bringJob) News(came, ask func(first, count int)) error {
	j.mu.Lock()
	here, gone := j.came, j.ask
	j.came, j.ask = nil, nil
	j.mu.Unlock()
	for _, i := range here {
		came(i, 1)
	}
	for _, i := range gone {
		ask(i, 1)
	}
	if len(here)+len(gone) > 0 {
		return j.err
	}
	return nil
}

// TestBringer: a peer is asked for what the job does not bring, and for nothing else.
func TestBringer(t *testing.T) {
	failed := errors.New("disk full")
	even := func(i int) bool { return i%2 == 0 }
	none := func(int) bool { return false }
	tests := []struct {
		name       string
		hold, lose func(int) bool
		err        error
	}{
		{"all come", even, none, nil},
		{"some are given up", even, func(i int) bool { return i%8 == 0 }, nil},
		{"all are given up", even, even, nil},
		{"it fails", even, none, failed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			whole := newContent(1, 16, sizesOf(100, 5000)...)
			seed, p := newPeer(t, Config{}, whole), newPeer(t, Config{})
			job := &bringJob{memJob: newJob(whole.root), whole: whole, hold: tt.hold, lose: tt.lose, err: tt.err, signal: make(chan struct{}, 1)}
			stats, err := p.Fetch(testContext(t), job, offer(seed), nil)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			check(t, job.memJob, whole)
			if stats.Have != stats.Leaves || stats.Missing != 0 || stats.Duplicate != 0 {
				t.Errorf("%+v", stats)
			}
			for i := range whole.leaves {
				if fetched := !tt.hold(i) || tt.lose(i); (whole.reads[i] > 0) != fetched {
					t.Errorf("leaf %d was served %d times", i, whole.reads[i])
				}
			}
		})
	}
}
