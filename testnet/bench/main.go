package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"shoal/testnet"
)

// bench is what the cases share.
type bench struct {
	dir      string // scratch, removed at the end
	disk     bool   // dir was named, so that it takes what is too large for a RAM disk
	bin      string // the shoal binary
	size     int64  // bytes of the large file
	runs     int
	peers    int // daemons in the cases start, idle and provide; 0: 20, in provide 50
	roots    int // shared by one daemon in the cases provide and ready
	tree     string
	tools    []string      // names of those to run; none: all
	crowd    int           // fetchers in the crowd cases
	rate     float64       // Mbit/s of each party in them, both ways
	idle     time.Duration // how long the idle case watches
	isolated bool          // this process has a network of its own
	cc       string        // congestion control of TCP in the networks that are made here; "": the machine's own
	report   report
}

// cases in the order they run.
var cases = []struct {
	name, what string
	run        func(context.Context, *bench) error
}{
	{"share", "index one large file in place, beside boxo's importer", benchShare},
	{"fetch", "fetch one large file from one daemon, beside a bare libp2p stream that hashes", benchFetch},
	{"tree", "share and fetch a tree of many files", benchTree},
	{"start", "time from get to the first chunk in a testnet", benchStart},
	{"cat", "time to the first byte of a large file, and all of it in order", benchCat},
	{"limit", "rates under each kind of limit, over 10 s", benchLimit},
	{"rivals", "one large file between two processes, beside other tools", benchRivals},
	{"small", "10,000 files of 4 KiB, beside other tools", benchSmall},
	{"crowd", "one seeder and many fetchers at once behind slow links, beside other swarms", benchCrowd},
	{"churn", "the same, and the seeder is killed once it has sent everything", benchChurn},
	{"slow", "one fetcher, seven fast peers that have a part each, with and without one slow seed", benchSlow},
	{"latency", "one file over long ways, beside other tools", benchLatency},
	{"idle", "many daemons that have nothing to do", benchIdle},
	{"provide", "announce many roots from one daemon to a testnet, and restart it", benchProvide},
	{"ready", "time from the start of a daemon to its first answer, with many shares too", benchReady},
	{"shares", "verify, ls, rm and start with 1,000 and with 10,000 shares", benchShares},
	{"memory", "a daemon that serves 8 large files and fetches 8 others at once", benchMemory},
	{"version", "version 2 of one large file where version 1 is shared: bytes on the wire", benchVersion},
	{"sparse", "share and fetch a 1 TiB sparse file, and a file beside it", benchSparse},
}

// errSaid is a failure that was printed already.
var errSaid = errors.New("failed")

func main() {
	if len(os.Args) > 2 && os.Args[1] == streamVerb {
		exit(runStreamEnd(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(start(ctx, os.Args[1:]))
}

func exit(err error) {
	if err != nil {
		if err != errSaid {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
	os.Exit(0)
}

// start runs the benchmark in a network of its own if it can, else in the machine's.
func start(ctx context.Context, args []string) error {
	there, err := isolated()
	if err != nil {
		return err
	}
	if there {
		return run(ctx, args, true, os.Stdout)
	}
	b, _, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if b.bin == "" { // while there is a network, for modules
		dir, err := os.MkdirTemp("", "shoal-bench-bin-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if b.bin, err = testnet.Build(dir); err != nil {
			return err
		}
		args = append(slices.Clone(args), "-bin", b.bin)
	}
	if noNamespaces() == "" {
		undo, err := allowCongestion(b.cc)
		if err != nil {
			return err
		}
		defer undo()
	}
	if done, err := isolate(ctx, args); done || err != nil {
		return err
	}
	return run(ctx, args, false, os.Stdout)
}

// settings are the flags that are not fields of bench.
type settings struct {
	only   []string
	dir    string
	format string
}

func parse(args []string) (*bench, settings, error) {
	b, s := &bench{}, settings{format: "text"}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", "", "comma-separated cases to run: "+caseNames())
	flags.StringVar(&s.dir, "dir", "", "where the data lies (default: a RAM disk if there is one)")
	flags.StringVar(&b.bin, "bin", "", "shoal binary (default: built from this tree)")
	flags.Int64Var(&b.size, "size", 1<<30, "bytes of the large file")
	flags.IntVar(&b.runs, "runs", 5, "runs of each, interleaved")
	flags.IntVar(&b.peers, "peers", 0, "daemons in the cases start, idle and provide (default: 20, in provide 50)")
	flags.IntVar(&b.roots, "roots", 100_000, "shares of one daemon in the cases provide and ready")
	flags.StringVar(&b.tree, "tree", goSource(), "tree of many files")
	flags.IntVar(&b.crowd, "crowd", 8, "fetchers in the crowd cases, 2 or more")
	flags.Float64Var(&b.rate, "rate", 50, "Mbit/s of each party in the crowd cases, both ways")
	flags.DurationVar(&b.idle, "idle", time.Minute, "how long the idle case watches")
	flags.StringVar(&b.cc, "cc", "cubic", "congestion control of TCP, where a network of its own can be made; '' is the machine's own")
	tools := flags.String("tools", "", "comma-separated tools to run, of those that a case has (default: all)")
	markdown := flags.Bool("markdown", false, "print Markdown tables")
	json := flags.Bool("json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		return nil, s, err
	}
	if *markdown {
		s.format = "markdown"
	}
	if *json {
		s.format = "json"
	}
	comma := func(r rune) bool { return r == ',' }
	s.only, b.tools = strings.FieldsFunc(*only, comma), strings.FieldsFunc(*tools, comma)
	for _, w := range s.only {
		if !slices.Contains(strings.Fields(caseNames()), w) {
			return nil, s, fmt.Errorf("no case %q; there are: %s", w, caseNames())
		}
	}
	if b.crowd < 2 || b.runs < 1 || b.peers == 1 || b.peers < 0 || b.roots < 1 || b.size < 1<<20 {
		return nil, s, errors.New("-crowd and -peers are 2 or more, -runs and -roots 1, -size 1 MiB")
	}
	return b, s, nil
}

// run measures and prints the report, also what there is of it when a case fails.
func run(ctx context.Context, args []string, isolated bool, out io.Writer) (err error) {
	b, s, err := parse(args)
	if err != nil {
		return err
	}
	b.isolated = isolated
	if isolated {
		if err := setCongestion("", b.cc); err != nil {
			return err
		}
	}
	b.report.remark("measured on %d cores of %s, %s, TCP with %s", runtime.NumCPU(), machine(), runtime.Version(), congestion())
	if err := b.prepare(s.dir); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	defer func() { err = errors.Join(err, printers[s.format](&b.report, out)) }()
	for _, c := range cases {
		if len(s.only) > 0 && !slices.Contains(s.only, c.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s: %s\n", c.name, c.what)
		if err := c.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// daemons is how many a case starts that has these many by default.
func (b *bench) daemons(usual int) int {
	if b.peers > 0 {
		return b.peers
	}
	return usual
}

// ran tells whoever waits how one run went, and puts a failure below the tables. It says whether there was one.
func (b *bench) ran(table, what string, seconds float64, err error) (failed bool) {
	if err != nil {
		b.report.remark("%s: %s failed: %v", table, what, err)
	}
	end := ""
	if err != nil {
		end = ", failed"
	}
	fmt.Fprintf(os.Stderr, "bench: %s: %s: %.2f s%s\n", table, what, seconds, end)
	return err != nil
}

func caseNames() string {
	var names []string
	for _, c := range cases {
		names = append(names, c.name)
	}
	return strings.Join(names, " ")
}
