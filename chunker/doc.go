// Package chunker turns files and directories into UnixFS DAGs and back.
//
// Build hashes a file or tree under a Profile and yields the same CIDs as
// `ipfs add -r -H` with that profile (IPIP-499). Walker, Layout and Walk go the
// other way: from a root, through its inner nodes, to the entries and the leaf
// sequence that the rest of shoal counts in. ParseLink reads the links people
// pass around. The package knows no network and no store; blocks come and go as
// bytes through callbacks. Paths of any length are opened as in long.go.
//
// Where to start reading: build.go (the shape of a build), file.go (one file by
// several workers), dir.go and hamt.go (directories), then walk.go with decode.go
// (what arrives from strangers, bounded by Limits) and layout.go (the result).
//
// Goroutines: Build starts its workers and returns only after all have ended.
// Nothing else here starts one. A Walker and its Layout belong to one goroutine at
// a time; a complete Layout is read-only and may be shared.
//
// Sources: https://specs.ipfs.tech/unixfs/, https://ipld.io/specs/codecs/dag-pb/spec/,
// https://github.com/ipfs/specs/pull/499 (profiles).
package chunker
