// Command bench measures tollgate's Check service against the floor: a
// do-nothing authorization server on grpc-go (test/bench/floor), built from the
// same tree. One loader drives both over loopback, in rounds that take turns,
// and looks at every answer. It owns the load and the report; the benchmarks of
// single functions belong to the packages, and are only run from here.
//
// CPU time per call is the figure: how long a call takes depends on what else
// the machine does, how much it costs much less so. Even that drifts by a fifth
// from minute to minute, so only ratios within one run count.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// now is the clock of the whole program.
var now = time.Now

// leastRequests is few, but enough for every part of a round to have some.
const leastRequests = 1000

// wholeLimit bounds everything together.
const wholeLimit = 6 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parseOptions(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "bench: error: %v\n", err)
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, wholeLimit, fmt.Errorf("not done within %s", wholeLimit))
	defer cancel()
	if err := run(ctx, o); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
		_, _ = fmt.Fprintf(os.Stderr, "bench: error: %v\n", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	rounds   int
	requests int
	only     []string // scenarios; all of them when empty
	output   string   // where the page goes, relative to the module; "" for nowhere
	args     []string
}

// The scenarios, in the order they run.
const (
	decision = "decision" // 32 calls in flight
	single   = "single"   // one
	growth   = "growth"   // many live tokens
	starting = "start"    // time to ready, memory at rest
	micros   = "micro"    // the packages' own benchmarks
)

var scenarios = []string{decision, single, growth, starting, micros}

func parseOptions(args []string) (options, error) {
	o := options{args: args}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 5, "measured rounds of each server in a scenario")
	flags.IntVar(&o.requests, "requests", 200_000, "calls in a round; a fifth of them with one in flight")
	only := flags.String("only", "", "run these scenarios alone, separated by commas: "+strings.Join(scenarios, ", "))
	flags.StringVar(&o.output, "o", "docs/benchmarks.md", "page to write, relative to the module; empty: none. With -only none is written unless this is given")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	named := false
	flags.Visit(func(f *flag.Flag) { named = named || f.Name == "o" })
	if *only != "" {
		o.only = strings.Split(*only, ",")
		if !named {
			o.output = ""
		}
	}
	for _, s := range o.only {
		if !slices.Contains(scenarios, s) {
			return o, fmt.Errorf("-only: there is no scenario %q; there are %s", s, strings.Join(scenarios, ", "))
		}
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("%q is no flag", flags.Arg(0))
	case o.rounds < 1:
		return o, fmt.Errorf("-rounds %d: at least 1 is needed", o.rounds)
	case o.requests < leastRequests:
		return o, fmt.Errorf("-requests %d: at least %d are needed", o.requests, leastRequests)
	}
	return o, nil
}

func (o *options) wants(scenario string) bool {
	return len(o.only) == 0 || slices.Contains(o.only, scenario)
}

// run builds, measures and reports.
func run(ctx context.Context, o options) error {
	began := now()
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tollgate-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := &bench{options: o, root: root, dir: dir, report: report{options: o, began: began, tree: describeTree(ctx, root)}}
	if err := b.build(ctx); err != nil {
		return err
	}
	err = b.measure(ctx)
	b.report.took = now().Sub(began)
	fmt.Print("\n", b.report.summary()) // what was measured before a failure is good, but makes no page
	if err != nil || o.output == "" {
		return err
	}
	page := filepath.Join(root, o.output)
	if filepath.IsAbs(o.output) {
		page = o.output
	}
	if err := os.WriteFile(page, []byte(b.report.page()), 0o644); err != nil {
		return err
	}
	fmt.Printf("\nwritten to %s\n", page)
	return nil
}

// moduleRoot is the folder of go.mod, wherever in the module we were called.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if filepath.Base(file) != "go.mod" {
		return "", errors.New("run this inside the module")
	}
	return filepath.Dir(file), nil
}

// describeTree names the commit, as the Makefile does for the binary.
func describeTree(ctx context.Context, root string) string {
	cmd := exec.CommandContext(ctx, "git", "describe", "--tags", "--always", "--dirty")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil { // an archive without its history is as good to measure
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
