package api

import "time"

// Limits are rates in bytes a second of what is swapped with peers; 0: no limit.
type Limits struct {
	Up       int64 `json:"up"`   // to all peers together
	Down     int64 `json:"down"` // from all peers together
	PeerUp   int64 `json:"peer_up"`
	PeerDown int64 `json:"peer_down"` // to, and from, each peer
}

// LimitSource tells where a limit comes from.
type LimitSource string

// The sources, the stronger ones last. A limit that nobody has set has none.
const (
	LimitConfig   LimitSource = "config"   // the settings that the node was started with
	LimitSchedule LimitSource = "schedule" // a rule of the schedule that holds now
	LimitHand     LimitSource = "hand"     // SetLimits, until that is taken back or the node ends

	LimitShare LimitSource = "share" // of one transfer: as long as the share lasts
	LimitGet   LimitSource = "get"   // while the Get runs
	LimitCat   LimitSource = "cat"   // while the Cat runs
)

// Limit is one limit in force.
type Limit struct {
	Rate   int64       `json:"rate"` // bytes a second; 0: no limit
	Source LimitSource `json:"source,omitempty"`
	Rule   string      `json:"rule,omitempty"` // of the schedule
}

// LimitState is the limits in force, and why.
type LimitState struct {
	Up       Limit     `json:"up"`
	Down     Limit     `json:"down"`
	PeerUp   Limit     `json:"peer_up"`
	PeerDown Limit     `json:"peer_down"`
	Schedule []string  `json:"schedule"`      // its rules; never null
	Next     time.Time `json:"next,omitzero"` // when a rule begins or ends next, to the second

	Transfers []TransferLimit `json:"transfers,omitempty"` // the limits of single transfers, beside these
}

// Rates are the limits alone.
func (s LimitState) Rates() Limits {
	return Limits{Up: s.Up.Rate, Down: s.Down.Rate, PeerUp: s.PeerUp.Rate, PeerDown: s.PeerDown.Rate}
}

// LimitRequest sets limits by hand: those that are not null, in bytes a second, 0 for no limit.
type LimitRequest struct {
	Up       *int64 `json:"up,omitempty"`
	Down     *int64 `json:"down,omitempty"`
	PeerUp   *int64 `json:"peer_up,omitempty"`
	PeerDown *int64 `json:"peer_down,omitempty"`
	Auto     bool   `json:"auto,omitempty"` // first forget all that was set by hand: schedule and settings hold again
}

// TransferLimits limit one transfer: what is sent and received of its root, in bytes a second of payload; 0: no limit. The
// node's own limits hold too, so that the lesser counts.
type TransferLimits struct {
	Up       int64 `json:"up,omitempty"`
	Down     int64 `json:"down,omitempty"`
	PeerUp   int64 `json:"peer_up,omitempty"`
	PeerDown int64 `json:"peer_down,omitempty"`
}

// TransferLimit is one in force.
type TransferLimit struct {
	CID    string      `json:"cid"`
	Name   string      `json:"name,omitempty"`
	Source LimitSource `json:"source"`
	TransferLimits
}
