package node

import (
	"errors"
	"strings"
	"syscall"

	"shoal/chunker"
	"shoal/node/api"
	"shoal/node/store"
)

// homeError is userError for what stands in the way of opening the home, or of a write to it: there the next
// step is about the home, not about a destination.
func homeError(home string, err error) error {
	if e := aboutHome(err, home, store.MountOf(home)); e != nil {
		return e
	}
	return userError(err)
}

// aboutHome gives an error of the home its code and next step, which names the disk that is meant; nil: it is none. home: it
// is about this one though it may not say so; "": only if it says so.
func aboutHome(err error, home, mount string) error {
	var done *api.Error
	if err == nil || errors.As(err, &done) {
		return err
	}
	var h *store.HomeError
	if errors.As(err, &h) {
		home, mount = h.Home, h.Mount
	}
	where := " " + home
	if mount != "" && mount != home {
		where += " (on the disk mounted at " + mount + ")"
	}
	for _, row := range [...]struct {
		is   error
		code api.Code
		hint string
	}{
		{store.ErrIndexDamaged, api.Damaged, hintDoctor},
		{store.ErrIndexOld, api.Damaged, hintDoctor},
		{store.ErrExhausted, api.Internal, "Give shoal more descriptors (`ulimit -n 1024`), or close other programs; a running daemon goes on by itself."},
		{store.ErrNoSpace, api.NoSpace, "Free some space in the home%s, where shoal keeps its index, or choose another with --home. Serving, and `shoal rm` while a daemon runs, work meanwhile."},
		{store.ErrReadOnly, api.ReadOnly, "Make the home%s, where shoal keeps its index, writable, or choose another with --home."},
		{store.ErrDenied, api.ReadOnly, "Make the home%s, where shoal keeps its index, writable for you, or choose another with --home."},
		{syscall.EIO, api.Internal, "The disk of the home%s fails: look at the system's log, and save what is on it."},
	} {
		if (home != "" || row.code == api.Damaged) && errors.Is(err, row.is) {
			return api.Errorf(row.code, "%w", err).WithHint("%s", strings.ReplaceAll(row.hint, "%s", where))
		}
	}
	return nil
}

// HintIgnoreFile is for chunker.ErrIgnoreFile.
const HintIgnoreFile = "It says what must not be shared. Make it a regular file that can be read, or move it away; then --exclude PATTERN leaves names out."

const hintDoctor = "`shoal doctor` says what is wrong with the home; `shoal doctor --repair` makes the index anew from the shared files, and keeps the old one."

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
	if e := aboutHome(err, "", ""); e != nil {
		return e
	}
	if blocked := (*store.BlockedError)(nil); errors.As(err, &blocked) {
		return blockedError(err, blocked)
	}
	for _, row := range [...]struct {
		is   error
		code api.Code
		hint string
	}{
		{store.ErrLocked, api.Locked, "Another shoal runs on this home: talk to it, or give this one a --home of its own."},
		{store.ErrNewer, api.Unsupported, "This home was written by a newer shoal: use that one, or another --home."},
		{store.ErrPartStays, api.ReadOnly, "Once its disk can be written, the same get takes it up, or you can delete it."},
		{store.ErrNotFound, api.NotFound, "`shoal ls` lists the shares."},
		{store.ErrDirGone, api.ReadOnly, "Put it back, or choose another destination with -o, and run the same command again."},
		{store.ErrInTheWay, api.Exists, "Move away what is there: shoal did not make it, and leaves it alone."},
		{store.ErrAway, api.ReadOnly, "Mount the disk: a daemon then goes on by itself. `shoal rm` forgets the download, and -o fetches it to another place."},
		{store.ErrForeign, api.Exists, "Move that away and run the same command again, or choose another destination with -o."},
		{store.ErrExists, api.Exists, "Choose another destination with -o."},
		{store.ErrNoSpace, api.NoSpace, "Free some space and run the same command: it goes on where it stopped."},
		{store.ErrExhausted, api.Internal, "Give shoal more descriptors (`ulimit -n 1024`) and run the same command: it goes on where it stopped."},
		{store.ErrReadOnly, api.ReadOnly, "Choose another destination with -o."},
		{store.ErrDenied, api.ReadOnly, "Choose another destination with -o."},
		{store.ErrNoDir, api.ReadOnly, "Make the directory first, or choose another destination with -o."},
		{store.ErrBusy, api.Conflict, "Wait for it to end."},
		{store.ErrChanged, api.Changed, "`shoal verify` tells which files; share it again to offer the new content."},
		{store.ErrVanished, api.ReadOnly, "Run the same command again, or fetch it to another place with -o. If the result was moved there, `shoal mv OLD NEW` tells shoal where it is."},
		{store.ErrIncomplete, api.Changed, "Another program keeps writing to what is being fetched. Stop that, and run the same command again: what is right is kept."},
		{chunker.ErrPattern, api.Invalid, "The lines of a .shoalignore file are those of a .gitignore file: mend that one, or delete it."},
		{chunker.ErrIgnoreFile, api.Invalid, HintIgnoreFile},
		{chunker.ErrChanged, api.Changed, "Share it again once nothing writes to it."},
		{chunker.ErrUnsupported, api.Unsupported, ""},
		{chunker.ErrExcluded, api.Invalid, "A home holds the node's private key: it is never shared."},
		{ErrSystem, api.Invalid, "shoal shares files where they are; save it to a file first."},
		{chunker.ErrNotFile, api.Invalid, "Only files and directories can be shared."},
		{chunker.ErrLimit, api.Unsupported, ""},
		{chunker.ErrMalformed, api.Damaged, "What this CID names is not a well-formed file or directory."},
		{syscall.ELOOP, api.Invalid, "A symlink on the way leads back to itself: correct the path."},
		{syscall.ENAMETOOLONG, api.Invalid, "A name has at most 255 bytes, and a path 4,095 on most systems: choose a shorter one."},
		{store.ErrNoMatch, api.NotFound, "Correct the path, or leave it out to fetch all."},
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

// blockedError says what is in the way, and what --force would do about it.
func blockedError(err error, b *store.BlockedError) error {
	e := api.Errorf(api.Exists, "%w", err)
	if b.Renamable {
		return e.WithHint("Choose another name with -o; with --rename-illegal shoal chooses one like it.")
	}
	if b.Replaceable {
		return e.WithHint("Choose another destination with -o. With --force, the file %s would be replaced, and nothing else.", b.Path)
	}
	return e.WithHint("Choose another destination with -o: what is there is never removed.")
}
