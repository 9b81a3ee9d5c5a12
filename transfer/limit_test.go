package transfer

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
)

// Whatever the limit and the number of those who wait, ten seconds let the right sum
// pass, and everybody gets a part of it.
func TestBucketRate(t *testing.T) {
	for _, limit := range []int64{1 << 10, 50_000, 1_000_000, 5_000_000, 1_000_000_000} {
		for _, takers := range []int{1, 8, 50} {
			t.Run(fmt.Sprintf("%d B/s, %d takers", limit, takers), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b, done := newBucket(limit), make(chan struct{})
					var sum atomic.Int64
					each := make([]int64, takers)
					var wg sync.WaitGroup
					for i := range takers {
						wg.Go(func() {
							for {
								n := min(b.piece(), 1<<20)
								if !b.take(n, done) {
									return
								}
								sum.Add(int64(n))
								each[i] += int64(n)
							}
						})
					}
					time.Sleep(10 * time.Second)
					close(done)
					wg.Wait()
					// At the least limits a piece for each is seen in the sum.
					if got, want := sum.Load(), 10*limit; got < want-want/100 || got > want+want/100+leastPiece {
						t.Errorf("%d bytes passed, not %d", got, want)
					}
					for i, n := range each {
						if fair := 10 * limit / int64(takers); fair > 10*leastPiece && (n < fair/2 || n > 2*fair) {
							t.Errorf("taker %d got %d, not about %d", i, n, fair)
						}
					}
				})
			})
		}
	}
}

// What has passed without waiting is made good for by those that wait.
func TestBucketDebit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, start := newBucket(1000), time.Now()
		b.debit(5000)
		b.take(1, nil)
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("waited %v", d)
		}
	})
}

// Who was held up catches up on it, within limits; who paused does so less.
func TestBucketCatchesUp(t *testing.T) {
	for _, tt := range []struct {
		held time.Duration
		want int // milliseconds of the limit that pass at once
	}{{0, 0}, {300 * time.Millisecond, 300}, {900 * time.Millisecond, 400}, {10 * time.Second, 100}} {
		t.Run(tt.held.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBucket(1_000_000)
				b.take(1000, nil)
				b.take(1, nil) // nothing is owed now
				time.Sleep(tt.held)
				start, got := time.Now(), -1
				for time.Since(start) == 0 {
					b.take(1000, nil)
					got++
				}
				if got < tt.want || got > tt.want+1 {
					t.Errorf("%d ms passed at once, not %d", got, tt.want)
				}
			})
		})
	}
}

func TestBucketChangesWhileTakersWait(t *testing.T) {
	for _, tt := range []struct {
		name     string
		from, to int64
		owed     int
		want     time.Duration // from the change on
	}{
		{"lifted", 1000, 0, 1_000_000, 0},
		{"raised", 1000, 1_000_000, 1_000_000, 50 * time.Millisecond},
		{"lowered", 50_000_000, 1000, 50_000_000, 50 * time.Millisecond},
		{"the same", 1000, 1000, 2000, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBucket(tt.from)
				b.debit(tt.owed)
				start := time.Now()
				var waited time.Duration
				var wg sync.WaitGroup
				wg.Go(func() {
					b.take(1, nil)
					waited = time.Since(start)
				})
				if tt.name == "the same" {
					time.Sleep(time.Second)
					start = time.Now()
				}
				synctest.Wait()
				b.set(tt.to)
				wg.Wait()
				if waited.Round(time.Millisecond) != tt.want {
					t.Errorf("waited %v, not %v", waited, tt.want)
				}
			})
		})
	}
}

func TestBucketDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, done, start := newBucket(1000), make(chan struct{}), time.Now()
		b.debit(1_000_000)
		var wg sync.WaitGroup
		for range 3 { // one waits for time, the others for their turn
			wg.Go(func() {
				if b.take(1, done) {
					t.Error("passed")
				}
			})
		}
		synctest.Wait()
		close(done)
		wg.Wait()
		if d := time.Since(start); d != 0 {
			t.Errorf("waited %v", d)
		}
	})
}

func TestLimiterForgetsPeers(t *testing.T) {
	l := newLimiter(Limits{PeerUp: 1000})
	up, down := l.join("a")
	again, _ := l.join("a")
	if up != again || !up.limited() || down.limited() {
		t.Errorf("%v, %v, %v", up, again, down)
	}
	l.set(Limits{PeerDown: 1000})
	if up.limited() || !down.limited() {
		t.Error("a change did not reach a peer that was there")
	}
	l.leave("a")
	if len(l.peers) != 1 {
		t.Error("forgotten while it had a conn")
	}
	l.leave("a")
	if len(l.peers) != 0 {
		t.Error("not forgotten")
	}
}

func TestMostPeers(t *testing.T) {
	for _, tt := range []struct {
		down int64
		want int
	}{{0, 50}, {1 << 10, 2}, {100 << 10, 6}, {50 << 20, 50}} {
		if got := newLimiter(Limits{Down: tt.down}).mostPeers(cid.Undef, 50); got != tt.want {
			t.Errorf("at %d B/s: %d, not %d", tt.down, got, tt.want)
		}
	}
}

// With each kind of limit a fetch takes no less than its time. (How exactly it is kept
// is for testnet/bench.)
func TestLimitHolds(t *testing.T) {
	t.Parallel()
	const size, limit = 3 << 20, 3 << 20
	for _, tt := range []struct {
		name        string
		seed, leech Limits
		seeds       int
		least       time.Duration
	}{
		{"up", Limits{Up: limit}, Limits{}, 1, time.Second},
		{"down", Limits{}, Limits{Down: limit}, 2, time.Second},
		{"up to each peer", Limits{PeerUp: limit}, Limits{}, 1, time.Second},
		{"down from each peer", Limits{}, Limits{PeerDown: limit}, 2, time.Second / 2},
		{"the lower of two", Limits{Up: 3 * limit, PeerUp: limit}, Limits{Down: 2 * limit}, 1, time.Second},
	} {
		for _, leaf := range []int{1 << 20, 8 << 10} {
			t.Run(fmt.Sprintf("%s, leaves of %d", tt.name, leaf), func(t *testing.T) {
				t.Parallel()
				c := newContent(60, 100, sizesOf(size/leaf, leaf)...)
				var seeds []*testPeer
				for range tt.seeds {
					seeds = append(seeds, newPeer(t, Config{Limits: tt.seed}, c))
				}
				leech, job := newPeer(t, Config{Limits: tt.leech}), newJob(c.root)
				stats := leech.get(t, job, seeds...)
				check(t, job, c)
				// What may be caught up on, and the last piece, come at once.
				if d := time.Since(stats.Started); d < tt.least/2 {
					t.Errorf("done after %v, sooner than %v", d, tt.least)
				}
			})
		}
	}
}

// A fetch that waits for limits far too low for it goes on at once when they are lifted.
func TestLimitsLiftedWhileWaiting(t *testing.T) {
	t.Parallel()
	low := Limits{Up: 2000, PeerUp: 2000, Down: 2000, PeerDown: 2000}
	c := newContent(61, 100, sizesOf(20, 1<<20)...)
	seed, leech := newPeer(t, Config{Limits: low}, c), newPeer(t, Config{Limits: low})
	var once sync.Once
	job := newJob(c.root)
	leech.src.put(job.content)
	_, err := leech.Fetch(testContext(t), job, offer(seed), func(s Stats) {
		if len(s.Peers) > 0 && s.Peers[0].Waiting > 0 {
			once.Do(func() {
				seed.SetLimits(Limits{})
				leech.SetLimits(Limits{})
			})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	check(t, job, c)
}

// Waiting for a limit does not hold up the end.
func TestCloseWhileLimited(t *testing.T) {
	t.Parallel()
	c := newContent(62, 100, sizesOf(4, 1<<20)...)
	for _, limits := range [][2]Limits{{{Up: 1024}, {}}, {{}, {Down: 1024}}} {
		seed, leech := newPeer(t, Config{Limits: limits[0]}, c), newPeer(t, Config{Limits: limits[1]})
		job := newJob(c.root)
		closed := make(chan error, 1)
		var once sync.Once
		_, err := leech.Fetch(testContext(t), job, offer(seed), func(s Stats) {
			if len(s.Peers) > 0 && s.Peers[0].Waiting > 0 {
				once.Do(func() { go func() { closed <- leech.Engine.Close() }() })
			}
		})
		if err == nil {
			t.Fatal("fetched")
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if err := seed.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A limited transfer is slow, not stalled: leaves that take longer than the scheduler
// is patient cost no peer its place and come once.
func TestLimitedIsNotStalled(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s")
	}
	t.Parallel()
	const seeds, leaves = 4, 8
	for _, tt := range []struct {
		name        string
		seed, leech Limits
	}{
		{"down", Limits{}, Limits{Down: 800_000}},
		{"up", Limits{Up: 200_000}, Limits{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newContent(63, 100, sizesOf(leaves, 1<<20)...)
			var from []*testPeer
			for range seeds {
				from = append(from, newPeer(t, Config{Limits: tt.seed}, c))
			}
			log, dropped := logOf("dropped peer")
			leech, job := newPeer(t, Config{Limits: tt.leech, Logger: log}), newJob(c.root)
			stats := leech.get(t, job, from...)
			check(t, job, c)
			if stats.Duplicate > 1<<20 || len(dropped) > 0 || len(stats.From) != seeds {
				t.Errorf("%d bytes twice, %d peers dropped, from %d", stats.Duplicate, len(dropped), len(stats.From))
			}
		})
	}
}
