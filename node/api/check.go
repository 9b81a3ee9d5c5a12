package api

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// request is an object that a client sends. Check tells whether it can be meant, by the one set of rules for every way in: the
// client asks it before it sends, the server before it answers, and a Service in the process before it begins. The error has
// code invalid and names the field.
type request interface{ Check() error }

// Check implements the rules of requests.
func (r ShareRequest) Check() error {
	if err := checkPath("path", r.Path); err != nil {
		return err
	}
	if err := checkShared(r.Path); err != nil {
		return err
	}
	if err := eachText("exclude", r.Exclude); err != nil {
		return err
	}
	return checkName(r.Name)
}

// maxName is the bytes of a name that common file systems hold.
const maxName = 255

// checkName is for what a share is called; "" is the name it has.
func checkName(name string) error {
	if err := checkText("name", name); err != nil {
		return err
	}
	switch {
	case name == ".", name == "..", strings.Contains(name, "/"):
		return Errorf(Invalid, "the name %q is not one part of a path", name).WithHint("Who gets the share saves it under that name: photos, notes.txt.")
	case len(name) > maxName:
		return Errorf(Invalid, "the name %q is longer than %d bytes", name, maxName).WithHint("Who gets the share saves it under that name: choose a shorter one.")
	}
	return nil
}

// Check implements the rules of requests.
func (r GetRequest) Check() error {
	if err := needText("link", r.Link); err != nil {
		return err
	}
	if r.Dir == "" && r.Output == "" {
		return missing("dir")
	}
	for _, p := range []struct{ field, path string }{{"dir", r.Dir}, {"output", r.Output}} {
		if p.path == "" {
			continue
		}
		if err := checkPath(p.field, p.path); err != nil {
			return err
		}
		if at := systemPlace(p.path); at != "" {
			return Errorf(Invalid, "%s%s: no place for files: %s shows what the system holds", p.path, leads(p.path, at), systemRoot(at)).
				WithHint("Choose a place on a disk; `shoal cat` writes a file to stdout.")
		}
	}
	return eachText("select", r.Select)
}

// Check implements the rules of requests.
func (r CatRequest) Check() error {
	if err := needText("link", r.Link); err != nil {
		return err
	}
	_, err := ParseRange(r.Range)
	return err
}

// Check implements the rules of requests.
func (r VerifyRequest) Check() error {
	switch {
	case r.All && r.Ref != "":
		return Errorf(Invalid, `the fields "ref" and "all" exclude each other`)
	case r.All:
		return nil
	}
	return CheckRef(r.Ref)
}

// Check implements the rules of requests.
func (r MoveRequest) Check() error {
	if err := checkPath("from", r.From); err != nil {
		return err
	}
	if err := checkPath("to", r.To); err != nil {
		return err
	}
	return checkShared(r.To)
}

// Check implements the rules of requests.
func (r WhyRequest) Check() error {
	if math.IsNaN(r.Timeout) || math.IsInf(r.Timeout, 0) || r.Timeout < 0 {
		return Errorf(Invalid, `the field "timeout" must be seconds, not %v`, r.Timeout)
	}
	return CheckRef(r.Ref)
}

// Check implements the rules of requests.
func (r LimitRequest) Check() error {
	if r == (LimitRequest{}) {
		return Errorf(Invalid, "the request sets no limit").WithHint("Its fields are up, down, peer_up, peer_down and auto.")
	}
	return nil
}

// Check implements the rules of requests.
func (r PeerListRequest) Check() error {
	if len(r.Allow)+len(r.Ban)+len(r.Forget) == 0 {
		return Errorf(Invalid, "the request names no peer").WithHint("Its fields are allow, ban and forget.")
	}
	for _, list := range []struct {
		field string
		peers []string
	}{{"allow", r.Allow}, {"ban", r.Ban}, {"forget", r.Forget}} {
		if err := eachText(list.field, list.peers); err != nil {
			return err
		}
	}
	return nil
}

// CheckRef is Check for the ref of the calls that take nothing else.
func CheckRef(ref string) error { return needText("ref", ref) }

func missing(field string) error {
	return Errorf(Invalid, "the field %q is missing or empty", field)
}

// needText refuses the empty text too.
func needText(field, s string) error {
	if s == "" {
		return missing(field)
	}
	return checkText(field, s)
}

func eachText(field string, list []string) error {
	for _, s := range list {
		if s == "" {
			return Errorf(Invalid, "the field %q holds an empty string", field)
		}
		if err := checkText(field, s); err != nil {
			return err
		}
	}
	return nil
}

// checkText refuses what would end a name or path early for the system.
func checkText(field, s string) error {
	if strings.ContainsRune(s, 0) {
		return Errorf(Invalid, "the field %q holds a NUL byte", field)
	}
	return nil
}

// checkPath is for paths on this machine.
func checkPath(field, path string) error {
	if err := needText(field, path); err != nil {
		return err
	}
	if !filepath.IsAbs(path) {
		return Errorf(Invalid, "the field %q is not an absolute path: %q", field, path).
			WithHint("The daemon works in another directory than who asks it.")
	}
	return nil
}

// checkShared refuses what is no place of files to share.
func checkShared(path string) error {
	if at := systemPlace(path); at != "" {
		return Errorf(Invalid, "%s%s: not a regular file on a disk: %s shows what the system holds", path, leads(path, at), systemRoot(at)).
			WithHint("shoal shares files where they are; save it to a file first.")
	}
	return nil
}

// leads says by which way a path leads to at.
func leads(path, at string) string {
	if path = filepath.Clean(path); path == at || strings.HasPrefix(path, at+"/") {
		return ""
	}
	return ", which leads to " + at
}

func systemRoot(at string) string {
	return "/" + strings.Split(at, "/")[1]
}

// systemPlace goes along path, through symlinks, and gives the first place on the way that holds no files but shows devices,
// processes and what they have open: /dev, /proc and /sys, "" if there is none. There the same path means something else to each
// process: /dev/stdin is another file to the daemon than to its client. /dev/shm holds files.
func systemPlace(path string) string {
	if runtime.GOOS == "windows" {
		return ""
	}
	at, links := "/", 0
	for todo := strings.Split(filepath.Clean(path), "/"); len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		if at = filepath.Join(at, name); isSystem(at) {
			return at
		}
		target, err := os.Readlink(at)
		if err != nil || name == "" || name == "." || name == ".." { // no symlink
			continue
		}
		if links++; links > 255 {
			return "" // whoever opens it says so
		}
		todo = append(strings.Split(target, "/"), todo...)
		if at = filepath.Dir(at); filepath.IsAbs(target) {
			at = "/"
		}
	}
	if at == "/dev" {
		return at
	}
	return ""
}

func isSystem(at string) bool {
	return at == "/proc" || at == "/sys" && runtime.GOOS == "linux" ||
		strings.HasPrefix(at, "/dev/") && at != "/dev/shm" && !strings.HasPrefix(at, "/dev/shm/")
}
