package api_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"shoal/node/api"
)

func listenUnix(home string) (net.Listener, error) {
	return net.Listen("unix", api.SocketPath(home))
}

func TestAsError(t *testing.T) {
	for _, row := range []struct {
		name    string
		err     error
		code    api.Code
		message string
	}{
		{"plain", errors.New("odd"), api.Internal, "odd"},
		{"wrapped keeps the whole message", fmt.Errorf("get x: %w", api.Errorf(api.Exists, "y exists")), api.Exists, "get x: y exists"},
		{"cancelled", fmt.Errorf("get: %w", context.Canceled), api.Canceled, "get: context canceled"},
		{"deadline", context.DeadlineExceeded, api.Timeout, "context deadline exceeded"},
		{"full disk", &fs.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC}, api.NoSpace, "write /x: no space left on device"},
		{"read-only", &fs.PathError{Op: "open", Path: "/x", Err: syscall.EROFS}, api.ReadOnly, "open /x: read-only file system"},
		{"missing", &fs.PathError{Op: "open", Path: "/x", Err: fs.ErrNotExist}, api.NotFound, "open /x: file does not exist"},
		{"no permission", &fs.PathError{Op: "open", Path: "/x", Err: fs.ErrPermission}, api.Denied, "open /x: permission denied"},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := api.AsError(row.err)
			if e.Code != row.code || e.Message != row.message {
				t.Errorf("%q %q; want %q %q", e.Code, e.Message, row.code, row.message)
			}
			if !errors.Is(e, row.err) && !errors.As(e, new(*api.Error)) {
				t.Errorf("the cause is lost")
			}
		})
	}
	if api.AsError(nil) != nil {
		t.Error("nil became an error")
	}
}

func TestErrorKeepsCause(t *testing.T) {
	err := api.Errorf(api.NoSpace, "write %s: %w", "x", syscall.ENOSPC).WithHint("Free %d MiB.", 3)
	if !errors.Is(err, syscall.ENOSPC) || err.Hint != "Free 3 MiB." {
		t.Errorf("%+v", err)
	}
}

func TestMatchShare(t *testing.T) {
	shares := []api.Share{
		{CID: "bafyA", Name: "photos", Path: "/home/u/photos"},
		{CID: "bafyA", Name: "photos", Path: "/mnt/copy/photos"}, // the same root, being fetched to another place
		{CID: "bafyB", Name: "notes", Path: "/home/u/notes"},
		{CID: "bafyC", Name: "notes", Path: "/srv/notes"},
		{CID: "bafyD", Name: "bafyA", Path: "/srv/confusing"},
	}
	for _, row := range []struct {
		name, ref, cid string
		code           api.Code
	}{
		{"cid", "bafyB", "bafyB", ""},
		{"cid before a name", "bafyA", "bafyA", ""},
		{"link", "ipfs://bafyC?filename=notes", "bafyC", ""},
		{"ipfs path", "/ipfs/bafyC/", "bafyC", ""},
		{"path", "/srv/notes", "bafyC", ""},
		{"name", "photos", "bafyA", ""},
		{"ambiguous name", "notes", "", api.Conflict},
		{"unknown", "x", "", api.NotFound},
		{"empty", "", "", api.Invalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := api.MatchShare(shares, row.ref)
			var code api.Code
			if err != nil {
				code = api.AsError(err).Code
			}
			if s.CID != row.cid || code != row.code {
				t.Errorf("%q, code %q; want %q, code %q", s.CID, code, row.cid, row.code)
			}
		})
	}
}

// TestMatchShareHints: who mistook a name, a CID or a path is told what may have been meant, so that one can be told from the other.
func TestMatchShareHints(t *testing.T) {
	real := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(real, link); err != nil {
		t.Skip(err)
	}
	const long = "bafkreigr6x6xa2qzfzd5gdnbeevdffhgz6psbndqmvs2dfiwl45wv7ufnm"
	shares := []api.Share{
		{CID: long, Name: "Holiday.mp4", Path: "/home/u/films/Holiday.mp4"},
		{CID: "bafyB", Name: "notes", Path: "/home/u/notes"},
		{CID: "bafyC", Name: "notes", Path: "/srv/notes"},
		{CID: "bafyD", Name: "here", Path: filepath.Join(real, "here"), Places: []api.Place{{Path: filepath.Join(real, "here")}, {Path: "/mnt/there", Name: "there"}}},
	}
	for _, row := range []struct{ name, ref, hint string }{
		{"ambiguous", "notes", "/srv/notes (bafyC)"},
		{"capitals", "holiday.MP4", "Perhaps /home/u/films/Holiday.mp4"},
		{"a slip", "Holidya.mp4", "Perhaps /home/u/films/Holiday.mp4"},
		{"its beginning", "Holi", "Perhaps /home/u/films/Holiday.mp4"},
		{"another directory", "/home/u/Holiday.mp4", "Perhaps /home/u/films/Holiday.mp4"},
		{"name of a place", "ther", "Perhaps " + filepath.Join(real, "here")},
		{"CID with a slip", strings.Replace(long, "gr6", "gr7", 1), "Perhaps /home/u/films/Holiday.mp4"},
		{"CID cut off", long[:12], "Perhaps /home/u/films/Holiday.mp4"},
		{"directory above", "/home/u/films", "Below that path is shared: /home/u/films/Holiday.mp4"},
		{"path inside", "/srv/notes/sub/a", "It is part of what is shared as /srv/notes (bafyC)"},
		{"nothing like it", "zzz", "`shoal ls` lists the shares."},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := api.MatchShare(shares, row.ref)
			if e := api.AsError(err); e == nil || !strings.Contains(e.Hint, row.hint) {
				t.Errorf("%+v, want hint %q", e, row.hint)
			}
		})
	}
	if s, err := api.MatchShare(shares, filepath.Join(link, "here")); err != nil || s.CID != "bafyD" {
		t.Errorf("through a symlinked directory: %+v, %v", s, err)
	}
}

// TestOneLine: errors that were put together are told in one line; a line end in a name stays.
func TestOneLine(t *testing.T) {
	a, b := errors.New("open a\nb: gone"), errors.New("close c: broken")
	for _, row := range []struct {
		err  error
		want string
	}{
		{a, "open a\nb: gone"},
		{errors.Join(a, b), "open a\nb: gone; close c: broken"},
		{fmt.Errorf("share x: %w", errors.Join(a, b)), "share x: open a\nb: gone; close c: broken"},
		{fmt.Errorf("%w: %w", b, errors.Join(a, errors.Join(b, a))), "close c: broken: open a\nb: gone; close c: broken; open a\nb: gone"},
		{errors.Join(a), "open a\nb: gone"},
	} {
		if got := api.AsError(row.err).Message; got != row.want {
			t.Errorf("%q, want %q", got, row.want)
		}
		if got := api.Errorf(api.Internal, "%w", row.err).Message; got != row.want {
			t.Errorf("%q, want %q", got, row.want)
		}
	}
}
