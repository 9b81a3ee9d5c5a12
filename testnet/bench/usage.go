package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// What processes and networks have used, as Linux tells it in /proc; elsewhere all is zero or not known.

// usage is what one run took.
type usage struct {
	cpu  float64 // seconds, user and system, of all processes
	peak int64   // bytes resident at most (VmHWM) in the largest process, page cache that it maps included
	anon int64   // the same without page cache (RssAnon), as far as samples show
	wire int64   // bytes on the network, headers included; -1: not known
}

// sampleEvery is how often the memory of processes is looked at.
const sampleEvery = 50 * time.Millisecond

// statusBytes is a field of /proc/<pid>/status, in bytes; 0 if it is not there.
func statusBytes(status, field string) int64 {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// memoryOf is what a process has resident at most, and what of it is anonymous now.
func memoryOf(pid int) (peak, anon int64) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, 0
	}
	return statusBytes(string(status), "VmHWM"), statusBytes(string(status), "RssAnon")
}

// anonymousBytes is the resident memory of a process that is not page cache.
func anonymousBytes(pid int) int64 {
	_, anon := memoryOf(pid)
	return anon
}

// parseStat reads /proc/<pid>/stat: the process group, and the CPU seconds with those of children that were waited for.
func parseStat(stat string) (pgrp int, seconds float64, err error) {
	i := strings.LastIndexByte(stat, ')') // a command's name may hold anything
	fields := strings.Fields(stat[i+1:])
	if i < 0 || len(fields) < 15 {
		return 0, 0, errors.New("a short line")
	}
	if pgrp, err = strconv.Atoi(fields[2]); err != nil {
		return 0, 0, err
	}
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime, in ticks of 10 ms
		ticks, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0, 0, err
		}
		seconds += ticks / 100
	}
	return pgrp, seconds, nil
}

// cpuSince is what a live process has used since its start, in seconds, with the children it has waited for.
func cpuSince(pid int) float64 {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	_, seconds, _ := parseStat(string(stat))
	return seconds
}

// cpuOfGroups is what the live processes of some process groups have used.
func cpuOfGroups(groups map[int]bool) (seconds float64) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		if pgrp, s, err := parseStat(string(stat)); err == nil && groups[pgrp] {
			seconds += s
		}
	}
	return seconds
}

// sentBytes is what an interface has sent, by the text of /proc/net/dev; -1 if it is not there.
func sentBytes(dev, name string) int64 {
	for line := range strings.Lines(dev) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), name+":")
		if fields := strings.Fields(rest); ok && len(fields) >= 16 {
			if n, err := strconv.ParseInt(fields[8], 10, 64); err == nil {
				return n
			}
		}
	}
	return -1
}

// loopbackBytes is what went over loopback so far; -1 where others use it too, or where it is not known.
func (b *bench) loopbackBytes() int64 {
	dev, err := os.ReadFile("/proc/self/net/dev")
	if err != nil || !b.isolated {
		return -1
	}
	return sentBytes(string(dev), "lo")
}

// wireSince is the difference of two counters that may be unknown.
func wireSince(before, after int64) int64 {
	if before < 0 || after < 0 {
		return -1
	}
	return after - before
}
