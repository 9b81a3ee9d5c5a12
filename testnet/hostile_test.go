package testnet_test

import (
	"crypto/rand"
	"io"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"shoal/testnet"
	"shoal/transfer"
)

const swap = protocol.ID("/shoal/swap/1.0.0")

// TestHostile fetches from an honest daemon while another provider of the same root, tried first, does not play by the rules.
// The file has to come whole and unharmed, and nothing of it may be said to be from the other.
func TestHostile(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	honest, fetcher := lab.Peers[0], lab.Peers[1]
	path := testnet.RandomFile(t, honest.Path("original"), 24*chunk, 1)
	for _, row := range []struct {
		name    string
		start   func(t *testing.T) host.Host
		corrupt bool // the fetch has to count bytes thrown away
	}{
		{"wrong bytes", func(t *testing.T) host.Host {
			return newSeed(t, lab, path, func(_ int, leaf []byte) ([]byte, error) {
				leaf[len(leaf)/2] ^= 1
				return leaf, nil
			}).host
		}, true},
		{"wrong lengths", func(t *testing.T) host.Host {
			return newSeed(t, lab, path, func(_ int, leaf []byte) ([]byte, error) { return leaf[:len(leaf)-1], nil }).host
		}, false},
		{"nothing to be had", func(t *testing.T) host.Host {
			return newSeed(t, lab, path, func(int, []byte) ([]byte, error) { return nil, transfer.ErrChanged }).host
		}, false},
		{"an endless stream", func(t *testing.T) host.Host {
			return handled(t, func(s network.Stream) { io.Copy(s, rand.Reader) })
		}, false},
		{"silence", func(t *testing.T) host.Host {
			return handled(t, func(s network.Stream) { io.Copy(io.Discard, s) })
		}, false},
		{"hanging up", func(t *testing.T) host.Host {
			return handled(t, func(s network.Stream) { s.Reset() })
		}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			bad := row.start(t)
			shared := honest.Share(path)
			dest := fetcher.Path(row.name)
			providers := append(addrs(t, bad), honest.Addrs()[0])
			res := fetcher.Get(linkTo(shared.CID, providers...), dest)
			lab.Same(path, dest, false)
			if n := res.From[bad.ID().String()]; n != 0 {
				t.Errorf("%d bytes are said to be from the hostile peer", n)
			}
			if row.corrupt && res.Corrupt == 0 {
				t.Error("no corrupt bytes were counted: the hostile peer was not asked")
			}
			t.Logf("%.2f s, %d bytes thrown away", res.Seconds, res.Corrupt)
			fetcher.Must("rm", shared.CID) // the next one fetches it anew
		})
	}
}

// handled is a host that answers the swap protocol by handle.
func handled(t *testing.T, handle func(network.Stream)) host.Host {
	t.Helper()
	h := bareHost(t)
	h.SetStreamHandler(swap, handle)
	return h
}
