package transfer

import (
	"errors"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Errors of a [Source] and a [Root], told to the peer that asked as "gone" or
// "refused". An implementation returns or wraps them.
var (
	// ErrNotFound: no such root, or no such block, here.
	ErrNotFound = errors.New("not found")
	// ErrChanged: the file behind the leaf is no longer what was shared.
	ErrChanged = errors.New("changed since it was shared")
	// ErrNotHave: the leaf belongs to the root but is not here (yet).
	ErrNotHave = errors.New("leaf not here")
	// ErrClosed: the engine was closed while the call was under way.
	ErrClosed = errors.New("transfer engine closed")
)

// Source is what the server serves from. Its methods may be called from many
// goroutines at once.
type Source interface {
	// OpenRoot opens a root for reading, live downloads included, or returns
	// ErrNotFound.
	OpenRoot(root cid.Cid) (Root, error)
	// Block returns one inner node or leaf by its CID, in buf if it fits, or
	// ErrNotFound.
	Block(c cid.Cid, buf []byte) ([]byte, error)
}

// Checker is a Source that looks again at a leaf of its own which a peer says came
// damaged. It reads and hashes it, and offers it no longer if that is so.
type Checker interface {
	// CheckLeaf tells whether leaf i of root is damaged here.
	CheckLeaf(root cid.Cid, i int) (damaged bool, err error)
}

// Root reads one root. It is used by one goroutine at a time.
type Root interface {
	Name() string   // file name to suggest to a fetcher, may be empty
	Leaves() int    // leaves known so far
	Complete() bool // all inner nodes are known, so Leaves is final
	Have() []byte   // bitmap of the leaves held, leaf i is byte i/8 bit i%8; nil: all
	// Node returns the i-th inner node in walk order, io.EOF past the known end.
	Node(i int) ([]byte, error)
	// ReadLeafAt reads leaf i from byte off on into buf, as much as fits, and
	// returns how much that is and the size of the whole leaf; ErrChanged,
	// ErrNotHave.
	ReadLeafAt(i int, buf []byte, off int) (n, size int, err error)
	Close() error
}

// Job is one download, as [Engine.Fetch] sees it. All methods but Write are
// called from the goroutine that called Fetch, Write from several at once.
type Job interface {
	Root() cid.Cid
	// NextNode is the inner node wanted next, in pre-order of first occurrence;
	// false when all are known.
	NextNode() (cid.Cid, bool)
	// Nodes is the number of inner nodes known, which is NextNode's index.
	Nodes() int
	// AddNode adds the node NextNode named. Its hash has been checked already.
	// An error ends the fetch.
	AddNode(block []byte) error
	Leaves() (known int, complete bool)
	// Leaf gives leaf i's CID and size in bytes, -1 where it is not known (a
	// root that is a lone leaf).
	Leaf(i int) (cid.Cid, int)
	Wanted(i int) bool // selected for download
	Has(i int) bool    // already held and verified
	// Write stores a verified leaf. An error ends the fetch.
	Write(i int, data []byte) error
	// SetName is called at most once, with the first usable name a peer gives.
	SetName(name string)
}

// Stats tells how a fetch is going. Leaves, Have and Total count wanted leaves
// only and grow while inner nodes arrive.
type Stats struct {
	Leaves, Have int     // leaves known, and held
	Bytes        int64   // payload verified and written by this fetch
	Total        int64   // bytes of the wanted leaves known so far
	Missing      int64   // bytes of Total not held yet
	Duplicate    int64   // payload bytes that arrived without need
	Corrupt      int64   // payload bytes whose hash was wrong
	Complete     bool    // all inner nodes are known: Leaves and Total are final
	Rate         float64 // bytes/s, over the last seconds
	Started      time.Time
	FirstByte    time.Time         // when the first leaf had been written, zero before
	From         map[peer.ID]int64 // verified bytes by sender
	Peers        []PeerStats       // peers in use now
	Candidates   int               // peers known but not connected
	Relayed      int               // dials that ended with ErrRelayed
	Known        []CandidateStats  // of these, the first, those with trouble before the others
	Lost         int               // leaves missing that no peer in use has; counted once in a while
}

// PeerStats describes one peer of a fetch.
type PeerStats struct {
	ID      peer.ID
	Bytes   int64         // verified bytes received from it
	Rate    float64       // bytes/s, over the last seconds
	Have    int           // leaves it has said it holds, -1: all
	RTT     time.Duration // measured when it answered, 0 before
	Waiting int64         // bytes asked of it that have not arrived
	Choked  bool          // it takes no requests for now

	Answered bool  // it has said what it has
	Err      error // what it has said, or shown, against sending, since it sent last; nil: nothing
	Lacks    error // why it does not give some leaves, as it said last; nil: nothing
	Damaged  int   // leaves that it has sent damaged
}
