package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"syscall"
)

// Code says what kind of error it is, for programs. Codes are append-only; treat one you do not know as Internal.
type Code string

// The codes. The command line turns each into an exit code (cmd/shoal/exit.go), HTTP into a status (below).
const (
	Invalid     Code = "invalid"     // the request cannot be meant: malformed link or CID, a device as path
	Unsupported Code = "unsupported" // well-formed, but a codec, hash or feature that this build does not speak
	NotFound    Code = "not_found"   // a path, share or entry named in the request is not there
	Unavailable Code = "unavailable" // nobody has it
	Timeout     Code = "timeout"     // the deadline came first
	Changed     Code = "changed"     // a file is not what it was when it was indexed
	Damaged     Code = "damaged"     // content does not match its CID, or a home is not sound
	Exists      Code = "exists"      // the destination is there and different
	NoSpace     Code = "no_space"    // the disk or quota is full
	ReadOnly    Code = "read_only"   // the destination cannot be written: read-only, or no permission
	Denied      Code = "denied"      // no permission to read, or a peer that the user has ruled out
	Locked      Code = "locked"      // another process uses the home
	NoDaemon    Code = "no_daemon"   // no daemon runs for this home
	Conflict    Code = "conflict"    // another operation or an ambiguous name stands in the way
	Stopped     Code = "stopped"     // the daemon stopped while it worked on the request
	Canceled    Code = "canceled"    // the caller went away
	Internal    Code = "internal"    // anything else
)

// statuses maps codes to HTTP statuses; a code that is missing gives 500.
var statuses = map[Code]int{
	Invalid: http.StatusBadRequest, Unsupported: http.StatusUnprocessableEntity, NotFound: http.StatusNotFound,
	Unavailable: http.StatusNotFound, Timeout: http.StatusGatewayTimeout, Changed: http.StatusConflict,
	Damaged: http.StatusConflict, Exists: http.StatusConflict, NoSpace: http.StatusInsufficientStorage,
	ReadOnly: http.StatusForbidden, Denied: http.StatusForbidden, Locked: http.StatusConflict,
	Conflict: http.StatusConflict, Stopped: http.StatusServiceUnavailable, Canceled: 499,
}

// Error is an error that a user can act on. It survives the trip over the API: use errors.As with *Error on both sides.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`        // operation, object and reason: "open /tmp/x: permission denied"
	Hint    string `json:"hint,omitempty"` // the next step, a sentence; may be empty

	cause error // what it wraps; does not travel
}

// Errorf makes an *Error; the format may wrap a cause with %w.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: message(err), cause: errors.Unwrap(err)}
}

// WithHint sets the next step and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

func (e *Error) Error() string { return e.Message }

// Unwrap gives the cause, if the error was made in this process. Errors that came over the API give the context errors
// for Canceled and Timeout, so that errors.Is works the same on both sides.
func (e *Error) Unwrap() error {
	switch {
	case e.cause != nil:
		return e.cause
	case e.Code == Canceled:
		return context.Canceled
	case e.Code == Timeout:
		return context.DeadlineExceeded
	}
	return nil
}

// AsError turns any error into one that can travel: the *Error in its chain under the whole chain's message, else a
// code for the context and file system errors that everyone meets, else Internal. It gives nil for nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return &Error{Code: e.Code, Message: message(err), Hint: e.Hint, cause: err}
	}
	return &Error{Code: codeOf(err), Message: message(err), cause: err}
}

// message is the text of err in one line: errors.Join puts each error into a line of its own.
func message(err error) string {
	text := err.Error()
	var below []error
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		below = e.Unwrap()
	case interface{ Unwrap() error }:
		below = []error{e.Unwrap()}
	}
	var lines, clear []string
	for _, b := range below {
		if b != nil {
			lines, clear = append(lines, b.Error()), append(clear, message(b))
		}
	}
	if len(lines) > 1 && text == strings.Join(lines, "\n") {
		return strings.Join(clear, "; ")
	}
	for i, line := range lines {
		if line != clear[i] {
			text = strings.ReplaceAll(text, line, clear[i])
		}
	}
	return text
}

// codeOf classifies an error that names no code itself.
func codeOf(err error) Code {
	switch {
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, syscall.ENOSPC):
		return NoSpace
	case errors.Is(err, syscall.EROFS):
		return ReadOnly
	case errors.Is(err, fs.ErrNotExist):
		return NotFound
	case errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENAMETOOLONG):
		return Invalid
	case errors.Is(err, fs.ErrPermission):
		return Denied
	}
	return Internal
}
