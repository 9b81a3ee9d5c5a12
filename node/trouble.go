package node

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multistream"

	"shoal/node/api"
	"shoal/transfer"
)

// troubleOf names what is wrong with a peer. A dial tries several addresses and each
// has an error: the one that says most counts, so that the order matters.
func troubleOf(err error) api.CauseCode {
	var wrong sec.ErrPeerIDMismatch
	var noSwap multistream.ErrNotSupported[protocol.ID]
	if err == nil {
		return ""
	}
	if errors.As(err, &wrong) {
		return api.CauseWrongPeer
	}
	if errors.As(err, &noSwap) {
		return api.CauseNoSwap
	}
	for _, row := range [...]struct {
		is   error
		code api.CauseCode
	}{
		{transfer.ErrCorrupt, api.CauseCorrupt},
		{transfer.ErrViolation, api.CauseViolation},
		{transfer.ErrNotFound, api.CauseNotThere},
		{transfer.ErrNotHave, api.CauseNotThere},
		{transfer.ErrChanged, api.CauseChanged},
		{transfer.ErrRead, api.CauseRead},
		{transfer.ErrDenied, api.CauseDenied},
		{transfer.ErrBusy, api.CauseBusy},
		{transfer.ErrSilent, api.CauseSilent},
		{transfer.ErrRelayed, api.CauseRelayed},
		{syscall.ECONNREFUSED, api.CauseRefused},
		{syscall.EHOSTUNREACH, api.CauseNoRoute},
		{syscall.ENETUNREACH, api.CauseNoRoute},
		{swarm.ErrGaterDisallowedConnection, api.CauseGated},
		{swarm.ErrNoAddresses, api.CauseNoAddress},
		{os.ErrDeadlineExceeded, api.CauseTimeout},
		{context.DeadlineExceeded, api.CauseTimeout},
		{swarm.ErrNoGoodAddresses, api.CauseNoAddress},
		{network.ErrReset, api.CauseHungUp},
		{io.EOF, api.CauseHungUp},
		{io.ErrUnexpectedEOF, api.CauseHungUp},
		{syscall.ECONNRESET, api.CauseHungUp},
		{syscall.EPIPE, api.CauseHungUp},
	} {
		if errors.Is(err, row.is) {
			return row.code
		}
	}
	var timed net.Error
	if errors.As(err, &timed) && timed.Timeout() {
		return api.CauseTimeout
	}
	return api.CauseDial
}

// troubleWith is what is wrong with a peer of which a dial or a fetch gave err.
func (n *Node) troubleWith(id peer.ID, err error) (api.CauseCode, string) {
	if why := n.rules.refusal(id); why != "" { // whatever was wrong before
		return api.CauseBanned, "the peer " + why
	}
	var dial *swarm.DialError
	switch {
	case !errors.As(err, &dial) || dial.Cause != swarm.ErrGaterDisallowedConnection:
		return troubleOf(err), detailOf(err)
	case n.dials.refused(id, time.Now()):
		return api.CausePaced, "not dialled: too many other dials are under way"
	}
	return "", "" // it was banned then: it has not been dialled since
}

// maxDetail bounds the text of an error that a peer has a part in, in bytes.
const maxDetail = 400

// detailOf is an error on one line.
func detailOf(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	var dial *swarm.DialError
	if errors.As(err, &dial) && len(dial.DialErrors) > 0 {
		var parts []string
		for _, e := range dial.DialErrors {
			parts = append(parts, e.Address.String()+": "+e.Cause.Error())
		}
		text = strings.Join(parts, "; ")
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxDetail {
		text = strings.ToValidUTF8(text[:maxDetail], "") + "…"
	}
	return text
}

// dial connects to a peer, if need be, as a fetch would.
func (n *Node) dial(ctx context.Context, p peer.AddrInfo) error {
	return n.dialNow(ctx, p, n.swap.Reach)
}

// dialNow has connect reach a peer also if that has just failed: a person wants to know.
func (n *Node) dialNow(ctx context.Context, p peer.AddrInfo, connect func(context.Context, peer.AddrInfo) error) error {
	if s, ok := n.host.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		s.Backoff().Clear(p.ID)
	}
	wanted := n.named.wants()
	defer wanted.end()
	wanted.add(p.ID)
	ctx, cancel := context.WithTimeout(ctx, reachFor)
	defer cancel()
	return connect(ctx, p)
}
