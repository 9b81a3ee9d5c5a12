package wire

import (
	"github.com/ipfs/go-cid"
)

// # The swap protocol, /shoal/swap/1.0.0
//
// Two peers swap the leaves (raw chunks) and inner nodes of any number of roots
// over one long-lived stream. Goals: a fetch starts without waiting for replies;
// payload goes from file to socket and back in one buffer; what a peer can make
// the other one hold is bounded. Not goals: trust (each chunk is checked against
// its CID), discovery of peers (only hints are passed on), encryption (the
// transport has it).
//
// A peer may open some more streams to another one, on connections of their own, and
// want the same root on each. Each stream stands for itself.
//
// A stream carries two independent directions. A side that wants a root binds a
// handle of its choosing to it with [Want]; from then on both sides name that
// subscription by the handle. Below, "requester" is the side that sent the want
// and "provider" the other one; each peer can be both on one stream. A handle is
// never used again on its stream.
//
// # Frames
//
//	u32 length of body | u8 kind | body
//
// Integers are big-endian. The first frame each way is [Hello]. Bodies of all
// kinds but node, data, part and block are at most 64 KiB ([MaxControl]); those four
// carry a payload of at most 2 MiB ([MaxPayload]) after a fixed header.
//
// # Compatibility
//
// The protocol ID carries the major version. Kinds are only added: a frame of an
// unknown kind is skipped by its length, which is at most [MaxControl]. Fields
// are only appended: bytes that follow the last known field are ignored. Flag
// bits and codes that are not listed are ignored or taken as "other". Kinds 0
// and 128-255 are reserved.
//
// # A crowd
//
// A provider that holds the whole root and has several requesters deals its
// leaves out: one that it sends to a requester is [Gone] for the others with
// [CodeElsewhere], until it has dealt out what they ask for. Then it offers all of
// them again with [HaveAll]. So a copy of the whole is out soon, and requesters
// swap the rest; one that keeps nothing ([WantReads]) has no part in it.
//
// A provider whose uplink is what limits a crowd sends whole leaves in turn, rather
// than all of them slowly: it chokes everybody ([Choke]) and makes an [Offer] to the
// one whose turn it is. So a requester decides at the last moment what to ask of whom,
// and nothing waits in queues while others could send it. With [Pace] the provider
// asks to hear how much has got through; [Got] tells it.
//
// A peer that breaks a limit or the order of messages, or sends what was never
// asked, is reset.

// ID is the protocol ID.
const ID = "/shoal/swap/1.0.0"

// Version is the version spoken here, see [Hello].
const Version = 1

// Limits. A frame beyond them is an error before anything is allocated for it.
const (
	HeaderSize     = 5        // bytes of a frame header
	MaxControl     = 64 << 10 // bytes of a control frame's body
	MaxPayload     = 2 << 20  // bytes of a leaf, node or block
	DataHeaderSize = 8        // bytes of a data body before its payload
	MaxRuns        = 4096     // runs in one message
	MaxBitsBytes   = 32 << 10 // bytes of bitmap in one message
	MaxBlocks      = 64       // CIDs in one blocks message
	MaxPeers       = 30       // peers in one peers message
	MaxAddrs       = 8        // addresses of one peer
	MaxAddrBytes   = 256      // bytes of one address
	MaxName        = 255      // bytes of a name
)

// Kind tells what a frame is.
type Kind uint8

// The kinds. Each is described at the type of its name.
const (
	KindHello    Kind = 1
	KindWant     Kind = 2
	KindUnwant   Kind = 3
	KindNodes    Kind = 4
	KindRequest  Kind = 5
	KindCancel   Kind = 6
	KindBlocks   Kind = 7
	KindInfo     Kind = 8
	KindHaveAll  Kind = 9
	KindHaveBits Kind = 10
	KindHaveRuns Kind = 11
	KindNode     Kind = 12
	KindNoNode   Kind = 13
	KindData     Kind = 14
	KindChoke    Kind = 15
	KindUnchoke  Kind = 16
	KindPeers    Kind = 17
	KindGone     Kind = 18
	KindRefused  Kind = 19
	KindBusy     Kind = 20
	KindBlock    Kind = 21
	KindNoBlock  Kind = 22
	KindPace     Kind = 23
	KindGot      Kind = 24
	KindBegin    Kind = 25
	KindPart     Kind = 26
	KindInterest Kind = 27
	KindOffer    Kind = 28
	KindCorrupt  Kind = 29
)

// Run is the leaves [First, First+Count) of a root's leaf sequence (all its
// leaves in depth-first pre-order, repeats counted each time). Count is at least
// 1 and the run ends at 2^32 at most.
//
//	u32 first | u32 count
//
// A list of runs is a u16 count (1 to [MaxRuns]) and then the runs.
type Run struct{ First, Count uint32 }

// Message is one of the types below.
type Message interface {
	kind() Kind
	append(b []byte) []byte
}

// Hello is the first frame in each direction and is sent without waiting for the
// other's. The stream speaks the highest version both ranges hold; without one it
// is reset.
//
//	u16 lowest version | u16 highest version | u64 feature bits (none defined)
type Hello struct {
	MinVersion, MaxVersion uint16
	Features               uint64
}

// Requester to provider.
type (
	// Want subscribes to a root. The provider answers Info and then its have-map
	// (HaveAll, or HaveBits, or nothing yet; with Gone it may say why some of it is
	// missing) and keeps both up to date, or answers Refused, which holds for now only. Other messages about the handle may follow at once.
	//
	//	u32 handle | u32 flags | u8 length, CID
	Want struct {
		Handle uint32
		Flags  uint32 // WantPeers, WantReads
		Root   cid.Cid
	}

	// Unwant ends a subscription; what was asked and is not yet sent is dropped.
	//
	//	u32 handle
	Unwant struct{ Handle uint32 }

	// Nodes asks for the root's inner nodes in pre-order of first occurrence,
	// from the given index on, as one Node each, ended by NoNode. It replaces an
	// earlier Nodes for the handle.
	//
	//	u32 handle | u32 index
	Nodes struct{ Handle, From uint32 }

	// Request asks for leaves, answered in order by one Data each, or by Begin and
	// Parts, or by Gone, which may have been sent before. Choke and Busy drop it.
	//
	//	u32 handle | runs
	Request struct {
		Handle uint32
		Runs   []Run
	}

	// Cancel takes back requested leaves that are not yet sent. It has no answer:
	// such a leaf may still arrive, or break off.
	//
	//	u32 handle | runs
	Cancel struct {
		Handle uint32
		Runs   []Run
	}

	// Blocks asks for single blocks (inner nodes or leaves of any root), each
	// answered by Block or NoBlock with its index in CIDs. The ID is the
	// requester's and is not used again while an answer is due.
	//
	//	u32 id | u8 count (1 to MaxBlocks), each: u8 length, CID
	Blocks struct {
		ID   uint32
		CIDs []cid.Cid
	}
)

// Got tells the provider how many bytes of payload of Data and Part messages have been read
// on this stream since it began. It is sent once at a Pace and then each time that
// Every more bytes have come, within a leaf too.
//
//	u64 bytes
type Got struct{ Total uint64 }

// Corrupt tells the provider that a leaf it has sent did not match its CID. The requester
// ends the subscription with that. The provider has no more reason to believe it than to
// hash its own copy: one that is damaged it offers no longer.
//
//	u32 handle | u32 leaf
type Corrupt struct{ Handle, Leaf uint32 }

// Pace asks for Got messages, or no more of them. A requester may send them more
// rarely than asked. There are none before the first Pace.
//
//	u32 bytes between them, 0: none
type Pace struct{ Every uint32 }

// Interest tells a provider that has sent Choke whether the requester would take an
// Offer now, and how many leaves are on their way to it from anybody: among many, one
// that waits for few is served best first. It is sent in answer to each Choke, to an
// Offer that is not taken, and when it changes.
//
//	u32 handle | u8 flags | u16 leaves on their way
type Interest struct {
	Handle uint32
	Flags  uint8 // InterestWants, InterestChoked, InterestDeclines
	Load   uint16
}

// The flags of Interest.
const (
	InterestWants    uint8 = 1 // an Offer would be taken
	InterestChoked   uint8 = 2 // this answers a Choke: no request from before it follows
	InterestDeclines uint8 = 4 // this answers an Offer
)

// WantPeers asks for Peers messages about the root.
const WantPeers uint32 = 1

// WantReads says that the requester keeps nothing of the root: it will have nothing
// to give, so that others need not hear of it.
const WantReads uint32 = 2

// Provider to requester.
type (
	// Info describes the root as the provider knows it. It is sent again when
	// more becomes known.
	//
	//	u32 handle | u32 flags | u32 leaves known | u16 length, name (UTF-8)
	Info struct {
		Handle uint32
		Flags  uint32 // InfoComplete
		Leaves uint32
		Name   string // suggested file name, may be empty
	}

	// HaveAll: the provider holds every leaf.
	//
	//	u32 handle
	HaveAll struct{ Handle uint32 }

	// HaveBits adds leaves to the have-map: leaf First + i for each set bit i,
	// which is byte i/8, bit i%8 from the low end. First is a multiple of 8.
	//
	//	u32 handle | u32 first | u16 length (1 to MaxBitsBytes), bitmap
	HaveBits struct {
		Handle, First uint32
		Bits          []byte
	}

	// HaveRuns adds leaves to the have-map.
	//
	//	u32 handle | runs
	HaveRuns struct {
		Handle uint32
		Runs   []Run
	}

	// Node is one inner node, answering Nodes.
	//
	//	u32 handle | u32 index | block, to the end of the body
	Node struct {
		Handle, Index uint32
		Block         []byte
	}

	// NoNode ends a stream of nodes: from this index on they are not known here.
	// After a complete DAG it is the number of its nodes.
	//
	//	u32 handle | u32 index
	NoNode struct{ Handle, Index uint32 }

	// Data is one requested leaf.
	//
	//	u32 handle | u32 leaf | payload, to the end of the body
	Data struct {
		Handle, Leaf uint32
		Payload      []byte
	}

	// Begin: a requested leaf of so many bytes comes in Parts, so that other messages
	// need not wait for all of it. Until it is whole there is no other leaf.
	//
	//	u32 handle | u32 leaf | u32 size
	Begin struct{ Handle, Leaf, Size uint32 }

	// Part is the next bytes of the leaf begun, or none: the rest will not come, for
	// the leaf was cancelled or the subscription has ended. To break off a leaf that is
	// wanted is to refuse it.
	//
	//	payload, to the end of the body
	Part struct{ Payload []byte }

	// Choke: the provider has dropped the handle's unsent requests and takes no
	// more until Unchoke, but for one at each Offer. The requester says by Interest
	// whether it would like one.
	//
	//	u32 handle
	Choke struct{ Handle uint32 }

	// Offer: though choked, the requester may ask once for leaves of so many bytes, or
	// for one that is larger. It answers with Request or Interest.
	//
	//	u32 handle | u32 bytes
	Offer struct{ Handle, Bytes uint32 }

	// Unchoke: the provider takes requests again.
	//
	//	u32 handle
	Unchoke struct{ Handle uint32 }

	// Peers names others in the root's swarm, as hints for dialling. Addresses
	// are binary multiaddrs; one that is not understood is skipped.
	//
	//	u32 handle | u8 count (at most MaxPeers), each:
	//	    u8 length, peer ID | u8 count (at most MaxAddrs), each: u16 length, address
	Peers struct {
		Handle uint32
		Peers  []Peer
	}

	// Gone: leaves that will not come, requested or not, and that the provider no
	// longer offers. When it has them again it says so by HaveRuns.
	//
	//	u32 handle | u8 code | runs
	Gone struct {
		Handle uint32
		Code   Code
		Runs   []Run
	}

	// Refused ends a subscription, or answers a Want with no.
	//
	//	u32 handle | u8 code
	Refused struct {
		Handle uint32
		Code   Code
	}

	// Busy: the queue is full and the provider has dropped all of the handle's
	// unsent requests. Ask again after the time given, here or elsewhere.
	//
	//	u32 handle | u32 milliseconds
	Busy struct{ Handle, RetryMillis uint32 }

	// Block answers one CID of a Blocks.
	//
	//	u32 id | u8 index | block, to the end of the body
	Block struct {
		ID    uint32
		Index uint8
		Block []byte
	}

	// NoBlock answers one CID of a Blocks with no.
	//
	//	u32 id | u8 index | u8 code
	NoBlock struct {
		ID    uint32
		Index uint8
		Code  Code
	}
)

// InfoComplete: all inner nodes are known to the provider, so Leaves is final.
const InfoComplete uint32 = 1

// Peer is one entry of Peers.
type Peer struct {
	ID    string   // binary peer ID
	Addrs [][]byte // binary multiaddrs
}

// Code says why.
type Code uint8

// The codes.
const (
	CodeOther    Code = 0
	CodeNotFound Code = 1 // no such root or block here
	CodeChanged  Code = 2 // the file behind the leaf is no longer what was shared
	CodeNotHave  Code = 3 // the leaf is not here (yet)
	CodeRead     Code = 4 // the leaf cannot be read
	CodeLimit    Code = 5 // too many subscriptions or requests
	CodeDenied   Code = 6 // not for this peer

	// CodeElsewhere: sent to others of the swarm, who will have it soon. It is
	// offered again later.
	CodeElsewhere Code = 7
)
