package node

import (
	"path/filepath"
	"strings"
	"testing"

	"shoal/chunker"
	"shoal/node/api"
	"shoal/node/store"
)

// TestRenamed: a result is said to have another name than its link only where the name that was asked for could not be used, and
// not where -o names it.
func TestRenamed(t *testing.T) {
	const link = "ipfs://bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e?filename=one"
	dir := t.TempDir()
	for _, row := range []struct {
		output, path string
		want         int
	}{
		{"", "one", 0},
		{"", "one_", 1},
		{"other", "other", 0},
		{"sub", "sub/one", 0},
		{"sub", "sub/one_", 1},
	} {
		req := api.GetRequest{Link: link, Dir: dir}
		if row.output != "" {
			req.Output = filepath.Join(dir, row.output)
		}
		if got := renamed(req, filepath.Join(dir, row.path)); len(got) != row.want {
			t.Errorf("-o %q, at %s: %v", row.output, row.path, got)
		}
	}
}

// TestNameNotTaken: a name that the disk does not take is not said to be in the way.
func TestNameNotTaken(t *testing.T) {
	e := api.AsError(userError(&store.BlockedError{Path: "/disk/a:b", Why: "is a name that the disk there does not take", Renamable: true}))
	if e.Code != api.Exists || strings.Contains(e.Message, "exists") || !strings.Contains(e.Hint, "--rename-illegal") || strings.Contains(e.Hint, "removed") {
		t.Errorf("%+v", e)
	}
}

// TestBadPattern: a line that cannot be read is the user's to mend, and no damaged content.
func TestBadPattern(t *testing.T) {
	_, err := chunker.ParseIgnore("[a")
	if e := api.AsError(userError(err)); e.Code != api.Invalid {
		t.Errorf("code %s, want %s: %v", e.Code, api.Invalid, err)
	}
}
