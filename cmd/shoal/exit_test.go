package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"shoal/node/api"
)

func TestExitCode(t *testing.T) {
	for _, row := range []struct {
		name string
		err  error
		want int
	}{
		{"success", nil, 0},
		{"anything", errors.New("odd"), 1},
		{"a code of a newer daemon", api.Errorf("moon", "m"), 1},
		{"usage", usagef("get", "no link"), 2},
		{"missing path", cannot("share", "x", &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}), 2},
		{"nobody", api.Errorf(api.Unavailable, "nobody"), 3},
		{"timeout", fmt.Errorf("get: %w", context.DeadlineExceeded), 3},
		{"changed", cannot("share", "x", api.Errorf(api.Changed, "x changed")), 4},
		{"told already", errSaid{api.Errorf(api.Damaged, "d")}, 4},
		{"exists", api.Errorf(api.Exists, "e"), 5},
		{"full disk", fmt.Errorf("write: %w", syscall.ENOSPC), 5},
		{"no daemon", api.Errorf(api.NoDaemon, "n"), 6},
		{"locked", api.Errorf(api.Locked, "l"), 6},
		{"interrupted", fmt.Errorf("get: %w", context.Canceled), 130},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := exitCode(row.err); got != row.want {
				t.Errorf("%d; want %d", got, row.want)
			}
		})
	}
}

// TestExitsAreDocumented checks that every exit code in the table is explained, and that no verb promises an unknown one.
func TestExitsAreDocumented(t *testing.T) {
	documented := map[int]bool{}
	for _, x := range exits {
		documented[x.code] = true
	}
	for code, exit := range exitOf {
		if !documented[exit] {
			t.Errorf("exit code %d of %s is not explained", exit, code)
		}
	}
	for _, v := range verbs() {
		for _, x := range append(v.exits, everyExit...) {
			if !documented[x] {
				t.Errorf("%s promises exit code %d, which is not explained", v.name, x)
			}
		}
	}
}

func TestComplain(t *testing.T) {
	full, err := filepath.Abs("x")
	if err != nil {
		t.Fatal(err)
	}
	missing := &fs.PathError{Op: "lstat", Path: full, Err: fs.ErrNotExist}
	for _, row := range []struct {
		name string
		err  error
		want string
	}{
		{"object named once", cannot("share", "x", fmt.Errorf("share %s: %w", full, missing)), "shoal: cannot share x: file does not exist\n"},
		{"another object stays", cannot("share", "x", &fs.PathError{Op: "open", Path: full + "/y", Err: fs.ErrPermission}),
			"shoal: cannot share x: open " + full + "/y: permission denied\n"},
		{"root of a path named again", cannot("get", "bafy/a.txt", errors.New("copy bafy: fetch bafy: the destination exists: /d")),
			"shoal: cannot get bafy/a.txt: the destination exists: /d\n"},
		{"hint", api.Errorf(api.NoDaemon, "no daemon runs").WithHint("Start one."), "shoal: no daemon runs\n  Start one.\n"},
		{"interrupted", cannot("share", "x", context.Canceled), "shoal: interrupted\n"},
		{"paused", api.Errorf(api.Canceled, "paused; run the same command to resume"), "shoal: paused; run the same command to resume\n"},
		{"hostile name", api.Errorf(api.Exists, "\x1b[2Jx\nshoal: done"), "shoal: \\x1b[2Jx\\nshoal: done\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := complain(row.err); got != row.want {
				t.Errorf("%q; want %q", got, row.want)
			}
		})
	}
}

// TestHelp checks each help text for what it must have.
func TestHelp(t *testing.T) {
	all := verbs()
	for _, v := range all {
		text := helpOf(v)
		for _, want := range []string{"usage: shoal " + v.name, "examples:", "--home DIR", "exit codes:", "  130  interrupted"} {
			if !strings.Contains(text, want) {
				t.Errorf("help of %s lacks %q", v.name, want)
			}
		}
		if strings.Contains(text, "{{") {
			t.Errorf("help of %s has a template in it", v.name)
		}
		if !strings.Contains(overview(all), "\n  "+v.name+" ") {
			t.Errorf("the overview lacks %s", v.name)
		}
	}
}
