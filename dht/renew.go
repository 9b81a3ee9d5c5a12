package dht

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-datastore"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	addrsSettle = time.Minute      // for so long addresses must have stayed as they are before they are announced anew
	movedPause  = 30 * time.Minute // at least, between announcements of everything because addresses have gone
)

// retry decides when waiting roots are announced again: when none has got out for a while, with growing pauses.
type retry struct {
	pause time.Duration
	next  time.Time
	last  int
}

func (r *retry) due(now time.Time, wait int) bool {
	progress := wait < r.last
	r.last = wait
	if wait == 0 || progress {
		r.pause, r.next = announcePause, time.Time{}
		return false
	}
	if now.Before(r.next) {
		return false
	}
	first := r.next.IsZero()
	r.next = now.Add(r.pause)
	r.pause = min(2*r.pause, announceRetry)
	return !first // what has just come is being announced already
}

// renewal decides when everything is announced again before its time. Either the network has outgrown its records: those
// of a root lie on the k nodes that were closest when it was announced, and in a network of twice the size half of these
// are no longer asked. (Up to k nodes everybody is asked.) Or this node has moved: an address that the records hold is gone.
type renewal struct {
	k    int // 0: the table's size does not tell that of the network
	last announcement

	settled bool // the table has not grown since the look before, nor shrunk
	size    int
	addrs   []string
	since   time.Time // addrs are these
	next    time.Time // when an address may count as gone
}

// announcement is how things were when everything was last announced, as stored.
type announcement struct {
	Size  int      `json:"size"`  // of the routing table
	Addrs []string `json:"addrs"` // of this node, sorted
}

// look takes in how things are.
func (r *renewal) look(now time.Time, size int, addrs []string) {
	r.settled = size == r.size
	r.size = size
	if !slices.Equal(addrs, r.addrs) {
		r.addrs, r.since = addrs, now
	}
}

// due says why everything has to be announced again; "" if it has not.
func (r *renewal) due(now time.Time) string {
	if r.k > 0 && r.settled && r.size > r.k && r.size >= 2*r.last.Size {
		return "the network has grown"
	}
	if r.size == 0 || len(r.addrs) == 0 || now.Sub(r.since) < addrsSettle || now.Before(r.next) {
		return "" // nobody to tell, nothing to say, or too soon
	}
	for _, a := range r.last.Addrs {
		if _, still := slices.BinarySearch(r.addrs, a); !still {
			return "addresses have changed"
		}
	}
	return ""
}

// done notes that everything was announced as things are now.
func (r *renewal) done(now time.Time) {
	r.last, r.next = announcement{Size: r.size, Addrs: r.addrs}, now.Add(movedPause)
}

// first tells whether there is something to remember before everything has ever been announced again: where this node is.
func (r *renewal) first(now time.Time) bool {
	return len(r.last.Addrs) == 0 && len(r.addrs) > 0 && now.Sub(r.since) >= addrsSettle
}

// addrStrings are addresses in the form of an announcement.
func addrStrings(addrs []ma.Multiaddr) []string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// announcedRow holds the last announcement of everything.
var announcedRow = datastore.NewKey("/announced")

// loadRenewal reads the last announcement. A damaged row costs one announcement more.
func (d *DHT) loadRenewal(ctx context.Context) renewal {
	r := renewal{k: d.profile.BucketSize}
	if d.profile.PublicOnly {
		r.k = 0 // that network is there before we know it
	}
	v, err := d.state.Get(ctx, announcedRow)
	if err == nil {
		err = json.Unmarshal(v, &r.last)
	}
	if err != nil && !errors.Is(err, datastore.ErrNotFound) {
		d.log.Warn("when everything was last announced is not known", "err", err)
		r.last = announcement{}
	}
	return r
}

func (d *DHT) saveRenewal(ctx context.Context, r *renewal) error {
	v, err := json.Marshal(r.last)
	if err != nil {
		return fmt.Errorf("last announcement: %w", err)
	}
	if err := d.state.Put(ctx, announcedRow, v); err != nil {
		return fmt.Errorf("last announcement: %w", err)
	}
	return nil
}
