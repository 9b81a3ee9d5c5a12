package node

import (
	"crypto/rand"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"testing"

	"github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/metrics"

	"shoal/node/api"
)

// listenHost opens a node's host at these addresses; fixed: as if the user had chosen them.
func listenHost(t *testing.T, network string, fixed bool, addrs ...string) (host.Host, error) {
	t.Helper()
	set, err := Config{Home: t.TempDir(), Network: "local"}.check()
	if err != nil {
		t.Fatal(err)
	}
	set.listen, set.fixed, set.profile.Listen = addrs, fixed, addrs
	set.profile.NAT = network == "public" // ports are shared between sockets there
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dials := newPacer(set.caps)
	rules, err := loadPeerRules(datastore.NewMapDatastore())
	if err != nil {
		t.Fatal(err)
	}
	h, err := openHost(set, key, metrics.NewBandwidthCounter(), &gater{profile: set.profile, named: newNamed(nil), rules: rules, dials: dials})
	t.Cleanup(func() {
		dials.close()
		if h != nil {
			h.Close()
		}
	})
	return h, err
}

// portOf is the TCP port that h listens on.
func portOf(t *testing.T, h host.Host) string {
	t.Helper()
	for _, a := range h.Network().ListenAddresses() {
		if _, port, ok := strings.Cut(a.String(), "/tcp/"); ok {
			return port
		}
	}
	t.Fatal("no TCP port")
	return ""
}

// TestOnePortOneDaemon: no two daemons listen on one port, and an address that was asked for is had or is an error.
func TestOnePortOneDaemon(t *testing.T) {
	for _, network := range []string{"local", "public"} {
		t.Run(network, func(t *testing.T) {
			first, err := listenHost(t, network, true, "/ip4/127.0.0.1/tcp/0")
			if err != nil {
				t.Fatal(err)
			}
			taken := portOf(t, first)
			for _, addr := range []string{"/ip4/127.0.0.1/tcp/" + taken, "/ip4/0.0.0.0/tcp/" + taken} {
				_, err := listenHost(t, network, true, "/ip4/127.0.0.1/tcp/0", addr)
				if err == nil || api.AsError(err).Code != api.Conflict || !strings.Contains(err.Error(), addr+": another program has this port") {
					t.Errorf("second daemon at %s: %v", addr, err)
				}
				second, err := listenHost(t, network, false, addr)
				if err != nil {
					t.Errorf("a network's own port is taken: %v", err)
				} else if portOf(t, second) == taken {
					t.Errorf("both daemons listen on port %s", taken)
				}
			}
		})
	}
}

// TestTakenUDP: QUIC is not dropped in silence either.
func TestTakenUDP(t *testing.T) {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	addr := fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", c.LocalAddr().(*net.UDPAddr).Port)
	if _, err := listenHost(t, "local", true, "/ip4/127.0.0.1/tcp/0", addr); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("listening on %s: %v", addr, err)
	}
}

// TestAddressTwice: an address that is given twice, however it is spelt, is meant once.
func TestAddressTwice(t *testing.T) {
	h, err := listenHost(t, "local", true, "/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/udp/0/quic-v1/")
	if err != nil || len(h.Network().ListenAddresses()) != 1 {
		t.Fatalf("%v, %v", h, err)
	}
}

// TestNotOurAddress: an address of another machine among those asked for is an error that names it.
func TestNotOurAddress(t *testing.T) {
	const addr = "/ip4/203.0.113.7/tcp/4555"
	if _, err := listenHost(t, "local", true, "/ip4/127.0.0.1/tcp/0", addr); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("listening on %s: %v", addr, err)
	}
	h, err := listenHost(t, "local", false, "/ip4/127.0.0.1/tcp/0", addr)
	if err != nil {
		t.Fatalf("a network's own addresses, of which one does not exist here: %v", err)
	}
	portOf(t, h)
}

// TestPortWithoutTheRight: a port that only root may use is told as that.
func TestPortWithoutTheRight(t *testing.T) {
	err := listenError(fmt.Errorf("listen on /ip4/127.0.0.1/tcp/80: %w", fs.ErrPermission))
	if e := api.AsError(err); !strings.Contains(e.Hint, "below 1024") {
		t.Errorf("%+v", e)
	}
}
