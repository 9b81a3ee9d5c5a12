package dht

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/ipfs/go-datastore"
	mh "github.com/multiformats/go-multihash"
)

// reprovideEvery is the interval of kad-dht's sweeps, in which every root is announced once.
const reprovideEvery = 22 * time.Hour

// resume reads the set of roots after a start, and keeps the sweeping provider from announcing again what an earlier run
// announced within the interval. It returns the roots being taken back.
//
// The provider writes down which regions it swept and when, but not what it announced for the first time: after a restart
// it would announce all of that once more, 20 records a root. We know when each root was announced first, and add to its
// history the parts of the key space in which no root needs it. TestRestartAnnouncesNothingAgain guards the layout:
// history/<unix seconds, 8 hex digits>/<prefix in binary>.
func (d *DHT) resume(ctx context.Context) ([]mh.Multihash, error) {
	now := time.Now()
	f := fresh{now: now}
	going, err := d.roots.load(ctx, f.see)
	if err != nil {
		return nil, err
	}
	sweeps := sub(d.state, "sweep")
	for _, region := range f.regions() {
		key := datastore.NewKey("history").ChildString(fmt.Sprintf("%08x", region.at.Unix()))
		if region.prefix != "" {
			key = key.ChildString(region.prefix)
		}
		if err := sweeps.Put(ctx, key, []byte{}); err != nil { // costs traffic, nothing else
			d.log.Warn("what was announced is announced again", "err", err)
			break
		}
	}
	close(d.loaded)
	return going, nil
}

// fresh finds the parts of the key space in which every root was announced within the interval, by the first byte of
// their keys.
type fresh struct {
	now   time.Time
	roots int
	parts [256]struct {
		oldest time.Time // zero: no root
		stale  bool
	}
}

// region is a part of the key space and when the first of its roots was announced.
type region struct {
	prefix string // in binary; "": all
	at     time.Time
}

func (f *fresh) see(h mh.Multihash, at time.Time) {
	key := sha256.Sum256(h) // Kademlia's
	part := &f.parts[key[0]]
	f.roots++
	if at.After(f.now) || f.now.Sub(at) >= reprovideEvery {
		part.stale = true
	}
	if part.oldest.IsZero() || at.Before(part.oldest) {
		part.oldest = at
	}
}

// regions gives the fresh parts, as one if all are.
func (f *fresh) regions() []region {
	if f.roots == 0 {
		return nil
	}
	all := region{at: f.now}
	var out []region
	for i := range f.parts {
		part := &f.parts[i]
		if part.stale {
			continue
		}
		r := region{prefix: fmt.Sprintf("%08b", i), at: f.now}
		if !part.oldest.IsZero() {
			r.at = part.oldest
		}
		if r.at.Before(all.at) {
			all.at = r.at
		}
		out = append(out, r)
	}
	if len(out) == len(f.parts) {
		return []region{all}
	}
	return out
}
