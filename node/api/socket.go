package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// socketName is the API socket's file name in the home.
const socketName = "api.sock"

// maxSocketPath is what every platform takes as a socket path: sun_path is 104 bytes on macOS and the BSDs, 108 on Linux and
// Windows, with the NUL.
const maxSocketPath = 100

// SocketPath is where the daemon of a home listens.
func SocketPath(home string) string { return filepath.Join(home, socketName) }

// inShort calls fn with a path for file name in dir that is short enough for a socket address. Where the real one is too
// long it goes through a short-lived symlink to dir, in a fresh directory that only this user can enter.
func inShort(dir, name string, fn func(path string) error) error {
	path := filepath.Join(dir, name)
	if len(path) <= maxSocketPath {
		return fn(path)
	}
	tmp, err := os.MkdirTemp(shortTemp(), "shoal")
	if err != nil {
		return fmt.Errorf("shorten socket path: %w", err)
	}
	defer os.RemoveAll(tmp)
	dir, err = filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("shorten socket path: %w", err)
	}
	link := filepath.Join(tmp, "h")
	if err := os.Symlink(dir, link); err != nil {
		return fmt.Errorf("the socket path %s is too long for this system, and a symlink to it failed: %w", path, err)
	}
	return fn(filepath.Join(link, name))
}

// shortTemp is the temporary directory, unless its own path is the long one.
func shortTemp() string {
	tmp := os.TempDir()
	if len(tmp) > maxSocketPath-len("/shoal1234567890/h/.api12345678/s") && runtime.GOOS != "windows" {
		return "/tmp"
	}
	return tmp
}

// dial connects to the API socket of a home. Nobody listening, be it without a socket or behind one that a crash left,
// is NoDaemon.
func dial(ctx context.Context, home string) (net.Conn, error) {
	var conn net.Conn
	err := inShort(home, socketName, func(path string) (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "unix", path)
		return err
	})
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("connect to the daemon: %w", ctx.Err())
	case errors.Is(err, fs.ErrPermission):
		return nil, Errorf(Denied, "connect to the daemon of %s: %w", home, err).
			WithHint("The daemon was started by another user; run this as the same user.")
	}
	e := Errorf(NoDaemon, "no daemon runs for %s", home).WithHint("Start one with `shoal daemon`.")
	e.cause = err
	return nil, e
}

// listen binds the API socket of a home with mode 0600, in place of one that a crash left. The caller holds the home's
// lock, so two daemons cannot race here; a live listener is Locked all the same.
func listen(home string) (net.Listener, error) {
	path := SocketPath(home)
	if _, err := os.Lstat(path); err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if conn, err := dial(ctx, home); err == nil {
			conn.Close()
			return nil, Errorf(Locked, "another daemon already serves %s", path)
		}
	}
	if runtime.GOOS == "windows" { // sockets cannot be renamed there; the home's access list protects this one
		if err := removeFile(path); err != nil {
			return nil, err
		}
		return bind(home, socketName)
	}
	return bindPrivate(home)
}

// bindPrivate binds in a directory of mode 0700 and renames the socket into place once it has its mode, so that it is
// never open to others for a moment, whatever the mode of the home, and replaces a stale one in one step.
func bindPrivate(home string) (net.Listener, error) {
	dir, err := os.MkdirTemp(home, ".api")
	if err != nil {
		return nil, fmt.Errorf("bind API socket: %w", err)
	}
	defer os.RemoveAll(dir)
	l, err := bind(dir, "s")
	if err != nil {
		return nil, err
	}
	tmp := filepath.Join(dir, "s")
	if err := errors.Join(os.Chmod(tmp, 0o600), os.Rename(tmp, SocketPath(home))); err != nil {
		l.Close()
		return nil, fmt.Errorf("bind API socket: %w", err)
	}
	return l, nil
}

// bind listens at name in dir. The owner removes the socket file, because the listener may know it by another path.
func bind(dir, name string) (net.Listener, error) {
	var l *net.UnixListener
	err := inShort(dir, name, func(path string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("bind API socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	return l, nil
}
