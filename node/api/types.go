package api

import "time"

// MaxListed bounds the lists of skipped and damaged paths in a result; their counts are exact.
const MaxListed = 1000

// Identity is who a node is.
type Identity struct {
	ID    string   `json:"id"`    // peer ID, base58
	Addrs []string `json:"addrs"` // dialable multiaddrs, each ending in /p2p/<id>; never null
}

// ShareRequest asks to share one file or directory.
type ShareRequest struct {
	Path          string   `json:"path"`                     // absolute
	Name          string   `json:"name,omitempty"`           // shown to others and put in the link; "": the base name of Path
	NoHidden      bool     `json:"no_hidden,omitempty"`      // leave out names inside the tree that start with a dot
	Preserve      bool     `json:"preserve,omitempty"`       // record mode and mtime (changes the CID, as in ipfs add)
	Exclude       []string `json:"exclude,omitempty"`        // patterns of names inside the tree to leave out, as in a .gitignore file, besides those given for this path before
	ForgetExclude bool     `json:"forget_exclude,omitempty"` // leave out nothing but Exclude and NoHidden, whatever was given for this path before
	Wait          bool     `json:"wait,omitempty"`           // return once others can find it, or when it can be said why they cannot: Findable

	Limits *TransferLimits `json:"limits,omitempty"` // for as long as the share lasts; {}: none any more; null: as they are
}

// ShareResult describes what was shared.
type ShareResult struct {
	CID          string   `json:"cid"`
	Name         string   `json:"name"`
	Size         int64    `json:"size"`   // bytes of file data
	Files        int64    `json:"files"`  // 1 for a lone file
	Chunks       int64    `json:"chunks"` // leaves, repeats counted each time
	Link         string   `json:"link"`   // ipfs://<cid>?filename=…&provider=…
	Seconds      float64  `json:"seconds"`
	SkippedCount int64    `json:"skipped_count,omitempty"`
	Skipped      []Issue  `json:"skipped,omitempty"`      // paths left out because they cannot be shared, at most MaxListed
	Homes        []string `json:"homes,omitempty"`        // directories left out because they are the homes of shoal nodes
	System       []string `json:"system,omitempty"`       // directories left out because they show what the system has, as /proc
	Exclude      []string `json:"exclude,omitempty"`      // patterns of what was left out by request
	KeptExclude  []string `json:"kept_exclude,omitempty"` // of these, those of earlier requests, for this path or one above or below it
	Unmatched    []string `json:"unmatched,omitempty"`    // patterns of this request that left out nothing, and lines of ignore files that never can, as d/.shoalignore:3: ../x; at most MaxListed
	Hidden       int64    `json:"hidden,omitempty"`       // files whose path has a part that starts with a dot
	SecretCount  int64    `json:"secret_count,omitempty"`
	Secrets      []string `json:"secrets,omitempty"` // files that look like passwords or private keys, by path, at most MaxListed

	Changes *Changes `json:"changes,omitempty"` // where something else was shared at the path before
	Gone    []string `json:"gone,omitempty"`    // other paths of the same content where nothing is any more: they are forgotten

	Findable *Findable `json:"findable,omitempty"` // where ShareRequest.Wait asked for it
}

// Changes says how what is at a path compares with what was shared there before. That is served for another day, as far
// as it is still there, but neither listed nor announced.
type Changes struct {
	Replaced  string `json:"replaced"` // the CID that was there
	New       int64  `json:"new"`      // files
	Changed   int64  `json:"changed"`
	Gone      int64  `json:"gone"`
	Unchanged int64  `json:"unchanged"`

	IgnoreGone []string `json:"ignore_gone,omitempty"` // .shoalignore files that were removed: what they left out is shared now. At most MaxListed
}

// Findable says whether others can find a share by its CID alone. It is announced further in any case.
type Findable struct {
	OK      bool    `json:"ok"`               // enough peers hold the record that says who has it
	Holders int     `json:"holders"`          // peers that hold it, as far as they were counted
	Needed  int     `json:"needed"`           // how many are enough, by the size of the network
	Seconds float64 `json:"seconds"`          // waited
	Reason  string  `json:"reason,omitempty"` // why it is not, a clause for a person
}

// GetRequest asks to fetch a root, or a part of it, into a file or directory.
type GetRequest struct {
	Link   string   `json:"link"`             // any form that chunker.ParseLink reads, path included
	Dir    string   `json:"dir"`              // absolute: where the result goes under its own name (the caller's working directory)
	Output string   `json:"output,omitempty"` // absolute: names the result itself; overrides Dir. A directory that exists, or a slash at the end, means into it
	Select []string `json:"select,omitempty"` // paths inside the root, slash separated: only these; none: everything
	Force  bool     `json:"force,omitempty"`  // replace different files whose names are in the share, one by one, each atomically

	// RenameIllegal gives names that the destination cannot hold, or takes for one, others, as a_b for a:b: GetResult.Renamed.
	RenameIllegal bool `json:"rename_illegal,omitempty"`

	Limits *TransferLimits `json:"limits,omitempty"` // while this Get runs, and while a daemon goes on with it after a restart; {}: none any more
}

// GetResult describes a finished fetch.
type GetResult struct {
	CID       string           `json:"cid"`
	Path      string           `json:"path"`  // absolute path of the result
	Size      int64            `json:"size"`  // bytes of file data in the result
	Files     int64            `json:"files"` // 1 for a lone file
	Seconds   float64          `json:"seconds"`
	From      map[string]int64 `json:"from"`                 // peer ID to payload bytes verified from it in this fetch; never null
	Had       int64            `json:"had"`                  // bytes verified before this fetch (resumed) or copied from local shares
	Duplicate int64            `json:"duplicate"`            // payload bytes received more than once
	Corrupt   int64            `json:"corrupt"`              // payload bytes thrown away because they did not match their CID
	FirstByte float64          `json:"first_byte,omitempty"` // seconds from the request to the first verified chunk from a peer; 0: none was needed

	LeftCount   int64   `json:"left_count,omitempty"`  // names of the share that are not at the destination: something that must stay is there, or it cannot hold them
	Replaceable int64   `json:"replaceable,omitempty"` // of these, files that GetRequest.Force would have replaced
	Left        []Issue `json:"left,omitempty"`        // at most MaxListed; paths below the result. Unsupported: a name that GetRequest.RenameIllegal would have changed

	// Unfinished says that Select asked for less than an unfinished fetch is for: all of that is there, in Path, which is the unfinished
	// file. The rest is paused, unless it GoesOn.
	Unfinished bool `json:"unfinished,omitempty"`
	GoesOn     bool `json:"goes_on,omitempty"`

	Renamed []Renamed `json:"renamed,omitempty"` // what could not keep its name there, at most MaxListed
}

// Renamed is a name that a destination cannot hold, and what is there instead.
type Renamed struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// CatRequest asks to read one file, or a range of it.
type CatRequest struct {
	Link  string `json:"link"`            // any form that chunker.ParseLink reads, or the name of a share; a path inside behind
	Range string `json:"range,omitempty"` // bytes, as in HTTP: "first-last", "first-", or "-n" for the last n; "": all. See ParseRange

	Limits *TransferLimits `json:"limits,omitempty"` // while this Cat runs
}

// CatResult describes what was read.
type CatResult struct {
	CID       string           `json:"cid"`
	Path      string           `json:"path,omitempty"` // in the root, symlinks followed
	Size      int64            `json:"size"`           // bytes of the whole file
	First     int64            `json:"first"`          // of the bytes read, from 0
	Bytes     int64            `json:"bytes"`          // read
	Seconds   float64          `json:"seconds"`
	From      map[string]int64 `json:"from"`                 // peer ID to payload bytes verified from it, in whole chunks; never null
	Had       int64            `json:"had"`                  // bytes of chunks that were here already
	FirstByte float64          `json:"first_byte,omitempty"` // seconds from the request to the first byte; 0: there was none
}

// State is where a share or an operation stands.
type State string

// States of a share (Share.State).
const (
	StateComplete State = "complete" // every chunk is there and served
	StateFetching State = "fetching" // chunks are arriving; also a state of Get
	StatePaused   State = "paused"   // unfinished, nobody fetches it
	StatePartial  State = "partial"  // a fetch has ended that left names out: what is there is served
	StateChanged  State = "changed"  // files no longer match: what does not fit is not served
)

// States of an operation in progress (Progress.State), next to StateFetching.
const (
	StateIndexing   State = "indexing"   // Share: hashing
	StateAnnouncing State = "announcing" // Share: others are being told; it waits until enough hold the record
	StateSearching  State = "searching"  // Get: no peer that has it is connected
	StateStalled    State = "stalled"    // Get: peers are there, but nothing arrives
	StateChecking   State = "checking"   // Get: re-hashing what a crash left; Verify: hashing
	StateFinishing  State = "finishing"  // Get: the last sync and rename
	StateDone       State = "done"
)

// Progress is one report of a running operation. Numbers are cumulative; a zero means not known (yet).
type Progress struct {
	State   State   `json:"state"`
	CID     string  `json:"cid,omitempty"`
	Name    string  `json:"name,omitempty"`
	Bytes   int64   `json:"bytes"`             // bytes of file data hashed (Share, Verify) or verified and wanted (Get; had ones included)
	Total   int64   `json:"total"`             // bytes of file data in all, as far as known
	Files   int64   `json:"files,omitempty"`   // files hashed (Share, Verify), or in the tree as far as known (Get)
	Chunks  int64   `json:"chunks,omitempty"`  // Get: chunks had and wanted
	Peers   int     `json:"peers"`             // Get: peers connected in this root's swarm
	Found   int     `json:"found,omitempty"`   // Get: providers heard of, connected or not
	Rate    float64 `json:"rate"`              // bytes a second over the last few seconds
	ETA     float64 `json:"eta,omitempty"`     // seconds; 0: cannot be said
	Message string  `json:"message,omitempty"` // one human clause on why it waits: "nobody who has it is found yet; still looking"
	Cause   *Cause  `json:"cause,omitempty"`   // Get, Cat: what it waits for, as Why would tell it
	Warning *Issue  `json:"warning,omitempty"` // Share: this path was left out. Never merged with later reports

	Verified []VerifyResult `json:"verified,omitempty"` // Verify of all: shares done since the last such report. Never merged with later reports
}

// Issue is one path with something to say about it.
type Issue struct {
	Path   string `json:"path"`
	Code   Code   `json:"code,omitempty"` // Verify: changed, damaged, not_found or denied. GetResult.Left: exists or unsupported
	Reason string `json:"reason"`         // a clause for a person
}

// Share is one root that the node has, wholly or in part.
type Share struct {
	CID       string    `json:"cid"`
	Name      string    `json:"name"`
	Path      string    `json:"path"` // absolute; of an unfinished download its final path
	Dir       bool      `json:"dir"`
	Size      int64     `json:"size"` // bytes of file data, as far as known
	Files     int64     `json:"files"`
	Chunks    int64     `json:"chunks"` // leaves, as far as known
	Have      int64     `json:"have"`   // leaves had
	HaveBytes int64     `json:"have_bytes"`
	State     State     `json:"state"`
	Reason    string    `json:"reason,omitempty"` // why it is changed, partial or paused
	Gone      bool      `json:"gone,omitempty"`   // it is changed, and nothing is at Path any more
	Select    []string  `json:"select,omitempty"` // the paths asked for; none: everything
	Link      string    `json:"link"`
	Added     time.Time `json:"added"`
	Places    []Place   `json:"places,omitempty"` // where it lies; of an unfinished download none

	Limits *TransferLimits `json:"limits,omitempty"` // those that Share was given for it
}

// Place is one path where a shared root lies. Each chunk is served from the first place where it is right.
type Place struct {
	Path      string `json:"path"`             // absolute
	Name      string `json:"name,omitempty"`   // where it is not that of the share
	State     State  `json:"state"`            // complete or changed
	Reason    string `json:"reason,omitempty"` // why it is changed
	Have      int64  `json:"have"`             // leaves that are right there
	HaveBytes int64  `json:"have_bytes"`
}

// Kind tells the entries of a tree apart.
type Kind string

// Kinds of Entry.
const (
	KindFile    Kind = "file"
	KindDir     Kind = "directory"
	KindSymlink Kind = "symlink"
)

// Entry is a file, directory or symlink of a share.
type Entry struct {
	Path   string    `json:"path"` // slash separated, relative to the root; "" is the root itself
	Kind   Kind      `json:"kind"`
	Size   int64     `json:"size"`             // bytes of file data; of a directory those of all below
	Chunks int64     `json:"chunks"`           // leaves; of a directory those of all below
	Have   int64     `json:"have"`             // leaves had
	Target string    `json:"target,omitempty"` // symlink text
	Mode   string    `json:"mode,omitempty"`   // octal permission bits, where recorded: "0644"
	Mtime  time.Time `json:"mtime,omitzero"`   // where recorded
}

// Status is the node at a glance.
type Status struct {
	ID           string     `json:"id"`
	Version      string     `json:"version"`
	Home         string     `json:"home"`
	Network      string     `json:"network"`
	Addrs        []string   `json:"addrs"` // as in Identity
	Reach        Reach      `json:"reach"`
	Uptime       float64    `json:"uptime"`
	Memory       int64      `json:"memory"`  // resident bytes of the process, 0 where the platform does not tell
	Peers        int        `json:"peers"`   // connected
	Routing      int        `json:"routing"` // entries of the DHT routing table
	Shares       int        `json:"shares"`
	SharedBytes  int64      `json:"shared_bytes"` // sum of Share.HaveBytes
	Provided     int        `json:"provided"`     // roots that the node announces on its network
	Waiting      int        `json:"waiting"`      // of these, not with enough other peers yet: others may not find them
	RecordsSent  int64      `json:"records_sent"` // announcements that other peers took since the start
	ReceivedRate float64    `json:"received_rate"`
	SentRate     float64    `json:"sent_rate"` // bytes a second, all peers and protocols
	Received     int64      `json:"received"`  // bytes since the start
	Sent         int64      `json:"sent"`
	Limits       Limits     `json:"limits"` // in force now
	Caps         Caps       `json:"caps"`
	Transfers    []Progress `json:"transfers"` // fetches that run now; never null
	Troubles     []Trouble  `json:"troubles"`  // what keeps the node from working as it should; never null
}

// Trouble is something that keeps a node from working as it should: a full disk, no descriptors, a damaged index, a disk that
// is not mounted. What it does not touch goes on.
type Trouble struct {
	Code Code   `json:"code"`
	Text string `json:"text"`           // a sentence for a person
	Next string `json:"next,omitempty"` // what to do
}

// Reach says who reaches a node, and how.
type Reach struct {
	State  ReachState `json:"state"`
	Text   string     `json:"text"`             // a clause for a person
	Next   string     `json:"next,omitempty"`   // what to do for more, where there is something
	Addrs  []string   `json:"addrs,omitempty"`  // where peers on the internet reach it directly
	Relays []string   `json:"relays,omitempty"` // peer IDs of the relays that lead to it
}

// ReachState is the short form of a Reach.
type ReachState string

// States of Reach.
const (
	ReachNetwork  ReachState = "network"  // the network has nothing to do with the internet: those on it reach the node
	ReachUnknown  ReachState = "unknown"  // nobody has tried yet
	ReachInternet ReachState = "internet" // directly
	ReachRelay    ReachState = "relay"    // by hole punching through a relay
	ReachNone     ReachState = "none"     // from nowhere outside of its own network
)

// Cap is how much there is of something that is kept within bounds.
type Cap struct {
	Now  float64 `json:"now"`
	Most float64 `json:"most"`
}

// Caps are what the node takes at most, in every network.
type Caps struct {
	Connections Cap `json:"connections"`
	Dials       Cap `json:"dials"`    // peers dialled a second
	Memory      Cap `json:"memory"`   // bytes without page cache; now is 0 where the platform does not tell
	Overhead    Cap `json:"overhead"` // bytes an hour and connected peer that carry no chunks, since the start
}

// Peer is a connected peer.
type Peer struct {
	ID        string   `json:"id"`
	Addrs     []string `json:"addrs"`     // remote addresses of the open connections
	Direction string   `json:"direction"` // "in" or "out": who dialled
	Agent     string   `json:"agent,omitempty"`
	Shoal     bool     `json:"shoal"`             // speaks the swap protocol
	Latency   float64  `json:"latency,omitempty"` // seconds, smoothed round trip
	Connected float64  `json:"connected"`         // seconds since it connected
	Received  int64    `json:"received"`          // bytes since it connected, as far as counted
	Sent      int64    `json:"sent"`
}

// Provider is a peer that says it has a root.
type Provider struct {
	ID     string   `json:"id"`
	Addrs  []string `json:"addrs"`
	Source string   `json:"source"` // "self", "link", "connected", "mdns", "swarm" or "dht"

	// Whether it can be reached: it was dialled, unless it is connected anyway.
	Reached bool      `json:"reached"`
	Trouble CauseCode `json:"trouble,omitempty"` // why not
	Detail  string    `json:"detail,omitempty"`  // the error in full
}

// VerifyRequest asks to check one share, or all.
type VerifyRequest struct {
	Ref  string `json:"ref,omitempty"`
	All  bool   `json:"all,omitempty"`  // every share, instead of Ref
	Full bool   `json:"full,omitempty"` // hash even the files whose stat is as recorded
}

// VerifyResult says how a share compares with its files; that of VerifyRequest.All is the sum of those of the shares,
// which Progress.Verified tells one by one.
type VerifyResult struct {
	CID        string  `json:"cid,omitempty"`
	Name       string  `json:"name,omitempty"`
	Path       string  `json:"path,omitempty"`
	State      State   `json:"state,omitempty"`      // fetching or paused: an unfinished download, which is checked as it arrives and not here
	OK         bool    `json:"ok"`                   // nothing missing, changed or damaged
	Gone       bool    `json:"gone,omitempty"`       // nothing is at Path any more
	Shares     int64   `json:"shares,omitempty"`     // of All: looked at
	Bad        int64   `json:"bad,omitempty"`        // of these, not OK
	Unfinished int64   `json:"unfinished,omitempty"` // of All: downloads, which were passed over
	Files      int64   `json:"files"`                // files looked at
	Bytes      int64   `json:"bytes"`                // bytes of file data that they hold
	Checked    int64   `json:"checked"`              // of these, hashed
	Seconds    float64 `json:"seconds"`
	IssueCount int64   `json:"issue_count,omitempty"`
	Issues     []Issue `json:"issues,omitempty"` // at most MaxListed

	// GonePlaces are paths of the share where nothing is any more, though their disk is there. It is whole at another one, so that this is no issue.
	GonePlaces []string `json:"gone_places,omitempty"`
}

// MoveRequest tells that shared files were moved.
type MoveRequest struct {
	From string `json:"from"` // absolute: what was shared there, and below it, lies elsewhere now
	To   string `json:"to"`   // absolute: where it is; a directory also means in it, under its old name
}

// MoveResult says what was found at the new path.
type MoveResult struct {
	Shares  []MovedShare `json:"shares"` // those that lay at MoveRequest.From or below it
	Seconds float64      `json:"seconds"`
}

// MovedShare is one share at its new path: Checked counts the bytes that had to be hashed.
type MovedShare struct {
	From string `json:"from"`
	VerifyResult
}

// Version tells builds apart.
type Version struct {
	Version string `json:"version"` // "0.1.0", "+<commit>" appended where the build recorded one
	Go      string `json:"go"`      // toolchain, "go1.26.0"
	OS      string `json:"os"`
	Arch    string `json:"arch"`

	// Transient says that it is no daemon but the node of one verb, and ends with that.
	Transient bool `json:"transient,omitempty"`
}
