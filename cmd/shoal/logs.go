package main

import (
	"log/slog"

	golog "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p/gologshim"
)

// logger logs to stderr. Verbs that are not the daemon keep quiet below warn, unless somebody chose a level.
func (c *call) logger() *slog.Logger {
	min := level(c.set.one("log_level"))
	if c.verb.name != "daemon" && !c.set.set("log_level") {
		min = slog.LevelWarn
	}
	return slog.New(c.logHandler(min))
}

func (c *call) logHandler(min slog.Level) slog.Handler {
	return slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: min})
}

// tameLibraries keeps what libp2p and kad-dht log by themselves from people: a peer that cannot be dialled is no news to them.
// With --log-level debug their warnings show too. Who sets GOLOG_LOG_LEVEL, as those libraries document, gets what it asks for.
// Their loggers are global and take a handler only before they first log, so this comes before a node is made.
func (c *call) tameLibraries() {
	if v, ok := c.getenv("GOLOG_LOG_LEVEL"); ok && v != "" {
		return
	}
	handler, most := slog.Handler(slog.DiscardHandler), golog.LevelFatal
	if level(c.set.one("log_level")) <= slog.LevelDebug {
		handler, most = c.logHandler(slog.LevelWarn), golog.LevelWarn
	}
	gologshim.SetDefaultHandler(handler)
	golog.SetupLogging(golog.Config{Format: golog.PlaintextOutput, Level: most, Stderr: true})
}
