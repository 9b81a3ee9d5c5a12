package main

import (
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"shoal/node/api"
)

// bar shows progress on a terminal: what, how far, the numbers.
type bar struct {
	console *console
	all     *mpb.Progress
	one     *mpb.Bar

	mu     sync.Mutex
	what   string
	latest api.Progress
}

func newBar(c *console, what string) *bar {
	b := &bar{console: c, what: what, latest: api.Progress{State: "starting"}}
	b.all = mpb.New(mpb.WithOutput(c.base), mpb.WithWidth(24), mpb.WithRefreshRate(150*time.Millisecond), mpb.WithAutoRefresh())
	b.one = b.all.New(0, mpb.BarStyle().Lbound("[").Filler("=").Tip(">").Padding(" ").Rbound("]"),
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return b.head() })),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return b.tail() })))
	c.divert(b.all)
	return b
}

func (b *bar) update(p api.Progress) {
	if warn(b.console, p) {
		return
	}
	b.mu.Lock()
	b.latest = p
	b.mu.Unlock()
	// A total that has been reached would complete the bar, though the total may still grow.
	b.one.SetTotal(max(p.Total, p.Bytes)+1, false)
	b.one.SetCurrent(p.Bytes)
}

// done takes the bar off the screen.
func (b *bar) done() {
	b.one.Abort(true)
	b.all.Wait()
	b.console.divert(nil)
}

// head is left of the bar.
func (b *bar) head() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := b.what
	if b.latest.Name != "" {
		name = b.latest.Name
	}
	return string(b.latest.State) + " " + shorten(printable(name), 28) + " "
}

// tail is right of the bar.
func (b *bar) tail() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	parts := figures(b.latest)
	if b.latest.Message != "" {
		parts = append([]string{printable(b.latest.Message)}, parts...)
	}
	return " " + strings.Join(parts, ", ")
}

// shorten cuts the middle out of a long name: its end tells more than that.
func shorten(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	half := (most - 1) / 2
	return string(r[:half]) + "…" + string(r[len(r)-(most-1-half):])
}
