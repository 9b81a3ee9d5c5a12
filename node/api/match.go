package api

import (
	"slices"
	"strings"
)

// MatchShare finds the share that a ref names: its CID (bare, or with /ipfs/ or ipfs:// before it), else the absolute path
// of any place of it, else its name or that of a place. Only a name can be ambiguous. Codes: not_found, conflict.
func MatchShare(shares []Share, ref string) (Share, error) {
	if ref == "" {
		return Share{}, Errorf(Invalid, "no share named")
	}
	id := RefCID(ref)
	for _, s := range shares {
		if s.CID == id || s.Path == ref || slices.ContainsFunc(s.Places, func(p Place) bool { return p.Path == ref }) {
			return s, nil
		}
	}
	var named []Share
	for _, s := range shares {
		// A share that is also being fetched to another place is listed twice.
		twice := slices.ContainsFunc(named, func(t Share) bool { return t.CID == s.CID })
		called := s.Name == ref || slices.ContainsFunc(s.Places, func(p Place) bool { return p.Name == ref })
		if called && !twice {
			named = append(named, s)
		}
	}
	switch len(named) {
	case 1:
		return named[0], nil
	case 0:
		return Share{}, Errorf(NotFound, "no share is called %q", ref).WithHint("`shoal ls` lists the shares.")
	}
	return Share{}, Errorf(Conflict, "%d shares are called %q", len(named), ref).WithHint("Name it by its CID, as `shoal ls` shows it.")
}

// RefCID takes the CID out of the link forms that people paste; what is no CID comes back without them.
func RefCID(ref string) string {
	ref = strings.TrimPrefix(ref, "ipfs://")
	ref = strings.TrimPrefix(ref, "/ipfs/")
	ref, _, _ = strings.Cut(ref, "?")
	return strings.TrimSuffix(ref, "/")
}
