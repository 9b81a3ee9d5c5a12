package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"shoal/testnet"
)

// The long ways: a file over a link of so many bits a second, with these round trips.
const (
	latencySize = 128 << 20
	latencyRate = 100e6
)

var latencyTrips = []time.Duration{20 * time.Millisecond, 60 * time.Millisecond, 200 * time.Millisecond}

// benchLatency moves a file through a proxy that delays (testnet.Delay). Both ends are in namespaces that reach nothing but the proxy.
func benchLatency(ctx context.Context, b *bench) error {
	if why := noNamespaces(); why != "" {
		b.report.remark("latency: skipped, %s", why)
		return nil
	}
	size := min(int64(latencySize), b.size)
	path, err := b.largeFile("latency", size)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	tools := b.installed("latency", b.shoalTool(), rsyncTool(), aria2Tool(), nginxTool())
	for _, rtt := range latencyTrips {
		table := fmt.Sprintf("latency: %d MiB over %d Mbit/s with a round trip of %d ms", size>>20, int(latencyRate/1e6), rtt.Milliseconds())
		for _, t := range tools {
			used := b.report.cell(table, t.name, "of the link")
			if t.name == ours {
				used.atLeast(0.85)
			}
		}
		for range b.runs {
			for _, t := range tools {
				seconds, used, err := b.farPair(ctx, t, path, rtt)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if b.ran(table, t.name, seconds, err) {
					continue
				}
				b.report.cell(table, t.name, "of the link").add(float64(size) * 8 / latencyRate / seconds)
				b.report.cell(table, t.name, "time, s").add(seconds)
				b.report.usage(table, t.name).add(used)
			}
		}
	}
	b.report.remark("latency: a proxy ends TCP connections at both of its sides, so TCP's own windows are those of a near peer; what is tested is how much a tool keeps under way itself")
	return nil
}

// farPair moves path once between two places that are rtt from each other.
func (b *bench) farPair(ctx context.Context, t tool, path string, rtt time.Duration) (seconds float64, used usage, err error) {
	ctx, cancel := context.WithTimeout(ctx, pairWithin)
	defer cancel()
	br, err := b.bridge([]int64{10e9, 10e9}, true)
	if err != nil {
		return 0, usage{}, err
	}
	defer br.close()
	proxy := &testnet.Delay{Target: br.places[0].hostport(), OneWay: rtt / 2, Rate: latencyRate}
	l, err := net.Listen("tcp4", net.JoinHostPort(br.places[0].gateway(), "0"))
	if err != nil {
		return 0, usage{}, err
	}
	served := make(chan error, 1)
	away, stop := context.WithCancel(ctx)
	go func() { served <- proxy.Serve(away, l) }()
	defer func() { stop(); err = errors.Join(err, <-served) }()
	br.places[0].via = l.Addr().String()

	var g group
	defer g.close() // before the proxy and the bridge
	_, fetchers, err := b.gather(ctx, &g, t, br.places, path)
	if err != nil {
		return 0, usage{}, err
	}
	before := g.usage()
	upBefore, downBefore := proxy.Bytes()
	o := rush(ctx, fetchers, br.places[1:])
	up, down := proxy.Bytes()
	used = g.usage()
	used.cpu -= before.cpu
	used.wire = up + down - upBefore - downBefore
	if o.err != nil {
		return 0, usage{}, o.err
	}
	if used.wire < treeSize(path) {
		return 0, usage{}, fmt.Errorf("only %d bytes went through the proxy", used.wire)
	}
	return o.done[0], used, check(path, filepath.Join(br.places[1].dir, "dest"))
}
