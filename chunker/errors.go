package chunker

import (
	"errors"
	"fmt"
)

// Errors that callers branch on. All others are plain errors of the file
// system or of a callback, wrapped with the path or CID they concern.
var (
	// ErrChanged: a file changed while it was hashed.
	ErrChanged = errors.New("file changed while it was hashed")
	// ErrNotFile: a device, FIFO or socket; never opened.
	ErrNotFile = errors.New("not a regular file, directory or symlink")
	// ErrExcluded: a directory that Config.Exclude names or Config.Refuse refuses.
	ErrExcluded = errors.New("the home of a shoal node")
	// ErrUnsupported: well-formed, but a codec, hash function or node type that is not read here.
	ErrUnsupported = errors.New("unsupported")
	// ErrMalformed: bytes or text that break the format they claim to be in.
	ErrMalformed = errors.New("malformed")
	// ErrPattern: a line of IgnoreFile, or a pattern, that cannot be read. It is an ErrMalformed.
	ErrPattern = fmt.Errorf("%w", ErrMalformed)
	// ErrIgnoreFile: an IgnoreFile that cannot be followed, so that what it leaves out cannot be told.
	ErrIgnoreFile = errors.New("cannot follow")
	// ErrLimit: a DAG or tree beyond its Limits.
	ErrLimit = errors.New("limit exceeded")
	// ErrMismatch: a block whose hash is not the one asked for.
	ErrMismatch = errors.New("block does not match its CID")
)
