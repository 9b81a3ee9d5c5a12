package dht

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-msgio"
	"google.golang.org/protobuf/proto"
)

const (
	requestTimeout = 10 * time.Second // per message, beside the caller's
	maxCloser      = 40               // closer peers believed in one answer; honest nodes send at most k
	maxAddrs       = 32               // addresses believed of one peer
	maxAddrBytes   = 128              // length of one of them
	serviceName    = "shoal.dht"      // the resource scope that our streams are charged to
)

// errNoStream tells a failure to reach the peer from one on a stream that had worked before.
var errNoStream = errors.New("no stream")

// sender sends DHT messages, one stream a peer, one request at a time on it. It does what kad-dht's own sender does, but
// bounds what comes back: that one accepts 4 MiB and takes every peer in it into the peerstore.
type sender struct {
	host      host.Host
	proto     protocol.ID
	max       int                   // bytes of an answer
	delivered func([]byte, peer.ID) // told the key of each provider record that was sent, and to whom
	asked     atomic.Int64          // messages sent or tried

	mu    sync.Mutex
	links map[peer.ID]*link
}

var _ pb.MessageSenderWithDisconnect = (*sender)(nil)

// link is the stream to one peer. Its lock is a channel, so that waiting for it can be given up.
type link struct {
	lock   chan struct{}
	stream network.Stream
	read   msgio.ReadCloser
}

func newSender(h host.Host, proto protocol.ID, maxResponse int, delivered func([]byte, peer.ID)) *sender {
	return &sender{host: h, proto: proto, max: maxResponse, delivered: delivered, links: map[peer.ID]*link{}}
}

// SendRequest sends a message and waits for the answer.
func (s *sender) SendRequest(ctx context.Context, p peer.ID, m *pb.Message) (*pb.Message, error) {
	start := time.Now()
	resp := new(pb.Message)
	if err := s.exchange(ctx, p, m, resp); err != nil {
		return nil, fmt.Errorf("dht request to %s: %w", p, err)
	}
	s.host.Peerstore().RecordLatency(p, time.Since(start))
	bound(resp)
	return resp, nil
}

// SendMessage sends a message that has no answer.
func (s *sender) SendMessage(ctx context.Context, p peer.ID, m *pb.Message) error {
	if err := s.exchange(ctx, p, m, nil); err != nil {
		return fmt.Errorf("dht message to %s: %w", p, err)
	}
	if m.GetType() == pb.Message_ADD_PROVIDER {
		s.delivered(m.GetKey(), p)
	}
	return nil
}

// OnDisconnect forgets the stream to a peer that went away.
func (s *sender) OnDisconnect(_ context.Context, p peer.ID) {
	s.mu.Lock()
	l := s.links[p]
	delete(s.links, p)
	s.mu.Unlock()
	if l == nil {
		return
	}
	select {
	case l.lock <- struct{}{}:
		l.drop()
		<-l.lock
	default: // in use: its exchange fails and drops the stream itself
	}
}

// exchange does one message on the peer's stream, and once more on a new one if an old one turned out to be dead.
func (s *sender) exchange(ctx context.Context, p peer.ID, m, resp *pb.Message) error {
	body, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	frame := append(binary.AppendUvarint(make([]byte, 0, len(body)+binary.MaxVarintLen32), uint64(len(body))), body...)

	s.asked.Add(1)
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	l := s.link(p)
	select {
	case l.lock <- struct{}{}:
		defer func() { <-l.lock }()
	case <-ctx.Done():
		return ctx.Err()
	}
	old := l.stream != nil
	err = s.try(ctx, p, l, frame, resp)
	if err != nil && old && ctx.Err() == nil {
		err = s.try(ctx, p, l, frame, resp)
	}
	if errors.Is(err, errNoStream) {
		s.mu.Lock()
		if s.links[p] == l {
			delete(s.links, p)
		}
		s.mu.Unlock()
	}
	return err
}

func (s *sender) link(p peer.ID) *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.links[p]
	if l == nil {
		l = &link{lock: make(chan struct{}, 1)}
		s.links[p] = l
	}
	return l
}

// try does one exchange; any failure drops the stream, since its state is unknown then.
func (s *sender) try(ctx context.Context, p peer.ID, l *link, frame []byte, resp *pb.Message) (err error) {
	if l.stream == nil {
		if err := s.open(ctx, p, l); err != nil {
			return err
		}
	}
	stream := l.stream
	stop := context.AfterFunc(ctx, func() { _ = stream.Reset() })
	defer func() {
		if !stop() || err != nil {
			l.drop()
		}
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
	}()
	if _, err := stream.Write(frame); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if resp == nil {
		return nil
	}
	b, err := l.read.ReadMsg()
	defer l.read.ReleaseMsg(b)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if err := proto.Unmarshal(b, resp); err != nil {
		return fmt.Errorf("decode answer of %d bytes: %w", len(b), err)
	}
	return nil
}

func (s *sender) open(ctx context.Context, p peer.ID, l *link) error {
	stream, err := s.host.NewStream(ctx, p, s.proto)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoStream, err)
	}
	if err := stream.Scope().SetService(serviceName); err != nil {
		_ = stream.Reset()
		return fmt.Errorf("%w: %w", errNoStream, err)
	}
	l.stream, l.read = stream, msgio.NewVarintReaderSize(stream, s.max)
	return nil
}

func (l *link) drop() {
	if l.stream != nil {
		_ = l.stream.Reset()
		l.stream, l.read = nil, nil
	}
}

// bound cuts an answer to what an honest one needs. Which providers of too many are kept is random, so that a peer
// cannot hide others by putting its own first.
func bound(m *pb.Message) {
	if n := len(m.ProviderPeers); n > maxProviders {
		rand.Shuffle(n, func(i, j int) {
			m.ProviderPeers[i], m.ProviderPeers[j] = m.ProviderPeers[j], m.ProviderPeers[i]
		})
	}
	m.ProviderPeers = boundPeers(m.ProviderPeers, maxProviders)
	m.CloserPeers = boundPeers(m.CloserPeers, maxCloser)
	m.Record = nil
}

// boundPeers keeps at most limit peers with well-formed IDs, and of each the first few addresses.
func boundPeers(peers []*pb.Message_Peer, limit int) []*pb.Message_Peer {
	out := make([]*pb.Message_Peer, 0, min(len(peers), limit))
	for _, p := range peers {
		if len(out) == limit {
			break
		}
		if _, err := peer.IDFromBytes(p.GetId()); err != nil {
			continue
		}
		if len(p.Addrs) > maxAddrs {
			p.Addrs = p.Addrs[:maxAddrs]
		}
		out = append(out, p)
	}
	return out
}
