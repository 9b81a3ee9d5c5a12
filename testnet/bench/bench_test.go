package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"shoal/testnet"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == streamVerb { // the other end of a bare stream is this binary too
		exit(runStreamEnd(os.Args[2:]))
	}
	os.Exit(testnet.Main(m))
}

// TestPrints is one small run in each form: that everything is measured, not how fast it is.
func TestPrints(t *testing.T) {
	bin := os.Getenv(testnet.BinaryEnv)
	for _, row := range []struct{ flag, want string }{
		{"-runs=1", "memory: serving 8 and fetching 8 shares of 1 MiB at once"},
		{"-markdown", "| shoal |"},
		{"-json", `"table": "memory: serving 8 and fetching 8 shares of 1 MiB at once"`},
	} {
		var out bytes.Buffer
		args := []string{row.flag, "-bin", bin, "-dir", t.TempDir(), "-size", "1048576", "-only", "memory"}
		if err := run(t.Context(), args, false, &out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), row.want) {
			t.Errorf("%s: no %q in\n%s", row.flag, row.want, &out)
		}
	}
}

func TestRefusesSettings(t *testing.T) {
	for _, args := range [][]string{{"-only", "none-such"}, {"-runs", "0"}, {"-crowd", "1"}, {"-size", "5"}} {
		if _, _, err := parse(args); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}

func sample() *report {
	r := &report{}
	fast, slow := r.cell("race", "shoal", "time, s").atMost(2), r.cell("race", "other", "time, s")
	for _, v := range []float64{3, 1, 2} {
		fast.add(v)
		slow.add(100 * v)
	}
	r.cell("race", "other", "never measured")
	r.cell("race", "other", "CPU, s").add(0.5)
	r.ratio("other / shoal", slow, fast, "goal 200")
	r.row("missing", "s").atLeast(1)
	r.remark("skipped %s", "a tool")
	return r
}

func TestText(t *testing.T) {
	var out bytes.Buffer
	if err := sample().text(&out); err != nil {
		t.Fatal(err)
	}
	want := `race
       time, s        CPU, s
shoal  2.00 (1.00-3.00)  -
other  200 (100-300)  0.50

what           median  min  max  runs  unit  note
other / shoal  100     100  100  3     x     goal at least 200

skipped a tool
goal: race: shoal, time, s: at most 2: met with 2.00
goal: other / shoal: at least 200: missed with 100
goal: missing: at least 1: not measured
`
	squeeze := func(s string) string { // the columns' widths are tabwriter's business
		for strings.Contains(s, "  ") {
			s = strings.ReplaceAll(s, "  ", " ")
		}
		return strings.ReplaceAll(s, "\n ", "\n")
	}
	if squeeze(out.String()) != squeeze(want) {
		t.Errorf("%s\nwant\n%s", &out, want)
	}
}

func TestMarkdown(t *testing.T) {
	var out bytes.Buffer
	if err := sample().markdown(&out); err != nil {
		t.Fatal(err)
	}
	want := "race:\n\n|  | time, s | CPU, s |\n| --- | --- | --- |\n| shoal | 2.00 (1.00-3.00) | - |\n| other | 200 (100-300) | 0.50 |\n\n"
	if !strings.HasPrefix(out.String(), want) {
		t.Errorf("%s\nwant at first\n%s", &out, want)
	}
}

func TestRatio(t *testing.T) {
	of, to := &series{values: []float64{2, 40, 6}}, &series{values: []float64{1, 10, 3}}
	r := &report{}
	if s := r.ratio("paired", of, to, ""); len(s.values) != 3 || s.median() != 2 {
		t.Errorf("paired: %v", s.values)
	}
	to.values = to.values[:2]
	if s := r.ratio("a run failed", of, to, ""); len(s.values) != 1 || s.median() != 6/5.5 {
		t.Errorf("of medians: %v", s.values)
	}
	if s := r.ratio("nothing to compare with", of, &series{}, "goal 1"); len(s.values) != 0 || s.goal.word != "at least" {
		t.Errorf("nothing: %v", s)
	}
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	if err := sample().json(&out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Rows    []jsonRow
		Remarks []string
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Rows) != 4 || got.Rows[0].Median != 2 || got.Rows[0].Met == nil || !*got.Rows[0].Met || len(got.Remarks) != 1 {
		t.Errorf("%s", &out)
	}
}

func TestFluidLimit(t *testing.T) {
	for _, row := range []struct {
		name     string
		up, down []int64
		want     float64
	}{
		{"the seeder's link", []int64{8, 8, 8}, []int64{8, 8, 8}, 100},
		{"the slowest fetcher", []int64{8, 8, 2}, []int64{8, 8, 2}, 400},
		{"a fast seeder", []int64{80, 8, 8}, []int64{80, 8, 8}, 100},
		{"all uploads together", []int64{10, 1, 1, 1, 1}, []int64{10, 80, 80, 80, 80}, 4 * 800. / 14},
		{"the seeder's own download", []int64{8, 8}, []int64{1, 8}, 100},
	} {
		if got := fluidLimit(100, row.up, row.down); math.Abs(got-row.want) > 1e-9 {
			t.Errorf("%s: %g, want %g", row.name, got, row.want)
		}
	}
}

func TestRates(t *testing.T) {
	b := &bench{rate: 50}
	got := b.rates(4, 2)
	if len(got) != 5 || got[0] != 50e6 || got[2] != 50e6 || got[3] != 12.5e6 || got[4] != 12.5e6 {
		t.Error(got)
	}
}
