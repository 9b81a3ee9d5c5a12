package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// series is one measured quantity over several runs.
type series struct {
	what, unit string
	values     []float64
	note       string
}

func (s *series) add(v float64) { s.values = append(s.values, v) }

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

// report collects the rows of the table.
type report struct {
	rows    []*series
	remarks []string // printed below
}

// remark adds a line about what the table does not hold.
func (r *report) remark(format string, args ...any) {
	r.remarks = append(r.remarks, fmt.Sprintf(format, args...))
}

func (r *report) row(what, unit string) *series {
	s := &series{what: what, unit: unit}
	r.rows = append(r.rows, s)
	return s
}

// ratio adds a row that is the quotient of two medians.
func (r *report) ratio(what string, of, to *series, goal string) {
	s := r.row(what, "x")
	if to.median() > 0 {
		s.add(of.median() / to.median())
	}
	s.note = goal
}

func (r *report) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if slices.ContainsFunc(r.rows, func(s *series) bool { return len(s.values) > 0 }) {
		fmt.Fprintln(t, "what\tmedian\tmin\tmax\truns\tunit\tnote")
	}
	for _, s := range r.rows {
		if len(s.values) == 0 {
			continue
		}
		digits := 0
		if s.median() < 100 {
			digits = 2
		}
		fmt.Fprintf(t, "%s\t%.*f\t%.*f\t%.*f\t%d\t%s\t%s\n", s.what, digits, s.median(),
			digits, slices.Min(s.values), digits, slices.Max(s.values), len(s.values), s.unit, s.note)
	}
	t.Flush()
	for _, line := range r.remarks {
		fmt.Fprintln(w, line)
	}
}
