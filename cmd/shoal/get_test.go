package main

import (
	"strings"
	"testing"

	"shoal/node/api"
)

// The next step for names that were left out is one that brings them.
func TestHintLeft(t *testing.T) {
	blocked, odd := api.Issue{Path: "a", Code: api.Exists}, api.Issue{Path: "a:b", Code: api.Unsupported}
	for _, row := range []struct {
		res  api.GetResult
		want []string
		not  string
	}{
		{api.GetResult{Left: []api.Issue{blocked}}, []string{"move it"}, "--rename-illegal"},
		{api.GetResult{Left: []api.Issue{blocked}, Replaceable: 1}, []string{"--force, 1 file"}, "move it"},
		{api.GetResult{Left: []api.Issue{odd}}, []string{"--rename-illegal"}, "move it"},
		{api.GetResult{Left: []api.Issue{blocked, odd}, Replaceable: 1}, []string{"--rename-illegal", "--force, 1 file"}, "move it"},
	} {
		got := hintLeft(row.res)
		for _, want := range row.want {
			if !strings.Contains(got, want) || strings.Contains(got, row.not) {
				t.Errorf("%+v: %s", row.res, got)
			}
		}
	}
}
