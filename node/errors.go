package node

import (
	"errors"

	"shoal/chunker"
	"shoal/node/api"
	"shoal/node/store"
)

// homeError is userError for what stands in the way of opening the home: there the next
// step is about the home, not about a destination.
func homeError(err error) error {
	err = userError(err)
	var e *api.Error
	if errors.As(err, &e) {
		switch e.Code {
		case api.ReadOnly:
			return e.WithHint("The home is where shoal keeps its index: make it writable, or choose another with --home.")
		case api.NoSpace:
			return e.WithHint("The home is where shoal keeps its index: free some space there, or choose another with --home.")
		}
	}
	return err
}

// userError gives an error of the parts below the code and the next step that a
// user needs. Errors it does not know pass as they are.
func userError(err error) error {
	if err == nil {
		return nil
	}
	var done *api.Error
	if errors.As(err, &done) {
		return err
	}
	for _, row := range [...]struct {
		is   error
		code api.Code
		hint string
	}{
		{store.ErrLocked, api.Locked, "Another shoal runs on this home: talk to it, or give this one a --home of its own."},
		{store.ErrNewer, api.Unsupported, "This home was written by a newer shoal: use that one, or another --home."},
		{store.ErrNotFound, api.NotFound, "`shoal ls` lists the shares."},
		{store.ErrExists, api.Exists, "Choose another destination with -o. --force would replace the files of these names, one by one; never a directory, nor what is not in the share."},
		{store.ErrNoSpace, api.NoSpace, "Free some space and run the same command: it goes on where it stopped."},
		{store.ErrReadOnly, api.ReadOnly, "Choose another destination with -o."},
		{store.ErrDenied, api.ReadOnly, "Choose another destination with -o."},
		{store.ErrNoDir, api.ReadOnly, "Make the directory first, or choose another destination with -o."},
		{store.ErrBusy, api.Conflict, "Wait for it to end."},
		{store.ErrChanged, api.Changed, "`shoal verify` tells which files; share it again to offer the new content."},
		{chunker.ErrChanged, api.Changed, "Share it again once nothing writes to it."},
		{chunker.ErrUnsupported, api.Unsupported, ""},
		{chunker.ErrExcluded, api.Invalid, "A home holds the node's private key: it is never shared."},
		{chunker.ErrNotFile, api.Invalid, "Only files and directories can be shared."},
		{chunker.ErrLimit, api.Unsupported, ""},
		{chunker.ErrMalformed, api.Damaged, "What this CID names is not a well-formed file or directory."},
		{store.ErrNoMatch, api.NotFound, "`shoal ls CID` lists what is in a share."},
		{store.ErrConflict, api.Conflict, "Finish that first, or fetch the whole root: what has come is kept. `shoal rm` would drop it, and delete what has come so far."},
	} {
		if errors.Is(err, row.is) {
			e := api.Errorf(row.code, "%w", err)
			e.Hint = row.hint
			return e
		}
	}
	return err
}
