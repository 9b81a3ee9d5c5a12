package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

// countConn counts the writes that reach the socket.
type countConn struct {
	net.Conn
	mu     sync.Mutex
	writes int
}

func (c *countConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.writes++
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *countConn) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes
}

func TestCorkSendsOneWriteAFrame(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	server, client := newTestTLS(t), newTestTLS(t)
	frame := make([]byte, muxFrame)
	rand.Read(frame)
	received := make(chan error, 1)
	go func() {
		raw, err := listener.Accept()
		if err != nil {
			received <- err
			return
		}
		conn, err := server.SecureInbound(context.Background(), raw, "")
		if err != nil {
			received <- err
			return
		}
		got := make([]byte, len(frame))
		if _, err := io.ReadFull(conn, got); err == nil && !bytes.Equal(got, frame) {
			t.Error("the frame arrived changed")
		}
		conn.Close()
		received <- nil
	}()
	raw, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	counted := &countConn{Conn: raw}
	conn, err := client.SecureOutbound(context.Background(), counted, "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	before := counted.count()
	if n, err := conn.Write(frame); err != nil || n != len(frame) {
		t.Fatalf("Write = %d, %v", n, err)
	}
	if got := counted.count() - before; got != 1 {
		t.Errorf("a frame of %d bytes took %d writes, want 1", len(frame), got)
	}
	if err := <-received; err != nil {
		t.Fatal(err)
	}
}

func newTestTLS(t *testing.T) *corkedTLS {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tls, err := newCorkedTLS(libp2ptls.ID, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tls
}

// TestTransportsSpeakToStockLibp2p sends both ways between a tuned and a stock
// host, since corking and frame sizes must not show on the wire.
func TestTransportsSpeakToStockLibp2p(t *testing.T) {
	for _, listen := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"} {
		t.Run(listen, func(t *testing.T) {
			ours := newTestHost(t, append(TransportOptions(), libp2p.ListenAddrStrings(listen))...)
			stock := newTestHost(t, libp2p.ListenAddrStrings(listen))
			echoSum(t, ours, stock)
			echoSum(t, stock, ours)
		})
	}
}

func newTestHost(t *testing.T, opts ...libp2p.Option) host.Host {
	t.Helper()
	h, err := libp2p.New(append(opts, libp2p.DisableRelay())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// echoSum sends 4 MiB from a to b, which answers with their hash.
func echoSum(t *testing.T, a, b host.Host) {
	t.Helper()
	b.SetStreamHandler("/sum", func(s network.Stream) {
		sum := sha256.New()
		io.Copy(sum, s)
		s.Write(sum.Sum(nil))
		s.Close()
	})
	ctx := t.Context()
	if err := a.Connect(ctx, peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		t.Fatal(err)
	}
	s, err := a.NewStream(ctx, b.ID(), "/sum")
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 4<<20)
	rand.Read(data)
	if _, err := s.Write(data); err != nil {
		t.Fatal(err)
	}
	s.CloseWrite()
	got, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(data); !bytes.Equal(got, want[:]) {
		t.Errorf("the other end hashed to %x, want %x", got, want)
	}
}
