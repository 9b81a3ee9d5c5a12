package store

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"
)

// The index. Every share and download has a numeric id that is never used again.
// A key starts with one tag byte; integers are big endian, so that they sort.
//
//	'm' "next"                        -> id          next free id
//	'm' "seq"                         -> number      the last change that the journal tells of
//	'm' "tail"                        -> tail        how the journal was left when the home was closed: journal_open.go
//	's' root                          -> record      a share: the first place where the root lies
//	'a' root id                       -> record      another place of it, or an older version of a place
//	'w' path                          -> ids         what lies or lay at a path: the place of now (0: none), then older versions, the newest first
//	'r' real 0 path                   -> (empty)     a place at path with names left out, where symlinks lead to real: see Excludes
//	'd' root                          -> record      an unfinished download
//	'i' id                            -> tag, root   whose id this is ('s', 'a' or 'd')
//	'p' id                            -> root        rows of this id are garbage in the making
//	't' id digest                     -> block       inner node of an import, not yet in order
//	'n' id index                      -> block       inner node in walk order
//	'f' id leaf entry                 -> row         a file, by its first leaf
//	'x' id leaf entry                 -> reason      a file that no longer fits
//	'h' id segment                    -> 64 bytes    leaves had, 512 to a segment
//	'b' 'n'|'l' digest id index       -> (empty)     where a block is: inner node or leaf
//
// Each place of a root has an id, and rows of every kind, of its own, so that it can be served, changed and removed
// alone. While a root has any place that is no older version, exactly one of them is the record under 's'. 'w' is kept in
// the same batches as the records ('m' "paths" says that it is there, as homes of earlier versions lack it).
//
// '/' is left to the datastore of the libp2p parts, whose keys all start with it.
const (
	tagMeta     = 'm'
	tagShare    = 's'
	tagPlace    = 'a'
	tagPath     = 'w'
	tagReal     = 'r'
	tagDownload = 'd'
	tagID       = 'i'
	tagPending  = 'p'
	tagTemp     = 't'
	tagNode     = 'n'
	tagFile     = 'f'
	tagBad      = 'x'
	tagHave     = 'h'
	tagFormer   = 'o'
	tagBlock    = 'b'

	blockNode = 'n'
	blockLeaf = 'l'

	digestSize = 32 // sha2-256, the only hash function that chunker reads
	segLeaves  = 512
	segBytes   = segLeaves / 8
)

// shareID is the numeric id of a share or download.
type shareID uint64

var keyNextID = []byte{tagMeta, 'n', 'e', 'x', 't'}

var keyPaths = []byte{tagMeta, 'p', 'a', 't', 'h', 's'}

// keyRecord is where a record is stored: of a place ('a') also by its id.
func keyRecord(tag byte, root cid.Cid, id shareID) []byte {
	if tag == tagPlace {
		return binary.BigEndian.AppendUint64(keyRoot(tag, root), uint64(id))
	}
	return keyRoot(tag, root)
}

// splitRecord undoes keyRecord; id is 0 where it is not in the key.
func splitRecord(key []byte) (root cid.Cid, id shareID, err error) {
	at := key[1:]
	if key[0] == tagPlace {
		if len(at) < 8 {
			return cid.Undef, 0, errShort
		}
		id = shareID(binary.BigEndian.Uint64(at[len(at)-8:]))
		at = at[:len(at)-8]
	}
	root, err = cid.Cast(append([]byte(nil), at...))
	if err != nil {
		err = fmt.Errorf("key of a record: %w", err)
	}
	return root, id, err
}

func keyPath(path string) []byte { return append([]byte{tagPath}, path...) }

// keyReal is that path is real under another name; with the path "" what all names of real have in common.
func keyReal(real, path string) []byte { return []byte(string(rune(tagReal)) + real + "\x00" + path) }

func keyRoot(tag byte, root cid.Cid) []byte { return append([]byte{tag}, root.Bytes()...) }

func keyID(tag byte, id shareID) []byte {
	return binary.BigEndian.AppendUint64([]byte{tag}, uint64(id))
}

// keyIndex is a node ('n', walk index) or a segment of have bits ('h').
func keyIndex(tag byte, id shareID, index int) []byte {
	k := make([]byte, 0, 17)
	k = binary.BigEndian.AppendUint64(append(k, tag), uint64(id))
	return binary.BigEndian.AppendUint64(k, uint64(index))
}

// keyFile is a file row ('f') or its mark of being unfit ('x').
func keyFile(tag byte, id shareID, leaf, entry int) []byte {
	return binary.BigEndian.AppendUint64(keyIndex(tag, id, leaf), uint64(entry))
}

func keyTemp(id shareID, digest []byte) []byte { return append(keyID(tagTemp, id), digest...) }

// keyBlock appends to buf, so that batches of them share one buffer.
func keyBlock(buf []byte, kind byte, digest []byte, id shareID, index int) []byte {
	buf = append(buf, tagBlock, kind)
	buf = append(buf, digest...)
	buf = binary.BigEndian.AppendUint64(buf, uint64(id))
	return binary.BigEndian.AppendUint64(buf, uint64(index))
}

// splitFile undoes keyFile.
func splitFile(key []byte) (leaf, entry int) {
	return int(binary.BigEndian.Uint64(key[9:])), int(binary.BigEndian.Uint64(key[17:]))
}

// splitSegment undoes keyIndex.
func splitSegment(key []byte) (id shareID, index int) {
	return shareID(binary.BigEndian.Uint64(key[1:])), int(binary.BigEndian.Uint64(key[9:]))
}

// splitBlock takes id and index out of a block key.
func splitBlock(key []byte) (id shareID, index int) {
	tail := key[2+digestSize:]
	return shareID(binary.BigEndian.Uint64(tail)), int(binary.BigEndian.Uint64(tail[8:]))
}

// digestOf is the sha2-256 digest inside c; false for another hash function.
func digestOf(c cid.Cid) ([]byte, bool) {
	h := c.Hash()
	if len(h) != 2+digestSize || h[0] != 0x12 || h[1] != digestSize {
		return nil, false
	}
	return h[2:], true
}

// under bounds an iterator to the keys that start with prefix.
func under(prefix []byte) *pebble.IterOptions {
	return &pebble.IterOptions{LowerBound: prefix, UpperBound: upper(prefix)}
}

// upper is the first key after all that start with prefix. Tags are far below
// 0xff, so there always is one.
func upper(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
