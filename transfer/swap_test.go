package transfer

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/transfer/wire"
)

// testPeer is a host with an engine that runs.
type testPeer struct {
	host.Host
	*Engine
	src *memSource
}

// newHost makes a host on 127.0.0.1, over TCP unless told otherwise.
func newHost(t testing.TB, addrs ...string) host.Host {
	t.Helper()
	if len(addrs) == 0 {
		addrs = []string{"/ip4/127.0.0.1/tcp/0"}
	}
	h, err := libp2p.New(libp2p.ListenAddrStrings(addrs...), libp2p.DisableRelay(),
		libp2p.DisableMetrics(), libp2p.DisableIdentifyAddressDiscovery())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func newPeer(t testing.TB, cfg Config, have ...*content) *testPeer {
	t.Helper()
	return startPeer(t, newHost(t), cfg, have...)
}

// startPeer runs an engine on h. At the end of the test it must have stopped, with
// all its goroutines: Close waits for them.
func startPeer(t testing.TB, h host.Host, cfg Config, have ...*content) *testPeer {
	t.Helper()
	if cfg.Logger == nil && os.Getenv("SHOAL_TEST_LOG") != "" {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).
			With("me", h.ID().ShortString())
	}
	src := new(memSource)
	for _, c := range have {
		src.put(c)
	}
	p := &testPeer{h, New(h, src, cfg), src}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return p
}

func (p *testPeer) Close() error { return p.Engine.Close() }

func (p *testPeer) info() peer.AddrInfo { return peer.AddrInfo{ID: p.ID(), Addrs: p.Addrs()} }

// offer is a channel that gives these peers and stays open.
func offer(peers ...*testPeer) <-chan peer.AddrInfo {
	ch := make(chan peer.AddrInfo, len(peers))
	for _, p := range peers {
		ch <- p.info()
	}
	return ch
}

// logOf is a logger and a channel that tells when it logs msg.
func logOf(msg string) (*slog.Logger, <-chan struct{}) {
	seen := make(chan struct{}, 1000)
	return slog.New(logWatch{slog.DiscardHandler, msg, seen}), seen
}

type logWatch struct {
	slog.Handler
	msg  string
	seen chan<- struct{}
}

func (w logWatch) Enabled(context.Context, slog.Level) bool { return true }

func (w logWatch) Handle(_ context.Context, r slog.Record) error {
	if r.Message == w.msg {
		select {
		case w.seen <- struct{}{}:
		default:
		}
	}
	return nil
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// get fetches job at p, which serves it meanwhile, as a daemon would.
func (p *testPeer) get(t testing.TB, job *memJob, from ...*testPeer) Stats {
	t.Helper()
	p.src.put(job.content)
	stats, err := p.Fetch(testContext(t), job, offer(from...), nil)
	if err != nil {
		t.Fatalf("%v; %+v", err, stats)
	}
	return stats
}

func TestFetchShapes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sizes []int
	}{
		{"lone leaf", []int{300_000}},
		{"lone empty leaf", []int{0}},
		{"two leaves", []int{1 << 20, 17}},
		{"empty leaves among others", []int{0, 5, 0, 70_000, 0}},
		{"default chunks", sizesOf(40, 1<<20)},
		{"small leaves", sizesOf(3000, 4<<10)},
		{"largest leaves", append(sizesOf(3, 2<<20), 10, 2<<20)},
		{"mixed", []int{1, 1 << 20, 2, 3, 200_000, 1<<20 - 1, 64 << 10, 64<<10 + 1, 2 << 20, 9}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newContent(1, 7, tt.sizes...)
			seed, leech := newPeer(t, Config{}, c), newPeer(t, Config{})
			job := newJob(c.root)
			stats := leech.get(t, job, seed)
			check(t, job, c)
			total := int64(0)
			for _, s := range tt.sizes {
				total += int64(s)
			}
			if stats.Bytes != total || stats.Have != len(tt.sizes) || stats.Leaves != len(tt.sizes) ||
				stats.Total != total || stats.Missing != 0 || stats.From[seed.ID()] != total || !stats.Complete {
				t.Errorf("stats %+v", stats)
			}
			if stats.FirstByte.Before(stats.Started) || len(job.names) != 1 || job.names[0] != c.name {
				t.Errorf("first byte %v, names %q", stats.FirstByte, job.names)
			}
		})
	}
}

func TestFetchOverQUIC(t *testing.T) {
	c := newContent(2, 8, sizesOf(20, 1<<20)...)
	quic := "/ip4/127.0.0.1/udp/0/quic-v1"
	seed := startPeer(t, newHost(t, quic), Config{}, c)
	leech := startPeer(t, newHost(t, quic), Config{})
	job := newJob(c.root)
	leech.get(t, job, seed)
	check(t, job, c)
}

func TestFetchCancelled(t *testing.T) {
	c := newContent(3, 8, sizesOf(30, 1<<20)...)
	seed, leech := newPeer(t, Config{}, c), newPeer(t, Config{})
	ctx, cancel := context.WithCancel(testContext(t))
	job := newJob(c.root)
	job.onWrite = func(i int) error {
		if i == 5 {
			cancel()
		}
		return nil
	}
	stats, err := leech.Fetch(ctx, job, offer(seed), nil)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, %+v", err, stats)
	}
	job.onWrite = nil
	here := len(c.leaves) - job.missing()
	again := leech.get(t, job, seed) // resumed: Has says what is here
	check(t, job, c)
	if again.Leaves != 30 || again.Have != 30 || again.Bytes != int64(30-here)<<20 {
		t.Errorf("%d were here; then %+v", here, again)
	}
}

// A stream that nobody has use for any more is closed.
func TestIdleStreamCloses(t *testing.T) {
	c := newContent(4, 8, sizesOf(3, 1000)...)
	log, closed := logOf("stream closed")
	cfg := Config{Logger: log, IdleTimeout: 200 * time.Millisecond}
	seed, leech := newPeer(t, cfg, c), newPeer(t, cfg)
	leech.get(t, newJob(c.root), seed)
	<-closed
	<-closed // at both ends
	job := newJob(c.root)
	leech.get(t, job, seed)
	check(t, job, c)
}

// A root that nobody reads is closed and opened again when somebody does.
func TestIdleRootCloses(t *testing.T) {
	c := newContent(5, 8, sizesOf(3, 1000)...)
	shut := make(chan struct{}, 10)
	c.onClose = func() { shut <- struct{}{} }
	p := dialRaw(t, newPeer(t, Config{IdleTimeout: 200 * time.Millisecond}, c))
	p.send(hello, wire.Want{Handle: 3, Root: c.root})
	<-shut
	p.send(wire.Request{Handle: 3, Runs: []wire.Run{{First: 1, Count: 1}}})
	if m, ok := until[wire.Data](p); !ok || m.Leaf != 1 || rawCID(m.Payload) != c.leaves[1].c {
		t.Errorf("%+v", m)
	}
}
