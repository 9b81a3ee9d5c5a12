package api

import (
	"context"
	"io"
)

// Service is what a shoal node can be asked to do. node.Node implements it in the process, Client over the API
// socket; code written against it does not know which of the two it talks to.
//
// Rules that every implementation keeps:
//
//   - Paths in requests and answers are absolute. The caller resolves them, because a daemon has another working
//     directory.
//   - A request whose Check fails is refused with that error before anything is done.
//   - Errors that a user can act on are, or wrap, *Error. Cancelling ctx ends a call with an error for which
//     errors.Is(err, context.Canceled) (or DeadlineExceeded) holds. There is no other timeout.
//   - A progress function may be nil. It is called serially, never after the method has returned, about ten times a
//     second at most (warnings and changes of state come when they happen), and returns quickly.
//   - A ref names something the node has: see MatchShare.
type Service interface {
	// ID tells who the node is and where it can be dialled.
	ID(ctx context.Context) (Identity, error)

	// Share indexes the file or directory at req.Path in place and provides it. It returns once the root is known and
	// stored; providing goes on in the background, unless req.Wait asks to wait for it. Paths left out of a tree are reported by Progress.Warning.
	// Codes: not_found, denied, invalid (a device, FIFO or socket), changed (it moved while it was hashed), no_space.
	Share(ctx context.Context, req ShareRequest, progress func(Progress)) (ShareResult, error)

	// Get fetches a root (or the part of it that the link's path and req.Select name) and returns when the result is
	// whole, verified and in place. Cancelling ctx pauses the fetch; the same request resumes it. One that has brought no
	// byte is forgotten when it fails or is cancelled. A Get of a root of which something has come already adjusts that: what
	// it selects is added, and what has come moves to where the result is to be. A second Get of a
	// root that is being fetched joins the first: both report progress, and the fetch is paused when the last leaves. If it
	// goes to another place, it waits for the first and copies.
	// While nobody has the root, it keeps looking: Progress.State is StateSearching and Message says so.
	// Codes: invalid, unsupported, not_found (no such path in the root), exists, no_space, read_only, denied, conflict (what
	// has come is of another path of the same root, and would be lost).
	Get(ctx context.Context, req GetRequest, progress func(Progress)) (GetResult, error)

	// Cat writes a file, or a range of it, to w, in order, while what is not here is fetched from many. Nothing of it
	// is kept. Each byte is verified before it is written. w sets the pace: no more than a window ahead of it is
	// fetched. An error of w ends the call and is returned, wrapped.
	// Codes: invalid (a directory, a range outside of the file), unsupported, not_found (no such path in the root), damaged.
	Cat(ctx context.Context, req CatRequest, w io.Writer, progress func(Progress)) (CatResult, error)

	// List gives every share, downloads included, oldest first.
	List(ctx context.Context) ([]Share, error)

	// Entries lists the files, directories and symlinks of a share in tree order, the root (path "") first. Of an
	// unfinished download it gives those known so far. Codes: not_found, conflict (an ambiguous name).
	Entries(ctx context.Context, ref string) ([]Entry, error)

	// Remove forgets a share and returns what it was. A path forgets only that place of it, which Share.Places then holds alone.
	// The user's file stays; an unfinished download loses its .part.
	// Codes: not_found, conflict (an ambiguous name).
	Remove(ctx context.Context, ref string) (Share, error)

	// Status is the node at a glance.
	Status(ctx context.Context) (Status, error)

	// Peers lists the connected peers.
	Peers(ctx context.Context) ([]Peer, error)

	// Find looks for peers that have the root (a CID or any form of link), dials each, and reports each once, when it is
	// known whether it can be reached. It returns nil when a pass over every source has ended, whether or not it found anybody.
	// Codes: invalid, unsupported.
	Find(ctx context.Context, ref string, found func(Provider)) error

	// Why tells why a root is slow, stuck or not found. It looks at the fetch, download or share that is here, and where
	// none runs it searches for peers itself, until there is enough evidence or req.Timeout is over. That a cause is found is no error.
	// Codes: invalid, unsupported, not_found (no such share), conflict (an ambiguous name).
	Why(ctx context.Context, req WhyRequest, progress func(Progress)) (Diagnosis, error)

	// Verify compares a share with its files: by their stat, and with req.Full (or where the stat differs) by hash.
	// Damage is a result, not an error: VerifyResult.OK is false. What still fits is served again afterwards. With req.All
	// Progress.Verified gives the result of each share, and an unfinished download stands in nobody's way.
	// Codes: invalid (neither a ref nor all), not_found, conflict (an ambiguous name).
	Verify(ctx context.Context, req VerifyRequest, progress func(Progress)) (VerifyResult, error)

	// Move takes note that shared files were moved, and compares them with what was shared, as Verify does: those with the
	// same stat but for the path are not hashed. It moves nothing itself.
	// Codes: not_found (nothing is shared at From, or nothing is at To), conflict (something else is shared at To), changed
	// (nothing of what was shared is at To; nothing is recorded).
	Move(ctx context.Context, req MoveRequest, progress func(Progress)) (MoveResult, error)

	// Limits tells which rate limits are in force, and why.
	Limits(ctx context.Context) (LimitState, error)

	// SetLimits sets rate limits by hand, at once and also for transfers under way, and returns what is in force then.
	// Codes: invalid (a rate below 0, or too low to be meant).
	SetLimits(ctx context.Context, req LimitRequest) (LimitState, error)

	// PeerLists tells whom the user allows and bans.
	PeerLists(ctx context.Context) (PeerLists, error)

	// SetPeerLists allows, bans and forgets peers, for good, and returns the lists then. Who may not connect any more is
	// cut off before it returns; its data is not asked for and nothing is sent to it.
	// Codes: invalid (no peer ID, the node itself, too many).
	SetPeerLists(ctx context.Context, req PeerListRequest) (PeerLists, error)

	// Version tells which build answers.
	Version(ctx context.Context) (Version, error)
}
