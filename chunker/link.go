package chunker

import (
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
)

// maxLink bounds a link, in bytes.
const maxLink = 64 << 10

// Link names a root, and where to look for it.
type Link struct {
	Root      cid.Cid
	Path      string   // below the root, slash separated; "" is the root itself
	Filename  string   // suggested by whoever made the link: not to be trusted
	Providers []string // where to ask first: multiaddrs (IPIP-504), not checked here
}

// ParseLink reads a link as people pass it around:
//
//	ipfs://<cid>[/path][?filename=…&provider=…]
//	http(s)://<gateway>/ipfs/<cid>[/path][?…]
//	http(s)://<cid>.ipfs.<gateway>[/path][?…]
//	/ipfs/<cid>[/path]
//	<cid>[/path]
//
// In URLs the path is percent-decoded; in the last two it is taken as it stands,
// with a query only directly behind the CID. Unknown query keys and the fragment
// are ignored. Errors: ErrMalformed, and ErrUnsupported for codecs, hash functions
// and schemes that are not read.
func ParseLink(s string) (Link, error) {
	s = strings.TrimSpace(s)
	if len(s) > maxLink {
		return Link{}, fmt.Errorf("%w link: %d bytes long", ErrMalformed, len(s))
	}
	if !utf8.ValidString(s) {
		return Link{}, fmt.Errorf("%w link: not UTF-8", ErrMalformed)
	}
	scheme, rest, isURL := strings.Cut(s, "://")
	if !isURL {
		return parsePath(s)
	}
	switch scheme = strings.ToLower(scheme); scheme {
	case "ipfs":
		return parseURL(rest, false)
	case "http", "https":
		return parseURL(rest, true)
	}
	return Link{}, fmt.Errorf("%w link: scheme %q", ErrUnsupported, scheme)
}

// parsePath reads the forms without a scheme.
func parsePath(s string) (Link, error) {
	if strings.HasPrefix(s, "/ipns/") {
		return Link{}, fmt.Errorf("%w link: IPNS names are not resolved", ErrUnsupported)
	}
	s = strings.TrimPrefix(s, "/ipfs/")
	id, path, _ := strings.Cut(s, "/")
	id, query, _ := strings.Cut(id, "?")
	if query != "" && path != "" { // a slash inside the query
		query, path = query+"/"+path, ""
	}
	return makeLink(id, strings.Split(path, "/"), query)
}

// parseURL reads what follows the scheme.
func parseURL(s string, gateway bool) (Link, error) {
	s, _, _ = strings.Cut(s, "#")
	s, query, _ := strings.Cut(s, "?")
	host, path, _ := strings.Cut(s, "/")
	segs := strings.Split(path, "/")
	for i := range segs {
		seg, err := url.PathUnescape(segs[i])
		if err != nil {
			return Link{}, fmt.Errorf("%w link: %w", ErrMalformed, err)
		}
		segs[i] = seg
	}
	if !gateway {
		return makeLink(host, segs, query)
	}
	if id, domain, _ := strings.Cut(host, "."); strings.HasPrefix(domain, "ipfs.") {
		return makeLink(id, segs, query)
	}
	if len(segs) < 2 || segs[0] != "ipfs" {
		return Link{}, fmt.Errorf("%w link: neither /ipfs/<cid> nor <cid>.ipfs.<host> in the URL", ErrMalformed)
	}
	return makeLink(segs[1], segs[2:], query)
}

func makeLink(id string, segs []string, query string) (Link, error) {
	c, err := cid.Decode(id)
	if err != nil {
		return Link{}, fmt.Errorf("%w CID %q: %w", ErrMalformed, id, err)
	}
	if err := checkCID(c); err != nil {
		return Link{}, err
	}
	path, err := linkPath(segs)
	if err != nil {
		return Link{}, err
	}
	if path != "" && c.Type() == cid.Raw {
		return Link{}, fmt.Errorf("%w link: path %q below %s, which is a single block", ErrMalformed, path, c)
	}
	l := Link{Root: c, Path: path}
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if key != "filename" && key != "provider" {
			continue
		}
		value, err = url.QueryUnescape(value)
		if err != nil || strings.Contains(value, "\x00") || key == "provider" && !cleanText(value) { // a name may be any bytes
			return Link{}, fmt.Errorf("%w link: %s", ErrMalformed, pair)
		}
		if key == "filename" {
			l.Filename = value
		} else if value != "" {
			l.Providers = append(l.Providers, value)
		}
	}
	return l, nil
}

// linkPath joins path segments, of which empty ones count for nothing.
func linkPath(segs []string) (string, error) {
	var path string
	for _, seg := range segs {
		if seg == "" {
			continue
		}
		if seg == "." || seg == ".." || strings.Contains(seg, "/") || !cleanText(seg) {
			return "", fmt.Errorf("%w link: path segment %q", ErrMalformed, seg)
		}
		path = joinRel(path, seg)
	}
	return path, nil
}

func cleanText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// String is the link as a URL, which ParseLink reads back as it is.
func (l Link) String() string {
	var b strings.Builder
	b.WriteString("ipfs://" + l.Root.String())
	if l.Path != "" {
		for seg := range strings.SplitSeq(l.Path, "/") {
			b.WriteString("/" + url.PathEscape(seg))
		}
	}
	sep := "?"
	if l.Filename != "" {
		b.WriteString(sep + "filename=" + url.QueryEscape(l.Filename))
		sep = "&"
	}
	for _, p := range l.Providers {
		b.WriteString(sep + "provider=" + escapeProvider(p))
		sep = "&"
	}
	return b.String()
}

// escapeProvider keeps a multiaddr readable: a slash needs no escape in a query.
func escapeProvider(p string) string {
	return strings.ReplaceAll(url.QueryEscape(p), "%2F", "/")
}
