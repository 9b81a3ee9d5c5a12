package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"

	"shoal/node/api"
	"shoal/transfer"
)

// dialError is what a dial gives that failed at each of some addresses.
func dialError(cause error, each ...error) error {
	e := &swarm.DialError{Cause: cause}
	for _, err := range each {
		e.DialErrors = append(e.DialErrors, swarm.TransportError{Address: ma.StringCast("/ip4/127.0.0.1/tcp/1"), Cause: err})
	}
	return fmt.Errorf("connect to x: %w", e)
}

func TestTroubleOf(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	timeout := &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
	all := swarm.ErrAllDialsFailed
	for _, row := range []struct {
		name string
		err  error
		want api.CauseCode
	}{
		{"nothing", nil, ""},
		{"refused", dialError(all, refused), api.CauseRefused},
		{"TCP refused, QUIC timed out", dialError(all, timeout, refused), api.CauseRefused},
		{"no route", dialError(all, &net.OpError{Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}), api.CauseNoRoute},
		{"no network", dialError(all, &net.OpError{Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}), api.CauseNoRoute},
		{"time over", dialError(context.DeadlineExceeded), api.CauseTimeout},
		{"timed out", dialError(all, timeout), api.CauseTimeout},
		{"gated", dialError(swarm.ErrNoGoodAddresses, swarm.ErrGaterDisallowedConnection), api.CauseGated},
		{"behind a NAT", fmt.Errorf("connect to x: %w", transfer.ErrRelayed), api.CauseRelayed},
		{"no usable address", dialError(swarm.ErrNoGoodAddresses), api.CauseNoAddress},
		{"no address", fmt.Errorf("dial: %w", swarm.ErrNoAddresses), api.CauseNoAddress},
		{"somebody else", dialError(all, refused, fmt.Errorf("negotiate: %w", sec.ErrPeerIDMismatch{})), api.CauseWrongPeer},
		{"other software", fmt.Errorf("open: %w", multistream.ErrNotSupported[protocol.ID]{}), api.CauseNoSwap},
		{"odd", dialError(all, errors.New("odd")), api.CauseDial},
		{"libp2p waits", dialError(swarm.ErrDialBackoff), api.CauseDial},
		{"reset", fmt.Errorf("read: %w", network.ErrReset), api.CauseHungUp},
		{"end", io.EOF, api.CauseHungUp},
		{"not there", transfer.ErrNotFound, api.CauseNotThere},
		{"changed", transfer.ErrChanged, api.CauseChanged},
		{"corrupt", transfer.ErrCorrupt, api.CauseCorrupt},
		{"violation", fmt.Errorf("x: %w", transfer.ErrViolation), api.CauseViolation},
		{"silent", transfer.ErrSilent, api.CauseSilent},
		{"busy", transfer.ErrBusy, api.CauseBusy},
		{"denied", transfer.ErrDenied, api.CauseDenied},
		{"unreadable", transfer.ErrRead, api.CauseRead},
	} {
		if got := troubleOf(row.err); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

func TestDetailOf(t *testing.T) {
	if got := detailOf(dialError(swarm.ErrAllDialsFailed, errors.New("one\n two"), io.EOF)); got != "/ip4/127.0.0.1/tcp/1: one two; /ip4/127.0.0.1/tcp/1: EOF" {
		t.Errorf("%q", got)
	}
	if got := detailOf(errors.New(strings.Repeat("ü", 1000))); len(got) > maxDetail+4 || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	if got := detailOf(nil); got != "" {
		t.Errorf("%q", got)
	}
}
