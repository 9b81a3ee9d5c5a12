package chunker

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multicodec"
	"github.com/multiformats/go-multihash"
)

// checkName refuses names that could not stand alone in a directory, or that
// would lead elsewhere.
func checkName(name []byte, lim Limits) error {
	switch {
	case len(name) > lim.Name:
		return fmt.Errorf("%w: name of %d bytes", ErrLimit, len(name))
	case len(name) == 0, string(name) == ".", string(name) == "..",
		bytes.IndexByte(name, '/') >= 0, bytes.IndexByte(name, 0) >= 0, !utf8.Valid(name):
		return fmt.Errorf("%w: name %q", ErrMalformed, name)
	}
	return nil
}

// checkCID says why c cannot be read, if so.
func checkCID(c cid.Cid) error {
	p := c.Prefix()
	switch {
	case !c.Defined():
		return fmt.Errorf("%w: no CID", ErrMalformed)
	case p.MhType == multihash.IDENTITY:
		return fmt.Errorf("%w: %s holds its data inside (identity hash)", ErrUnsupported, c)
	case p.MhType != multihash.SHA2_256:
		return fmt.Errorf("%w: hash function %s of %s, only sha2-256 is read", ErrUnsupported, multicodec.Code(p.MhType), c)
	case p.MhLength != 32:
		return fmt.Errorf("%w: sha2-256 cut to %d bytes in %s", ErrUnsupported, p.MhLength, c)
	case p.Codec != cid.Raw && p.Codec != cid.DagProtobuf:
		return fmt.Errorf("%w: codec %s of %s, only raw and dag-pb are read", ErrUnsupported, multicodec.Code(p.Codec), c)
	}
	return nil
}

// digestOf takes the digest out of a CID that checkCID accepts.
func digestOf(c cid.Cid) digest {
	h := c.Hash()
	return digest(h[len(h)-32:])
}
