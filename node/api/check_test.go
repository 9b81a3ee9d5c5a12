package api_test

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"shoal/node/api"
)

// Requests that cannot be meant are refused by their own rules, whichever way they come.
func TestCheck(t *testing.T) {
	link := "bafkreiemqpndzewx4bioklzfvhtiegsfny5fxuc3nkjk2vmcpjxiammsti"
	dir := t.TempDir()
	for _, row := range []struct {
		name string
		req  interface{ Check() error }
		want string // part of the error; "": none
	}{
		{"share", api.ShareRequest{Path: dir}, ""},
		{"share nothing", api.ShareRequest{}, `the field "path" is missing or empty`},
		{"share a relative path", api.ShareRequest{Path: "film"}, `the field "path" is not an absolute path: "film"`},
		{"share a dot", api.ShareRequest{Path: "."}, `the field "path" is not an absolute path`},
		{"share NUL", api.ShareRequest{Path: dir + "\x00/x"}, `the field "path" holds a NUL byte`},
		{"share a name with NUL", api.ShareRequest{Path: dir, Name: "a\x00"}, `the field "name" holds a NUL byte`},
		{"share under a name", api.ShareRequest{Path: dir, Name: "...a b"}, ""},
		{"share under a path", api.ShareRequest{Path: dir, Name: "../x"}, `the name "../x" is not one part of a path`},
		{"share under dots", api.ShareRequest{Path: dir, Name: ".."}, "not one part of a path"},
		{"share under a long name", api.ShareRequest{Path: dir, Name: strings.Repeat("x", 256)}, "longer than 255 bytes"},
		{"exclude nothing", api.ShareRequest{Path: dir, Exclude: []string{"*.tmp", ""}}, `the field "exclude" holds an empty string`},
		{"exclude NUL", api.ShareRequest{Path: dir, Exclude: []string{"a\x00"}}, `the field "exclude" holds a NUL byte`},
		{"get", api.GetRequest{Link: link, Dir: dir}, ""},
		{"get to an output alone", api.GetRequest{Link: link, Output: dir}, ""},
		{"get nothing", api.GetRequest{Dir: dir}, `the field "link" is missing or empty`},
		{"get nowhere", api.GetRequest{Link: link}, `the field "dir" is missing or empty`},
		{"get to a relative directory", api.GetRequest{Link: link, Dir: "here", Output: dir}, `the field "dir" is not an absolute path`},
		{"get to a relative output", api.GetRequest{Link: link, Dir: dir, Output: "../x"}, `the field "output" is not an absolute path`},
		{"select nothing", api.GetRequest{Link: link, Dir: dir, Select: []string{"a", ""}}, `the field "select" holds an empty string`},
		{"select NUL", api.GetRequest{Link: link, Dir: dir, Select: []string{"a\x00"}}, `the field "select" holds a NUL byte`},
		{"cat", api.CatRequest{Link: link, Range: "0-5"}, ""},
		{"cat nothing", api.CatRequest{}, `the field "link" is missing or empty`},
		{"cat no range", api.CatRequest{Link: link, Range: "x"}, "not a range"},
		{"verify all", api.VerifyRequest{All: true}, ""},
		{"verify nothing", api.VerifyRequest{}, `the field "ref" is missing or empty`},
		{"verify one and all", api.VerifyRequest{Ref: "a", All: true}, "exclude each other"},
		{"move nothing", api.MoveRequest{To: dir}, `the field "from" is missing or empty`},
		{"move to a relative path", api.MoveRequest{From: dir, To: "new"}, `the field "to" is not an absolute path`},
		{"why nothing", api.WhyRequest{}, `the field "ref" is missing or empty`},
		{"why back in time", api.WhyRequest{Ref: "a", Timeout: -1}, `the field "timeout"`},
		{"why for ever", api.WhyRequest{Ref: "a", Timeout: math.NaN()}, `the field "timeout"`},
		{"limit nothing", api.LimitRequest{}, "sets no limit"},
		{"list nobody", api.PeerListRequest{}, "names no peer"},
		{"ban an empty ID", api.PeerListRequest{Ban: []string{""}}, `the field "ban" holds an empty string`},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := row.req.Check()
			if row.want == "" && err == nil {
				return
			}
			if err == nil || row.want == "" || !strings.Contains(err.Error(), row.want) || api.AsError(err).Code != api.Invalid {
				t.Errorf("%v; want %q", err, row.want)
			}
		})
	}
}

// A path that means something else to each process is no place for files, whichever way leads there.
func TestSystemPlaces(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such places on Windows")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	link := func(name, target string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link("loop", "loop")
	up := strings.Repeat("../", strings.Count(dir, "/")+1)
	for _, row := range []struct {
		path    string
		refused bool
	}{
		{"/dev", true}, {"/dev/", true}, {"/dev/null", true}, {"/dev/stdin", true}, {"/dev/fd/0", true}, {"/dev/fd/999", true}, {"/dev/missing", true},
		{"/proc", true}, {"/proc/self/fd/0", true}, {"/proc/self/cwd/go.mod", true}, {"//proc//self", true}, {dir + "/../../../../../../../proc/self", true},
		{link("stdin", "/dev/stdin"), true}, {link("again", "stdin"), true}, {link("devices", "/dev") + "/stdin", true},
		{link("relative", up+"proc/self/environ"), true}, {link("cwd", "/proc/self/cwd") + "/x/y", true},
		{dir, false}, {dir + "/not/there/yet", false}, {"/development/x", false}, {"/process", false}, {link("good", dir) + "/x", false},
		{dir + "/loop", false}, {dir + "/loop/x", false}, {"/dev/shm", false}, {"/dev/shm/film", false}, {dir + "/dev/null", false},
	} {
		for _, req := range []interface{ Check() error }{
			api.ShareRequest{Path: row.path}, api.MoveRequest{From: dir, To: row.path}, api.GetRequest{Link: "x", Dir: row.path}, api.GetRequest{Link: "x", Dir: dir, Output: row.path},
		} {
			err := req.Check()
			if (err != nil) != row.refused || err != nil && (api.AsError(err).Code != api.Invalid || api.AsError(err).Hint == "") {
				t.Errorf("%+v: %v; want refused %v", req, err, row.refused)
			}
		}
	}
}
