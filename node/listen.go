package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/metrics"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"shoal/node/api"
)

// openHost listens at the addresses asked for. Of those that the user chose, each must be had. A network's own port may be
// taken by another program, often another daemon of this machine; then any port does.
func openHost(s settings, key crypto.PrivKey, traffic metrics.Reporter, gate *gater) (host.Host, error) {
	s.listen = once(s.listen)
	if err := tryAll(s.listen, s.fixed); err != nil {
		if s.fixed {
			return nil, listenError(err)
		}
		s.log.Warn("the network's usual port is taken, another one is used", "err", err)
		s.listen = s.profile.ListenAt(0)
	}
	h, err := newHost(s, key, traffic, gate)
	if err != nil && !s.fixed { // taken since we looked
		s.listen = s.profile.ListenAt(0)
		h, err = newHost(s, key, traffic, gate)
	}
	if err != nil {
		return nil, listenError(err)
	}
	if err := allBound(s.listen, h.Network().ListenAddresses(), s.fixed); err != nil {
		return nil, errors.Join(listenError(err), h.Close())
	}
	return h, nil
}

// once is a list of multiaddrs without those that are in it before: libp2p panics when it is to listen twice at one address of QUIC.
func once(addrs []string) (out []string) {
	for _, a := range addrs {
		if m, err := ma.NewMultiaddr(a); err == nil {
			a = m.String()
		}
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// listenError gives an error of listening the next step.
func listenError(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return api.Errorf(api.Internal, "%w", err).WithHint("Ports below 1024 are for root: `--listen` takes one from 1024 on, and port 0 means any free one.")
	}
	return api.Errorf(api.Conflict, "%w", err).
		WithHint("`--listen` takes other addresses, port 0 means any free one; an address must be one of this machine's.")
}

// tryAll binds each address for a moment and lets go of it: libp2p shares ports between sockets (SO_REUSEPORT), so that
// two daemons could listen on one, and it drops what it cannot bind without a word. Of a network's own addresses only a taken
// port counts, since a machine may well have no IPv6.
func tryAll(addrs []string, every bool) error {
	for _, a := range addrs {
		if err := tryBind(a); err != nil && (every || isTaken(err)) {
			return err
		}
	}
	return nil
}

// tryBind binds one address alone.
func tryBind(addr string) error {
	m, err := ma.NewMultiaddr(addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	network, where, err := manet.DialArgs(m)
	if err != nil {
		return nil // no socket of our own, as of a relay: libp2p tells
	}
	var lc net.ListenConfig
	switch {
	case strings.HasPrefix(network, "tcp"):
		var l net.Listener
		if l, err = lc.Listen(context.Background(), network, where); err == nil {
			err = l.Close()
		}
	case strings.HasPrefix(network, "udp"):
		var c net.PacketConn
		if c, err = lc.ListenPacket(context.Background(), network, where); err == nil {
			err = c.Close()
		}
	}
	switch {
	case isTaken(err):
		return fmt.Errorf("listen on %s: another program has this port: %w", addr, err)
	case err != nil:
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	return nil
}

// allBound tells which of the addresses asked for is not listened on. Where the user chose none, one that is will do.
func allBound(asked []string, bound []ma.Multiaddr, every bool) error {
	var missing []string
	for _, a := range asked {
		m, err := ma.NewMultiaddr(a)
		if err != nil {
			return fmt.Errorf("listen on %s: %w", a, err)
		}
		if !slices.ContainsFunc(bound, func(b ma.Multiaddr) bool { return answers(m, b) }) {
			missing = append(missing, a)
		}
	}
	if len(missing) > 0 && (every || len(missing) == len(asked)) {
		return fmt.Errorf("listen on %s: it could not be bound", strings.Join(missing, " and "))
	}
	return nil
}

// answers tells whether bound is what listening on asked gives: the same, but for a port that was left open and what is
// added at the end (a certificate's hash, say).
func answers(asked, bound ma.Multiaddr) bool {
	if len(bound) < len(asked) {
		return false
	}
	for i, want := range asked {
		got := bound[i]
		port := want.Code() == ma.P_TCP || want.Code() == ma.P_UDP
		if got.Code() != want.Code() || got.Value() != want.Value() && !(port && want.Value() == "0") {
			return false
		}
	}
	return true
}
