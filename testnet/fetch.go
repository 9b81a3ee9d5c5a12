package testnet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"sync"

	"shoal/node/api"
)

// Fetch is a `shoal get` that runs beside the test.
type Fetch struct {
	peer   *Peer
	args   []string
	cmd    *exec.Cmd
	stderr bytes.Buffer

	mu       sync.Mutex
	progress api.Progress  // the latest
	last     string        // the latest line
	news     chan struct{} // holds a token while there may be news
	done     chan struct{} // closed when the command has ended
}

// Fetch starts `shoal get` of a link to dest and returns at once. If it still runs at the end of the test it is ended.
func (p *Peer) Fetch(link, dest string, flags ...string) *Fetch {
	p.lab.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandWithin)
	args := append(append([]string{"get", "--json", "-o", dest}, flags...), link)
	f := &Fetch{peer: p, args: args, cmd: p.Command(ctx, args...), news: make(chan struct{}, 1), done: make(chan struct{})}
	f.cmd.Stderr = &f.stderr
	out, err := f.cmd.StdoutPipe()
	if err == nil {
		err = f.cmd.Start()
	}
	if err != nil {
		cancel()
		p.lab.t.Fatal(err)
	}
	go f.follow(out)
	p.lab.t.Cleanup(func() { cancel(); <-f.done })
	return f
}

// follow reads the command's output to its end.
func (f *Fetch) follow(out io.Reader) {
	defer close(f.done)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		f.line(lines.Bytes())
	}
	f.cmd.Wait() // how it ended is in f.cmd.ProcessState
}

// line takes in one line of the output.
func (f *Fetch) line(raw []byte) {
	var p struct {
		Event string `json:"event"`
		api.Progress
	}
	err := json.Unmarshal(raw, &p)
	f.mu.Lock()
	f.last = string(raw)
	if err == nil && p.Event == "progress" {
		f.progress = p.Progress
	}
	f.mu.Unlock()
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// Progress is the latest report of the command.
func (f *Fetch) Progress() api.Progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.progress
}

// Until waits for a report that satisfies cond and returns it. A command that ends before that fails the test.
func (f *Fetch) Until(what string, cond func(api.Progress) bool) api.Progress {
	f.peer.lab.t.Helper()
	for {
		if p := f.Progress(); cond(p) {
			return p
		}
		select {
		case <-f.news:
		case <-f.done:
			if p := f.Progress(); cond(p) {
				return p
			}
			f.peer.lab.t.Fatalf("peer %d: get ended before %s: %s", f.peer.Index(), what, f.Wait())
		}
	}
}

// UntilBytes waits until at least so many bytes are verified.
func (f *Fetch) UntilBytes(bytes int64) api.Progress {
	f.peer.lab.t.Helper()
	return f.Until(fmt.Sprintf("%d bytes were there", bytes), func(p api.Progress) bool { return p.Bytes >= bytes })
}

// Interrupt is Ctrl-C on the command's terminal.
func (f *Fetch) Interrupt() {
	f.peer.lab.t.Helper()
	if err := interrupt(f.cmd.Process); err != nil {
		f.peer.lab.t.Fatal(err)
	}
}

// Wait waits for the end of the command. Stdout of the result is its last line only.
func (f *Fetch) Wait() Result {
	<-f.done
	f.mu.Lock()
	defer f.mu.Unlock()
	return Result{Args: f.args, Code: f.cmd.ProcessState.ExitCode(), Stdout: f.last, Stderr: f.stderr.String()}
}

// Done waits for the end of a command that has to succeed and returns what it tells.
func (f *Fetch) Done() api.GetResult {
	f.peer.lab.t.Helper()
	r := f.Wait()
	if r.Code != 0 {
		f.peer.lab.t.Fatalf("peer %d: %s", f.peer.Index(), r)
	}
	return decode[api.GetResult](f.peer, r.Stdout)
}
