package testnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// commandWithin bounds a command that nothing else bounds, so that a hang is a failed test with logs.
const commandWithin = 3 * time.Minute

// Result is what a finished command left.
type Result struct {
	Args   []string
	Code   int // exit code; -1: ended by a signal
	Stdout string
	Stderr string
}

// String shows it for messages of failed tests, of long output the end.
func (r Result) String() string {
	return fmt.Sprintf("shoal %s\nexit code: %d\nstdout: %s\nstderr: %s", strings.Join(r.Args, " "), r.Code, end(r.Stdout), end(r.Stderr))
}

// end is the last part of a long text.
func end(s string) string {
	const most = 4000
	if len(s) <= most {
		return s
	}
	return "[…] " + s[len(s)-most:]
}

// Command prepares `shoal --home HOME args…` in the daemon's directory, not started.
func (d *Daemon) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := d.place.command(ctx, d.net.cfg.Bin, append([]string{"--home", d.home}, args...)...)
	cmd.Env = d.env()
	cmd.Dir = d.dir
	cmd.SysProcAttr = dieWithParent()
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// command prepares a command at the place.
func (p Place) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	if p.Namespace != nil {
		return p.Namespace.Command(ctx, name, args...)
	}
	return exec.CommandContext(ctx, name, args...)
}

// Run runs a command to its end, whatever its exit code.
func (d *Daemon) Run(args ...string) Result {
	ctx, cancel := context.WithTimeout(context.Background(), commandWithin)
	defer cancel()
	cmd := d.Command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := Result{Args: args, Code: cmd.ProcessState.ExitCode(), Stdout: out.String(), Stderr: errs.String()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.Stderr += "\n" + err.Error()
	}
	if ctx.Err() != nil {
		r.Stderr += fmt.Sprintf("\nended by the harness after %s", commandWithin)
	}
	return r
}

func lastLine(s string) string {
	s = strings.TrimRight(s, "\n")
	return s[strings.LastIndexByte(s, '\n')+1:]
}
