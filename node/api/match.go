package api

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// MatchShare finds the share that a ref names: its CID (bare, or with /ipfs/ or ipfs:// before it), else the absolute path
// of any place of it, else its name or that of a place, else a path that leads to a place through other symlinks. Only a name can be ambiguous. Codes: not_found, conflict; their
// hints say what may have been meant.
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
	if len(named) == 0 && filepath.IsAbs(ref) {
		for _, s := range shares {
			if LeadsTo(s.Path, ref) || slices.ContainsFunc(s.Places, func(p Place) bool { return LeadsTo(p.Path, ref) }) {
				return s, nil
			}
		}
	}
	switch len(named) {
	case 1:
		return named[0], nil
	case 0:
		return Share{}, Errorf(NotFound, "no share is called %q", ref).WithHint("%s", nearHint(shares, ref))
	}
	return Share{}, Errorf(Conflict, "%d shares are called %q", len(named), ref).WithHint("Name it by its path or CID: %s.", pointers(named))
}

// LeadsTo tells whether an absolute path means a place though it goes another way, through symlinked directories.
func LeadsTo(place, ref string) bool {
	if !filepath.IsAbs(ref) || filepath.Base(place) != filepath.Base(ref) {
		return false
	}
	a, err := filepath.EvalSymlinks(filepath.Dir(place))
	if err != nil {
		return false
	}
	b, err := filepath.EvalSymlinks(filepath.Dir(ref))
	return err == nil && a == b
}

// nearHint names the shares that ref may mean.
func nearHint(shares []Share, ref string) string {
	below := func(p, dir string) bool { return strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/") }
	var near, in []Share
	for _, s := range shares {
		switch {
		case strings.HasPrefix(ref, "/") && (below(s.Path, ref) || below(ref, s.Path)):
			in = append(in, s)
		case similar(s.Name, path.Base(ref)), len(ref) >= 8 && similar(s.CID, RefCID(ref)),
			slices.ContainsFunc(s.Places, func(p Place) bool { return similar(p.Name, path.Base(ref)) }):
			near = append(near, s)
		}
	}
	switch {
	case len(in) > 0 && below(in[0].Path, ref):
		return "Below that path is shared: " + pointers(in) + "."
	case len(in) > 0:
		return "It is part of what is shared as " + pointers(in) + "."
	case len(near) > 0:
		return "Perhaps " + pointers(near) + "? `shoal ls` lists the shares."
	}
	return "`shoal ls` lists the shares."
}

// maxPointers is how many shares a hint names.
const maxPointers = 4

// pointers names shares so that each can be told from the others, and pasted.
func pointers(shares []Share) string {
	var b strings.Builder
	for i, s := range shares {
		if i == maxPointers {
			fmt.Fprintf(&b, " and %d more", len(shares)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (%s)", s.Path, s.CID)
	}
	return b.String()
}

// similar tells whether a person may have meant a by b: it begins so, is so but for capitals, or for a slip or two.
func similar(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	if strings.EqualFold(a, b) || len(b) >= 3 && strings.HasPrefix(strings.ToLower(a), strings.ToLower(b)) {
		return true
	}
	slips := 1 + min(len(a), 8)/8
	if len(b) < 3 || len(a)-len(b) > slips || len(b)-len(a) > slips {
		return false
	}
	return distance(a, b) <= slips
}

// RefCID takes the CID out of the link forms that people paste; what is no CID comes back without them.
func RefCID(ref string) string {
	ref = strings.TrimPrefix(ref, "ipfs://")
	ref = strings.TrimPrefix(ref, "/ipfs/")
	ref, _, _ = strings.Cut(ref, "?")
	return strings.TrimSuffix(ref, "/")
}
