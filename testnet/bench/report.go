package main

import (
	"fmt"
	"slices"
)

// series is one measured quantity over several runs.
type series struct {
	table      string // that it is a cell of; "": a row of its own
	what, unit string // of a cell: the line and the column
	values     []float64
	note       string
	goal       goal
}

// goal is what the median of a series should be.
type goal struct {
	bound float64
	word  string // "at least" or "at most"; "": there is none
}

func (g goal) String() string { return fmt.Sprintf("%s %g", g.word, g.bound) }

func (g goal) met(v float64) bool {
	if g.word == "at least" {
		return v >= g.bound
	}
	return v <= g.bound
}

func (s *series) add(v float64) { s.values = append(s.values, v) }

func (s *series) atLeast(bound float64) *series { s.goal = goal{bound, "at least"}; return s }

func (s *series) atMost(bound float64) *series { s.goal = goal{bound, "at most"}; return s }

// name tells the series among all.
func (s *series) name() string {
	if s.table != "" {
		return s.table + ": " + s.what + ", " + s.unit
	}
	return s.what
}

func (s *series) median() float64 {
	if len(s.values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(s.values))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// report collects what was measured: tables with a line a tool, and rows with one series each.
type report struct {
	rows    []*series // cells too, in the order in which they were made
	remarks []string  // printed below
}

// remark adds a line about what the tables do not hold.
func (r *report) remark(format string, args ...any) {
	r.remarks = append(r.remarks, fmt.Sprintf(format, args...))
}

func (r *report) row(what, unit string) *series {
	s := &series{what: what, unit: unit}
	r.rows = append(r.rows, s)
	return s
}

// cell is where a line and a column of a table meet. The column holds its unit: "CPU, s".
func (r *report) cell(table, line, column string) *series {
	for _, s := range r.rows {
		if s.table == table && s.what == line && s.unit == column {
			return s
		}
	}
	s := r.row(line, column)
	s.table = table
	return s
}

// ratio adds a row with the quotients of two series: run by run, as they were interleaved; of the medians if some runs failed. The note
// "goal 2.2" is judged, as at least 2.2.
func (r *report) ratio(what string, of, to *series, note string) *series {
	s := r.row(what, "x")
	for i := range of.values {
		if len(of.values) == len(to.values) && to.values[i] > 0 {
			s.add(of.values[i] / to.values[i])
		}
	}
	if len(s.values) == 0 && to.median() > 0 && len(of.values) > 0 {
		s.add(of.median() / to.median())
	}
	var bound float64
	if n, _ := fmt.Sscanf(note, "goal %g", &bound); n == 1 {
		return s.atLeast(bound)
	}
	s.note = note
	return s
}

// usageCells are the columns that every table of tools has.
type usageCells struct{ cpu, peak, anon, wire *series }

func (r *report) usage(table, line string) usageCells {
	return usageCells{
		cpu:  r.cell(table, line, "CPU, s"),
		peak: r.cell(table, line, "memory, MiB"),
		anon: r.cell(table, line, "without cache, MiB"),
		wire: r.cell(table, line, "wire, MB"),
	}
}

func (c usageCells) add(u usage) {
	c.cpu.add(u.cpu)
	c.peak.add(float64(u.peak) / (1 << 20))
	c.anon.add(float64(u.anon) / (1 << 20))
	if u.wire >= 0 {
		c.wire.add(float64(u.wire) / 1e6)
	}
}
