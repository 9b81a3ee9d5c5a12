package transfer

import (
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// benchJob throws away what it is given: a verified leaf has been hashed already.
type benchJob struct{ *memJob }

func (j benchJob) Write(int, []byte) error { return nil }
func (j benchJob) Has(int) bool            { return false }

func benchFetch(b *testing.B, sizes []int) {
	c := newContent(9, 1024, sizes...)
	seed, leech := newPeer(b, Config{}, c), newPeer(b, Config{})
	total := int64(0)
	for _, s := range sizes {
		total += int64(s)
	}
	if err := leech.Connect(context.Background(), seed.info()); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(total)
	for b.Loop() {
		stats, err := leech.Fetch(context.Background(), benchJob{newJob(c.root)}, offer(seed), nil)
		if err != nil || stats.Bytes != total {
			b.Fatal(err, stats)
		}
	}
}

// BenchmarkFetch is to be compared with BenchmarkBareStream.
func BenchmarkFetch(b *testing.B) { benchFetch(b, sizesOf(512, 1<<20)) }

func BenchmarkFetchSmallLeaves(b *testing.B) { benchFetch(b, sizesOf(10_000, 4<<10)) }

// BenchmarkBareStream copies as many bytes over a plain libp2p stream between such
// hosts into a sha2-256 hasher.
func BenchmarkBareStream(b *testing.B) {
	const total, leaf = 512 << 20, 1 << 20
	sender, receiver := newHost(b), newHost(b)
	data := make([]byte, 64<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	const id = protocol.ID("/bench/1")
	sender.SetStreamHandler(id, func(s network.Stream) {
		for range total / len(data) {
			for off := 0; off < len(data); off += leaf {
				if _, err := s.Write(data[off : off+leaf]); err != nil {
					return
				}
			}
		}
		_ = s.Close()
	})
	ctx := context.Background()
	if err := receiver.Connect(ctx, peer.AddrInfo{ID: sender.ID(), Addrs: sender.Addrs()}); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(total)
	for b.Loop() {
		s, err := receiver.NewStream(ctx, sender.ID(), id)
		if err != nil {
			b.Fatal(err)
		}
		_ = s.CloseWrite()
		h := sha256.New()
		n, err := io.Copy(h, s)
		if err != nil || n != total {
			b.Fatal(n, err)
		}
		_ = s.Close()
	}
}
