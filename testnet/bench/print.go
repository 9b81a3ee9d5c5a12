package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// printers are the forms that a report can take.
var printers = map[string]func(*report, io.Writer) error{
	"text": (*report).text, "markdown": (*report).markdown, "json": (*report).json,
}

// grid is a table as rows of text, its head first.
type grid struct {
	title string
	rows  [][]string
}

// grids are the tables in their order; the last one, without a title, holds the rows that belong to none.
func (r *report) grids() []grid {
	var out []grid
	rest := grid{rows: [][]string{{"what", "median", "min", "max", "runs", "unit", "note"}}}
	for _, s := range r.rows {
		if len(s.values) == 0 {
			continue
		}
		if s.table == "" {
			rest.rows = append(rest.rows, []string{s.what, number(s.median()), number(slices.Min(s.values)), number(slices.Max(s.values)),
				fmt.Sprint(len(s.values)), s.unit, s.notes()})
		} else if !slices.ContainsFunc(out, func(g grid) bool { return g.title == s.table }) {
			out = append(out, r.table(s.table))
		}
	}
	if len(rest.rows) > 1 {
		out = append(out, rest)
	}
	return out
}

// table lays the cells of a table out: lines and columns in the order of their first cell. A column of which nobody has anything is left out.
func (r *report) table(title string) grid {
	var lines, columns []string
	for _, s := range r.rows {
		if s.table != title {
			continue
		}
		if !slices.Contains(lines, s.what) {
			lines = append(lines, s.what)
		}
		if len(s.values) > 0 && !slices.Contains(columns, s.unit) {
			columns = append(columns, s.unit)
		}
	}
	g := grid{title: title, rows: [][]string{append([]string{""}, columns...)}}
	for _, line := range lines {
		row := []string{line}
		for _, column := range columns {
			row = append(row, r.cell(title, line, column).text())
		}
		g.rows = append(g.rows, row)
	}
	return g
}

// text is a cell: the median, and the range where there were several runs.
func (s *series) text() string {
	switch len(s.values) {
	case 0:
		return "-"
	case 1:
		return number(s.median())
	}
	return fmt.Sprintf("%s (%s-%s)", number(s.median()), number(slices.Min(s.values)), number(slices.Max(s.values)))
}

func (s *series) notes() string {
	notes := []string{s.note}
	if s.goal.word != "" {
		notes = append(notes, "goal "+s.goal.String())
	}
	return strings.Join(slices.DeleteFunc(notes, func(n string) bool { return n == "" }), "; ")
}

// number has three digits or more.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// verdicts is a line for each goal.
func (r *report) verdicts() (lines []string) {
	for _, s := range r.rows {
		if s.goal.word == "" {
			continue
		}
		verdict := "not measured"
		if len(s.values) > 0 {
			verdict = "missed"
			if s.goal.met(s.median()) {
				verdict = "met"
			}
			verdict = fmt.Sprintf("%s with %s", verdict, number(s.median()))
		}
		lines = append(lines, fmt.Sprintf("goal: %s: %s: %s", s.name(), s.goal, verdict))
	}
	return lines
}

func (r *report) text(w io.Writer) error {
	for _, g := range r.grids() {
		if g.title != "" {
			fmt.Fprintln(w, g.title)
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, row := range g.rows {
			fmt.Fprintln(t, strings.Join(row, "\t"))
		}
		t.Flush()
		fmt.Fprintln(w)
	}
	for _, line := range append(slices.Clone(r.remarks), r.verdicts()...) {
		fmt.Fprintln(w, line)
	}
	return nil
}

func (r *report) markdown(w io.Writer) error {
	for _, g := range r.grids() {
		if g.title != "" {
			fmt.Fprintf(w, "%s:\n\n", g.title)
		}
		for i, row := range g.rows {
			fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
			if i == 0 {
				fmt.Fprintf(w, "|%s\n", strings.Repeat(" --- |", len(row)))
			}
		}
		fmt.Fprintln(w)
	}
	for _, line := range append(slices.Clone(r.remarks), r.verdicts()...) {
		fmt.Fprintf(w, "- %s\n", line)
	}
	return nil
}

// jsonRow is a series as -json prints it.
type jsonRow struct {
	Table  string    `json:"table,omitempty"`
	What   string    `json:"what"` // of a cell: the line
	Unit   string    `json:"unit"` // of a cell: the column, unit included
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Values []float64 `json:"values"`
	Note   string    `json:"note,omitempty"`
	Goal   string    `json:"goal,omitempty"`
	Met    *bool     `json:"met,omitempty"`
}

func (r *report) json(w io.Writer) error {
	out := struct {
		Rows    []jsonRow `json:"rows"`
		Remarks []string  `json:"remarks"`
	}{Rows: []jsonRow{}, Remarks: append([]string{}, r.remarks...)}
	for _, s := range r.rows {
		if len(s.values) == 0 {
			continue
		}
		row := jsonRow{Table: s.table, What: s.what, Unit: s.unit, Median: s.median(),
			Min: slices.Min(s.values), Max: slices.Max(s.values), Values: s.values, Note: s.note}
		if s.goal.word != "" {
			met := s.goal.met(s.median())
			row.Goal, row.Met = s.goal.String(), &met
		}
		out.Rows = append(out.Rows, row)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(out)
}
