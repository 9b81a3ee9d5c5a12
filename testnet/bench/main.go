package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// bench is what the cases share.
type bench struct {
	dir    string // scratch, removed at the end
	bin    string // the shoal binary
	size   int64  // bytes of the large file
	runs   int
	peers  int // daemons in the start-latency case
	tree   string
	crowd  int     // fetchers in the crowd cases
	rate   float64 // Mbit/s of each party in them, both ways
	report report
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
	{"churn", "the same, and the seeder is killed once it can have sent everything", benchChurn},
	{"version", "version 2 of one large file where version 1 is shared: bytes on the wire", benchVersion},
	{"sparse", "share and fetch a 1 TiB sparse file, and a file beside it", benchSparse},
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == streamVerb {
		exit(runStreamEnd(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, os.Args[1:]))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(ctx context.Context, args []string) error {
	b := &bench{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", "", "comma-separated cases to run: "+caseNames())
	dir := flags.String("dir", "", "where the data lies (default: a RAM disk if there is one)")
	flags.StringVar(&b.bin, "bin", "", "shoal binary (default: built from this tree)")
	flags.Int64Var(&b.size, "size", 1<<30, "bytes of the large file")
	flags.IntVar(&b.runs, "runs", 5, "runs of each, interleaved")
	flags.IntVar(&b.peers, "peers", 20, "daemons in the start case")
	flags.StringVar(&b.tree, "tree", goSource(), "tree of many files")
	flags.IntVar(&b.crowd, "crowd", 8, "fetchers in the crowd cases")
	flags.Float64Var(&b.rate, "rate", 50, "Mbit/s of each party in the crowd cases, both ways")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wanted := strings.FieldsFunc(*only, func(r rune) bool { return r == ',' })
	for _, w := range wanted {
		if !strings.Contains(" "+caseNames()+" ", " "+w+" ") {
			return fmt.Errorf("no case %q; there are: %s", w, caseNames())
		}
	}
	if err := b.prepare(*dir); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	defer b.report.print(os.Stdout) // also what there is when a case fails
	for _, c := range cases {
		if len(wanted) > 0 && !slices.Contains(wanted, c.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s: %s\n", c.name, c.what)
		if err := c.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func caseNames() string {
	var names []string
	for _, c := range cases {
		names = append(names, c.name)
	}
	return strings.Join(names, " ")
}
