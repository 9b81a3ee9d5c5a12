package node

import (
	"context"
	"net"
	"sync"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	tptu "github.com/libp2p/go-libp2p/p2p/net/upgrader"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

// crypto/tls hands the socket one 16 KiB record at a time, so a mux frame of
// 256 KiB is sixteen system calls. Corking gathers the records of one Write and
// sends them together. Nothing changes on the wire.

// corkedTLS is libp2p's TLS transport over corked connections.
type corkedTLS struct{ *libp2ptls.Transport }

func newCorkedTLS(id protocol.ID, key crypto.PrivKey, muxers []tptu.StreamMuxer) (*corkedTLS, error) {
	t, err := libp2ptls.New(id, key, muxers)
	if err != nil {
		return nil, err
	}
	return &corkedTLS{t}, nil
}

func (t *corkedTLS) SecureInbound(ctx context.Context, insecure net.Conn, p peer.ID) (sec.SecureConn, error) {
	cork := &corkConn{Conn: insecure}
	return cork.secure(t.Transport.SecureInbound(ctx, cork, p))
}

func (t *corkedTLS) SecureOutbound(ctx context.Context, insecure net.Conn, p peer.ID) (sec.SecureConn, error) {
	cork := &corkConn{Conn: insecure}
	return cork.secure(t.Transport.SecureOutbound(ctx, cork, p))
}

// corkConn is a connection whose writes can be held back and sent as one.
type corkConn struct {
	net.Conn
	mu   sync.Mutex
	held *[]byte // nil: writes pass through
}

// corkBufs are shared by all connections: an idle one holds no memory.
var corkBufs = sync.Pool{New: func() any { return new([]byte) }}

func (c *corkConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		return c.Conn.Write(p)
	}
	*c.held = append(*c.held, p...)
	return len(p), nil
}

func (c *corkConn) hold() {
	c.mu.Lock()
	c.held = corkBufs.Get().(*[]byte)
	c.mu.Unlock()
}

func (c *corkConn) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	buf := c.held
	c.held = nil
	var err error
	if len(*buf) > 0 {
		_, err = c.Conn.Write(*buf)
	}
	*buf = (*buf)[:0]
	corkBufs.Put(buf)
	return err
}

func (c *corkConn) secure(conn sec.SecureConn, err error) (sec.SecureConn, error) {
	if err != nil {
		return nil, err
	}
	return &corkedSecureConn{SecureConn: conn, cork: c}, nil
}

// corkedSecureConn holds the records of each Write back until all are sealed.
type corkedSecureConn struct {
	sec.SecureConn
	cork *corkConn
	mu   sync.Mutex // one Write at a time; the muxer has a single writer anyway
}

func (c *corkedSecureConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cork.hold()
	n, err := c.SecureConn.Write(p)
	if ferr := c.cork.flush(); err == nil && ferr != nil {
		return 0, ferr
	}
	return n, err
}
