package api

// WhyRequest asks why a root is slow, stuck or not found.
type WhyRequest struct {
	Ref     string  `json:"ref"`               // any form of link, or the name or path of a share
	Timeout float64 `json:"timeout,omitempty"` // seconds to gather evidence at most; 0: 10

	// NoDaemon says that the node was started for this question alone and ends with it. It does not travel.
	NoDaemon bool `json:"-"`
}

// CauseCode names a cause, for programs. Codes are append-only; treat one you do not know as "something is wrong".
type CauseCode string

// Causes that are no trouble.
const (
	CauseOK       CauseCode = "ok"       // it is here whole and shared, or coming at a good rate
	CauseReady    CauseCode = "ready"    // nobody fetches it here, but peers are there that have all of it
	CauseStarting CauseCode = "starting" // too early to tell
	CauseChecking CauseCode = "checking" // what is here already is being hashed
)

// Causes on this side.
const (
	CauseNoDaemon     CauseCode = "no_daemon"     // unfinished, or not served: no daemon runs
	CausePaused       CauseCode = "paused"        // unfinished, and paused by the user
	CauseFailed       CauseCode = "failed"        // the last fetch ended with an error that no other code names
	CauseNoSpace      CauseCode = "no_space"      // the disk at the destination, or that of the home, is full
	CauseReadOnly     CauseCode = "read_only"     // the destination, or the home, cannot be written
	CauseExists       CauseCode = "exists"        // something else is at the destination
	CauseDamaged      CauseCode = "damaged"       // what the CID names is not a well-formed file or directory
	CauseChangedHere  CauseCode = "changed_here"  // it is shared here, but its files have changed
	CauseLimitDown    CauseCode = "limit_down"    // our limit on what comes from all peers together
	CauseLimitPeer    CauseCode = "limit_peer"    // our limit on what comes from each peer
	CauseNoPeers      CauseCode = "no_peers"      // no peer at all is connected
	CauseNoBootstrap  CauseCode = "no_bootstrap"  // nor does any of those answer that are to lead into the network
	CauseNobody       CauseCode = "nobody"        // peers are there, but none that has it
	CauseLostChunks   CauseCode = "lost_chunks"   // chunks are missing that nobody connected has
	CauseSlowPeers    CauseCode = "slow_peers"    // it comes, as fast as those who have it send
	CauseChoked       CauseCode = "choked"        // those who have it serve others for now
	CauseStalled      CauseCode = "stalled"       // they are asked, and send nothing
	CauseNotConnected CauseCode = "not_connected" // peers that have it are known but not dialled yet
)

// Causes at a peer: what is wrong with one, and the cause if it is so with those who might have the root.
const (
	CauseRefused   CauseCode = "refused"      // it refuses connections: nothing listens there
	CauseTimeout   CauseCode = "timeout"      // it does not answer
	CauseNoRoute   CauseCode = "no_route"     // no way leads there
	CauseGated     CauseCode = "gated"        // this network does not let us dial it
	CauseBanned    CauseCode = "banned"       // the user's lists do not let it connect here
	CauseRelayed   CauseCode = "relayed"      // only a relay leads there, and data may not go through it
	CauseWrongPeer CauseCode = "wrong_peer"   // somebody else answers at its address
	CauseNoSwap    CauseCode = "no_swap"      // it does not speak shoal's swap protocol
	CauseNoAddress CauseCode = "no_address"   // nobody knows where it is
	CauseDial      CauseCode = "dial_failed"  // dialling it failed in another way
	CauseNotThere  CauseCode = "not_there"    // it has not, or no longer, got the root
	CauseChanged   CauseCode = "changed"      // its files are no longer what was shared
	CauseRead      CauseCode = "read_error"   // it cannot read its files
	CauseDenied    CauseCode = "denied"       // it does not serve us
	CauseBusy      CauseCode = "busy"         // it has too many requests
	CauseSilent    CauseCode = "silent"       // connected, it does not answer or send
	CauseCorrupt   CauseCode = "corrupt"      // it sent what does not match its CID, and is left alone for a while
	CauseViolation CauseCode = "violation"    // it broke the protocol, and is left alone for long
	CauseHungUp    CauseCode = "disconnected" // the connection broke
	CausePaced     CauseCode = "dial_rate"    // nothing: so many dials are under way that it has to wait
)

// Cause is a reason why a fetch is slow or stuck, and the way out.
type Cause struct {
	Code CauseCode `json:"cause"`
	What string    `json:"what"`           // a sentence
	Next string    `json:"next,omitempty"` // the next step, a sentence or two
}

// Diagnosis is the answer to a WhyRequest: the most likely cause, the others that hold, and what they were read off.
type Diagnosis struct {
	CID  string `json:"cid"`
	Name string `json:"name,omitempty"`
	Cause
	Also     []Cause  `json:"also,omitempty"` // the likelier ones first
	Evidence Evidence `json:"evidence"`
}

// What the node does about a root (Evidence.State), next to the states of shares and fetches.
const (
	StateAbsent State = "absent" // nothing of it is here, and nobody fetches it
	StateFailed State = "failed" // unfinished: its last fetch ended with Evidence.Error
)

// Evidence is what a Diagnosis is read off.
type Evidence struct {
	State    State   `json:"state"`            // of the root, here
	Reason   string  `json:"reason,omitempty"` // of a share that is changed
	Gone     bool    `json:"gone,omitempty"`   // it is changed, and nothing is at its path
	Error    *Error  `json:"error,omitempty"`  // of a failed fetch
	NoDaemon bool    `json:"no_daemon,omitempty"`
	Path     string  `json:"path,omitempty"` // of the share, or the result to be
	Seconds  float64 `json:"seconds"`        // how long the fetch runs, or was looked for peers

	Chunks  int64   `json:"chunks"`  // leaves wanted, as far as known
	Have    int64   `json:"have"`    // of these, here
	Lost    int64   `json:"lost"`    // of the missing ones, those that nobody connected has
	Known   bool    `json:"known"`   // all leaves are known
	Missing int64   `json:"missing"` // bytes
	Rate    float64 `json:"rate"`    // bytes a second over the last few seconds
	Corrupt int64   `json:"corrupt,omitempty"`

	Peers     []Suspect `json:"peers"`     // that have it or are said to; never null
	Limits    Limits    `json:"limits"`    // in force here
	Free      int64     `json:"free"`      // bytes of disk at the destination; -1: not known
	Network   string    `json:"network"`   // the network's name
	Connected int       `json:"connected"` // peers of all kinds
	Bootstrap []Suspect `json:"bootstrap"` // those that are to lead into the network; never null
	Searched  bool      `json:"searched"`  // the search had time to ask around
}

// Suspect is a peer that may have the root.
type Suspect struct {
	ID        string    `json:"id"`
	Addrs     []string  `json:"addrs,omitempty"`
	Sources   []string  `json:"sources"`           // where it was heard of: as Provider.Source; never null
	Connected bool      `json:"connected"`         // and asked for the root
	Trouble   CauseCode `json:"trouble,omitempty"` // what is wrong with it; "": nothing, or not tried yet
	Detail    string    `json:"detail,omitempty"`  // the error in full
	Answered  bool      `json:"answered"`          // it has said what it has
	All       bool      `json:"all"`               // which is everything
	Have      int64     `json:"have"`              // or so many chunks of those known
	Choked    bool      `json:"choked,omitempty"`  // it takes no requests for now
	Waiting   int64     `json:"waiting"`           // bytes asked of it that have not come
	Bytes     int64     `json:"bytes"`             // verified from it
	Damaged   int64     `json:"damaged,omitempty"` // chunks from it that did not match their CIDs
	Rate      float64   `json:"rate"`
	RTT       float64   `json:"rtt,omitempty"` // seconds
}
