package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// proc is a daemon that a script started.
type proc struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// procsKey is where a script keeps its daemons, by name.
type procsKey struct{}

func procs(ts *testscript.TestScript) map[string]*proc {
	return ts.Value(procsKey{}).(map[string]*proc)
}

// cmdDaemon is the script command
//
//	daemon NAME [flags]
//
// It starts `shoal daemon` with the home $WORK/NAME in the network local, waits until it is ready, and sets $NAME to its first
// address.
func cmdDaemon(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: daemon NAME [flags]")
	}
	name := args[0]
	line := background(ts, name, false, append([]string{"daemon", "--home", ts.MkAbs(name), "--network", "local"}, args[1:]...))
	fields := strings.Fields(line)
	if len(fields) < 3 || fields[0] != "ready" {
		procs(ts)[name].stop(os.Kill)
		ts.Fatalf("daemon %s said %q\n%s", name, line, ts.ReadFile(name+".log"))
	}
	ts.Setenv(name, fields[2])
}

// cmdBackground is the script command
//
//	background [-err] NAME shoal [args]
//
// It starts shoal, waits for the first line that it prints on stdout, or with -err on stderr, and sets $NAME to that.
func cmdBackground(ts *testscript.TestScript, neg bool, args []string) {
	onErr := len(args) > 0 && args[0] == "-err"
	if onErr {
		args = args[1:]
	}
	if neg || len(args) < 2 || args[1] != "shoal" {
		ts.Fatalf("usage: background [-err] NAME shoal [args]")
	}
	ts.Setenv(args[0], background(ts, args[0], onErr, args[2:]))
}

// background starts shoal and gives the first line that it prints on stdout or stderr, "" if it ends without. What it
// tells on stderr goes to NAME.log. It is killed when the script ends.
func background(ts *testscript.TestScript, name string, onErr bool, args []string) string {
	cmd := exec.Command("shoal", args...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "SHOAL_") }),
		"HOME="+ts.Getenv("HOME"), "SHOAL_HOME="+ts.Getenv("SHOAL_HOME"))
	log, err := os.Create(ts.MkAbs(name + ".log"))
	ts.Check(err)
	outFirst, errFirst := newFirstLine(io.Discard), newFirstLine(log)
	cmd.Stdout, cmd.Stderr = outFirst, errFirst
	ts.Check(cmd.Start())
	p := &proc{cmd, make(chan struct{})}
	go func() {
		cmd.Wait()
		log.Close()
		close(p.done)
	}()
	ts.Defer(func() { p.stop(os.Kill) })
	procs(ts)[name] = p
	first := outFirst
	if onErr {
		first = errFirst
	}
	select {
	case line := <-first.line:
		return line
	case <-p.done: // all that it printed has been passed on
		close(first.line)
		return <-first.line
	}
}

// firstLine passes text on and gives its first line to a channel.
type firstLine struct {
	to   io.Writer
	line chan string // takes one
	text []byte
	sent bool
}

func newFirstLine(to io.Writer) *firstLine { return &firstLine{to: to, line: make(chan string, 1)} }

func (f *firstLine) Write(p []byte) (int, error) {
	if !f.sent {
		f.text = append(f.text, p...)
		if line, _, ok := bytes.Cut(f.text, []byte("\n")); ok {
			f.line <- string(line)
			f.sent = true
		}
	}
	return f.to.Write(p)
}

// stop sends a signal, if any, and waits for the end. A process that has ended already is fine.
func (p *proc) stop(sig os.Signal) {
	if sig != nil {
		p.cmd.Process.Signal(sig)
	}
	<-p.done
}

// haltSignals are the ways to end a background shoal; nil waits for its own end.
var haltSignals = map[string]os.Signal{"-9": os.Kill, "-INT": os.Interrupt, "-TERM": syscall.SIGTERM, "-wait": nil}

// cmdHalt is the script command
//
//	halt -9|-INT|-TERM|-wait NAME [CODE]
//
// It ends a background shoal, or waits for its end, and checks its exit code, if one is given.
func cmdHalt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || procs(ts)[args[1]] == nil {
		ts.Fatalf("usage: halt -9|-INT|-TERM|-wait NAME [CODE]")
	}
	sig, known := haltSignals[args[0]]
	if !known {
		ts.Fatalf("no signal %s", args[0])
	}
	p := procs(ts)[args[1]]
	p.stop(sig)
	if code := strconv.Itoa(p.cmd.ProcessState.ExitCode()); len(args) > 2 && code != args[2] {
		ts.Fatalf("%s ended with exit code %s; want %s\n%s", args[1], code, args[2], ts.ReadFile(args[1]+".log"))
	}
}

// cmdExits is the script command
//
//	exits CODE PROGRAM [args]
//
// It is exec with the exit code to expect.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [args]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d; want %s", code, args[0])
	}
}

// cmdRandom is the script command
//
//	random FILE BYTES
//
// It writes a file of bytes that depend on its name alone.
func cmdRandom(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: random FILE BYTES")
	}
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	_, err = io.CopyN(f, rand.NewChaCha8(sha256.Sum256([]byte(args[0]))), size)
	ts.Check(errors.Join(err, f.Close()))
}

// cmdText is the script command
//
//	text FILE TEXT
//
// It writes a file without a newline at its end, which files of the script cannot be.
func cmdText(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: text FILE TEXT")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(args[1]), 0o666))
}

// cmdSetenv is the script command
//
//	setenv NAME
//
// It sets an environment variable to what the last command printed.
func cmdSetenv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: setenv NAME")
	}
	text := strings.TrimSpace(ts.ReadFile("stdout"))
	if text == "" {
		ts.Fatalf("%s: nothing was printed", fmt.Sprint(args))
	}
	ts.Setenv(args[0], text)
}
