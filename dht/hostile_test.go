package dht

import (
	"context"
	"encoding/binary"
	"io"
	"testing"
	"time"

	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-msgio"
	"github.com/libp2p/go-msgio/pbio"
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/proto"
)

const localProtocol protocol.ID = "/shoal/local/kad/1.0.0"

// rogue is a bare host that answers GET_PROVIDERS as it likes, and other requests well enough to get into tables.
func rogue(t *testing.T, answer func(s network.Stream, req *pb.Message)) host.Host {
	t.Helper()
	h := newHost(t, nil, "")
	h.SetStreamHandler(localProtocol, func(s network.Stream) {
		defer s.Reset()
		r := msgio.NewVarintReaderSize(s, 1<<20)
		for {
			b, err := r.ReadMsg()
			if err != nil {
				return
			}
			req := new(pb.Message)
			if err := proto.Unmarshal(b, req); err != nil {
				return
			}
			if req.GetType() == pb.Message_GET_PROVIDERS {
				answer(s, req)
				continue
			}
			_ = pbio.NewDelimitedWriter(s).WriteMsg(pb.NewMessage(req.GetType(), req.GetKey(), 0))
		}
	})
	return h
}

// liars are made-up providers.
func liars(t *testing.T, n, addrsEach int) []*pb.Message_Peer {
	t.Helper()
	addr, err := ma.NewMultiaddr("/ip4/127.0.0.1/tcp/1")
	must(t, err)
	out := make([]*pb.Message_Peer, n)
	for i := range out {
		out[i] = &pb.Message_Peer{Id: []byte(peerID(t, i))}
		for range addrsEach {
			out[i].Addrs = append(out[i].Addrs, addr.Bytes())
		}
	}
	return out
}

func TestHostilePeersDoNotHideAProvider(t *testing.T) {
	send := func(s network.Stream, m *pb.Message) { _ = pbio.NewDelimitedWriter(s).WriteMsg(m) }
	for _, tt := range []struct {
		name   string
		answer func(s network.Stream, req *pb.Message)
	}{
		{"bytes that are no message", func(s network.Stream, _ *pb.Message) {
			_, _ = s.Write([]byte{5, 0xff, 0xff, 0xff, 0xff, 0xff})
		}},
		{"a length of 2^62", func(s network.Stream, _ *pb.Message) {
			_, _ = s.Write(binary.AppendUvarint(nil, 1<<62))
		}},
		{"an answer without end", func(s network.Stream, _ *pb.Message) {
			_, _ = s.Write(binary.AppendUvarint(nil, 700<<10))
			_, _ = s.Write(make([]byte, 1000))
		}},
		{"silence", func(network.Stream, *pb.Message) {}},
		{"hanging up", func(s network.Stream, _ *pb.Message) { _ = s.Reset() }},
		{"another kind of message", func(s network.Stream, _ *pb.Message) {
			send(s, pb.NewMessage(pb.Message_PING, nil, 0))
		}},
		{"thousands of providers and closer peers", func(s network.Stream, req *pb.Message) {
			m := pb.NewMessage(req.GetType(), req.GetKey(), 0)
			m.ProviderPeers, m.CloserPeers = liars(t, 5000, 1), liars(t, 3000, 1)
			send(s, m)
		}},
		{"thousands of addresses of one provider", func(s network.Stream, req *pb.Message) {
			m := pb.NewMessage(req.GetType(), req.GetKey(), 0)
			m.ProviderPeers = liars(t, 3, 5000)
			send(s, m)
		}},
		{"peers without an ID or with bytes for one", func(s network.Stream, req *pb.Message) {
			m := pb.NewMessage(req.GetType(), req.GetKey(), 0)
			m.ProviderPeers = []*pb.Message_Peer{nil, {}, {Id: []byte("no peer ID")}, {Id: make([]byte, 10000)}}
			m.CloserPeers = m.ProviderPeers
			send(s, m)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nodes := startNetwork(t, 2)
			finder, sharer := nodes[1], nodes[0]
			asked := make(chan struct{}, 3)
			for range 3 {
				bad := rogue(t, func(s network.Stream, req *pb.Message) {
					tt.answer(s, req)
					select {
					case asked <- struct{}{}:
					default:
					}
				})
				must(t, finder.host.Connect(t.Context(), peer.AddrInfo{ID: bad.ID(), Addrs: bad.Addrs()}))
			}
			await(t, "the rogues to be in the table", func() bool { return finder.Size() == 4 })

			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			found := finder.Find(ctx, root(1))
			for range 3 { // only once they have had their say, there is a provider
				<-asked
			}
			provide(t, sharer, root(1))
			seen := 0
			for f := range found {
				if seen++; f.Peer.ID == sharer.host.ID() {
					break
				}
				if len(f.Peer.Addrs) > maxAddrs {
					t.Errorf("%d addresses", len(f.Peer.Addrs))
				}
				if seen > 2*maxReported {
					t.Fatal("liars without end")
				}
			}
			if ctx.Err() != nil {
				t.Fatal("the provider was not found")
			}
			t.Logf("found after %d reports; %d peers in the peerstore", seen, len(finder.host.Peerstore().Peers()))
			if n := len(finder.host.Peerstore().Peers()); n > 4*(maxProviders+maxCloser) {
				t.Errorf("%d peers in the peerstore", n)
			}
		})
	}
}

func TestHostileRequestsAreSurvived(t *testing.T) {
	n := start(t, setup{})
	bad := newHost(t, nil, "")
	must(t, bad.Connect(t.Context(), n.info()))
	for _, tt := range []struct {
		name  string
		bytes []byte
	}{
		{"no message", []byte{5, 0xff, 0xff, 0xff, 0xff, 0xff}},
		{"a length of 2^62", binary.AppendUvarint(nil, 1<<62)},
		{"an empty message", []byte{0}},
		{"half a message", []byte{100, 1, 2, 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := bad.NewStream(t.Context(), n.host.ID(), localProtocol)
			must(t, err)
			defer s.Reset()
			_, err = s.Write(tt.bytes)
			must(t, err)
			must(t, s.CloseWrite())
			if b, err := io.ReadAll(s); err == nil && len(b) > 0 {
				t.Errorf("answered %x", b)
			}
		})
	}
	other := start(t, setup{bootstrap: []peer.AddrInfo{n.info()}})
	provide(t, n, root(1))
	find(t, other, root(1), n.host.ID())
}

func TestRecordsAreOnlyTakenFromTheirProvider(t *testing.T) {
	n := start(t, setup{})
	bad := newHost(t, nil, "")
	must(t, bad.Connect(t.Context(), n.info()))
	send := newSender(bad, localProtocol, 1<<20, func([]byte, peer.ID) {})
	asker, err := pb.NewProtocolMessenger(send)
	must(t, err)

	liar := newSender(bad, localProtocol, 1<<20, func([]byte, peer.ID) {}) // the lie costs it the stream
	lie := pb.NewMessage(pb.Message_ADD_PROVIDER, root(1).Hash(), 0)
	lie.ProviderPeers = liars(t, 1, 1) // in the name of somebody else
	must(t, liar.SendMessage(t.Context(), n.host.ID(), lie))
	must(t, asker.PutProviderAddrs(t.Context(), n.host.ID(), root(2).Hash(), peer.AddrInfo{ID: bad.ID(), Addrs: bad.Addrs()}))

	for i, want := range map[int]int{1: 0, 2: 1} {
		await(t, "the records to be there", func() bool {
			provs, _, err := asker.GetProviders(t.Context(), n.host.ID(), root(i).Hash())
			return err == nil && len(provs) == want
		})
	}
}

func TestTheDialledNeverReachesBeyondTheNetwork(t *testing.T) {
	far, err := ma.NewMultiaddr("/ip4/198.51.100.7/tcp/1") // TEST-NET-2, RFC 5737
	must(t, err)
	bad := rogue(t, func(s network.Stream, req *pb.Message) {
		m := pb.NewMessage(req.GetType(), req.GetKey(), 0)
		for i := range 5 {
			m.ProviderPeers = append(m.ProviderPeers, &pb.Message_Peer{Id: []byte(peerID(t, i)), Addrs: [][]byte{far.Bytes()}})
		}
		m.CloserPeers = m.ProviderPeers
		_ = pbio.NewDelimitedWriter(s).WriteMsg(m)
	})
	n := start(t, setup{bootstrap: []peer.AddrInfo{{ID: bad.ID(), Addrs: bad.Addrs()}}})
	ready(t, n)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for f := range n.Find(ctx, root(1)) {
		t.Errorf("reported %v", f)
	}
	for i := range 5 {
		for _, a := range n.host.Peerstore().Addrs(peerID(t, i)) {
			t.Errorf("%s is in the peerstore", a)
		}
	}
}
