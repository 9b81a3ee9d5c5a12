package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestRun runs the program, with a file of its own and with one that it is given.
func TestRun(t *testing.T) {
	given := filepath.Join(t.TempDir(), "given")
	if err := os.WriteFile(given, bytes.Repeat([]byte{7}, 3<<20), 0o644); err != nil { // zeros need not be fetched
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"its own file", nil, `(?s)alice shares 3300000 bytes in 4 chunks\nipfs://bafy.*bob got 3300000 bytes from 12D3KooW`},
		{"a given file", []string{given}, `(?s)alice shares 3145728 bytes in 3 chunks\nipfs://bafy.*bob got \d+ bytes from 12D3KooW`},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := run(t.Context(), row.args, &out); err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(row.want).Match(out.Bytes()) {
				t.Errorf("printed %q", out.String())
			}
		})
	}
}

// TestMissing gives an error for a file that is not there, and leaves nothing running.
func TestMissing(t *testing.T) {
	if err := run(t.Context(), []string{filepath.Join(t.TempDir(), "nothing")}, &bytes.Buffer{}); err == nil {
		t.Error("no error")
	}
}
