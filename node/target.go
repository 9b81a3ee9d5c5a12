package node

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/chunker"
	"shoal/node/api"
	"shoal/node/store"
)

// target reads a request: what to fetch, where it goes, and who may have it.
func (n *Node) target(req api.GetRequest) (store.Target, []peer.AddrInfo, error) {
	link, err := parseLink(req.Link)
	if err != nil {
		return store.Target{}, nil, err
	}
	t := store.Target{Root: link.Root, Dir: req.Dir, Name: store.SafeName(link.Filename), Select: req.Select, Force: req.Force, Rename: req.RenameIllegal}
	if link.Path != "" {
		t.Sub = path.Clean(link.Path)
		t.Name = path.Base(t.Sub)
	}
	hints, err := linkPeers(link)
	if err != nil {
		return t, nil, err
	}
	if req.Output != "" { // may make a directory
		if t.Dir, t.Name, err = n.output(t.Root, t.Sub, t.Name, req.Output); err != nil {
			return t, nil, err
		}
		t.Fixed = t.Name == filepath.Base(filepath.Clean(req.Output))
	}
	t.Dir = filepath.Clean(t.Dir)
	return t, hints, nil
}

// output says where GetRequest.Output puts the result. A directory that exists means into it, as for cp, and so does a
// trailing slash, which makes the directory. But where this root lies already, or is being fetched to, is that place itself.
func (n *Node) output(root cid.Cid, sub, name, out string) (dir, _ string, err error) {
	into := strings.HasSuffix(out, "/") || os.IsPathSeparator(out[len(out)-1])
	out = filepath.Clean(out)
	if place, ok := n.store.PlaceAt(root, sub, out); ok {
		return filepath.Dir(place), filepath.Base(place), nil
	}
	fi, err := chunker.StatPath(out)
	switch {
	case err == nil && fi.IsDir():
		return out, name, nil
	case err == nil && into:
		return "", "", api.Errorf(api.Exists, "%s is a file, not a directory", out).WithHint("Leave out the slash at its end, or choose another destination with -o.")
	case !into && isFile(filepath.Dir(out)):
		return "", "", api.Errorf(api.Exists, "%s is a file, not a directory", filepath.Dir(out)).WithHint("Choose another destination with -o.")
	case !into:
		return filepath.Dir(out), filepath.Base(out), nil
	}
	if err := os.MkdirAll(out, 0o777); errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTDIR) {
		return "", "", api.Errorf(api.Exists, "create %s: %w", out, err).WithHint("A file or a symlink to nothing is in the way; choose another destination with -o.")
	} else if err != nil {
		return "", "", userError(store.FileError("create", out, err))
	}
	return out, name, nil
}

// isFile tells whether something that is no directory is at a path, symlinks followed.
func isFile(path string) bool {
	fi, err := chunker.StatPath(path)
	return err == nil && !fi.IsDir()
}

// renamed says that the result is not called as its link says, where that name cannot be used as it is.
func renamed(req api.GetRequest, path string) []api.Renamed {
	link, err := parseLink(req.Link)
	if err != nil || link.Path != "" || link.Filename == "" {
		return nil
	}
	into := req.Dir
	if req.Output != "" {
		into = req.Output // else it names the result itself
	}
	is := filepath.Base(path)
	if is == link.Filename || filepath.Dir(path) != filepath.Clean(into) {
		return nil
	}
	return []api.Renamed{{From: link.Filename, To: is}}
}
