package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// report is everything that was measured; what was not run is left zero.
type report struct {
	options
	began           time.Time
	took            time.Duration
	tree            string // git describe
	floor, tollgate built
	messageBytes    int

	decision, single duel
	growth           []crowding
	starts           []time.Duration
	restKiB          int64
	micros           []micro
}

// crowding is what many live tokens did to a tollgate.
type crowding struct {
	duel        // few tokens against many
	memory      string
	first       round   // as many tokens as calls, none seen before
	missed      float64 // share of the later calls whose token was verified anew
	residentKiB int64
}

// setting names limits.max_memory.
func (c *crowding) setting() string {
	if c.memory == "" {
		return "default memory"
	}
	return "max_memory " + c.memory
}

// built is what the linker wrote into a binary.
type built struct {
	goVersion, grpc string
	size            int64
}

func describe(file string) (built, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return built{}, fmt.Errorf("read the build information of %s: %w", file, err)
	}
	stat, err := os.Stat(file)
	if err != nil {
		return built{}, err
	}
	b := built{goVersion: info.GoVersion, grpc: "no grpc-go", size: stat.Size()}
	for _, dep := range info.Deps {
		if dep.Path == "google.golang.org/grpc" {
			b.grpc = dep.Version
		}
	}
	return b, nil
}

// verdict is one goal and what was seen.
type verdict struct {
	what, goal, seen string
	met              bool
}

// The goals. Those of a call are shares of the floor's CPU time.
const (
	decisionGoal = 0.65
	singleGoal   = 0.45
	growthGoal   = 2.0
	matchGoal    = 1000 // ns
	startGoal    = 300 * time.Millisecond
	restGoal     = 40 // MiB
)

func (r *report) verdicts() (list []verdict) {
	share := func(d duel, what string, goal float64) {
		if len(d.base) > 0 {
			seen := d.ratio()
			list = append(list, verdict{what, fmt.Sprintf("≤ %.2f", goal), seen.String(), seen.median <= goal})
		}
	}
	share(r.decision, fmt.Sprintf("whole decision, %d in flight: CPU of a call, of the floor's", flight), decisionGoal)
	share(r.single, "whole decision, one in flight: CPU of a call, of the floor's", singleGoal)
	for _, c := range r.growth {
		share(c.duel, fmt.Sprintf("%d live tokens, %s: CPU of a call, of that with %d", manyTokens, c.setting(), fewTokens), growthGoal)
	}
	var slowest float64
	var allocs int64
	for _, m := range r.micros {
		switch {
		case m.name == "GateCheckWarm":
			list = append(list, verdict{"Gate.Check, token seen before: allocations", "0", fmt.Sprint(m.allocs), m.allocs == 0})
		case strings.HasPrefix(m.name, "Match/"):
			slowest, allocs = max(slowest, m.ns), max(allocs, m.allocs)
		}
	}
	if slowest > 0 {
		list = append(list, verdict{
			"match among 10,000 routes, the slowest case", "≤ 1000 ns, 0 allocations",
			fmt.Sprintf("%.0f ns, %d", slowest, allocs), slowest <= matchGoal && allocs == 0,
		})
	}
	if len(r.starts) > 0 {
		took, mib := median(r.starts), float64(r.restKiB)/1024
		list = append(list,
			verdict{"start to ready, on a store that exists", "< 300 ms", fmt.Sprintf("%d ms", took.Milliseconds()), took < startGoal},
			verdict{fmt.Sprintf("resident memory %s after the start, idle", restPause), "< 40 MiB", fmt.Sprintf("%.1f MiB", mib), mib < restGoal})
	}
	return list
}

// summary is what the terminal shows.
func (r *report) summary() string {
	var b strings.Builder
	if len(r.verdicts()) == 0 {
		return "Nothing was measured.\n"
	}
	goals := table{{"", "goal", "seen", ""}}
	var missed []string
	for _, v := range r.verdicts() {
		word := "met"
		if !v.met {
			word = "missed"
			missed = append(missed, v.what)
		}
		goals = append(goals, []string{v.what, v.goal, v.seen, word})
	}
	b.WriteString(goals.String())
	b.WriteString("\nA ratio is the median of the pairs of rounds, with the least and the greatest in brackets.\n")
	if len(missed) > 0 {
		fmt.Fprintf(&b, "\nMissed: %s.\n", strings.Join(missed, "; "))
	}
	if calls := r.calls(); len(calls) > 1 {
		fmt.Fprintf(&b, "\n%s", calls)
	}
	return b.String()
}

// calls is the table of medians.
func (r *report) calls() table {
	t := table{{"scenario", "server", "CPU of a call, µs", "calls a second", "p50, µs", "p99, µs", "busy"}}
	for _, s := range r.sides() {
		if len(s.rounds) == 0 {
			continue
		}
		t = append(t, []string{
			s.scenario, s.server,
			asMicros(medianOf(s.rounds, round.perCall)), fmt.Sprintf("%.0f", medianOf(s.rounds, round.rate)),
			asMicros(medianOf(s.rounds, func(r round) time.Duration { return r.p50 })),
			asMicros(medianOf(s.rounds, func(r round) time.Duration { return r.p99 })),
			fmt.Sprintf("%.2f", medianOf(s.rounds, round.busy)),
		})
	}
	return t
}

// side is one server's rounds in one scenario.
type side struct {
	scenario, server string
	rounds           []round
}

func (r *report) sides() []side {
	list := []side{
		{fmt.Sprintf("%d in flight", flight), "floor", r.decision.base},
		{fmt.Sprintf("%d in flight", flight), "tollgate", r.decision.other},
		{"one in flight", "floor", r.single.base},
		{"one in flight", "tollgate", r.single.other},
	}
	for _, c := range r.growth {
		list = append(list,
			side{fmt.Sprintf("%d tokens, beside the next", fewTokens), "tollgate", c.base},
			side{fmt.Sprintf("%d tokens, %s", manyTokens, c.setting()), "tollgate", c.other},
			side{fmt.Sprintf("first sight of %d tokens, %s", manyTokens, c.setting()), "tollgate", []round{c.first}})
	}
	return list
}

// page is docs/benchmarks.md.
func (r *report) page() string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	say("# Benchmarks\n\nWritten by `make bench`; a change by hand is lost with the next run.\n\n")
	say("tollgate's Check service beside the *floor*: the authorization server that decides nothing, on grpc-go with its\n" +
		"default options and on go-control-plane's types, which allows everything with one header (`test/bench/floor`).\n" +
		"tollgate is the whole program: path, token, expiry, revocation, source, scope, burst and per-minute limit of a\n" +
		"token seen before, and an answer with identity headers, RateLimit headers and metadata.\n\n")
	say("## Goals\n\n%s\n", r.summary())
	say("*CPU of a call* is user and system time of the server's process over the calls of a round; medians of the rounds.\n" +
		"p50 and p99 are the loader's view. *busy* is the share of the round in which the server had a core: near 1, it was\n" +
		"the server that set the pace. CPU time drifts between runs by a fifth or so, and more on a shared machine: compare\n" +
		"within a run only.\n\n")
	r.writeNotes(say)
	if len(r.micros) > 0 {
		say("## Functions alone\n\n`go test -bench`, medians of 3 runs, all cores.\n\n%s\n", r.microTable())
	}
	say("## How\n\n%s\n", r.setting())
	say("The loader is written on HTTP/2 frames: a connection a round, requests as Envoy sends them (%d bytes, recorded and filled up\n"+
		"with an application's headers). Every answer is looked at: gRPC status, ok_response, and the client's name in\n"+
		"`x-tollgate-client`; one in %d is decoded and compared in full. A wrong one ends the benchmark. Rounds take turns,\n"+
		"after shorter ones that are not counted.\n\n", r.messageBytes, sampleEvery)
	say("## Raw rounds\n\n%s", r.raw())
	return b.String()
}

func (r *report) writeNotes(say func(string, ...any)) {
	for _, c := range r.growth {
		say("%d live tokens, %s: %.0f %% of the calls had to verify their token anew; %.0f MiB resident at the end.\n\n",
			manyTokens, c.setting(), 100*c.missed, float64(c.residentKiB)/1024)
	}
	if len(r.starts) > 0 {
		var list []string
		for _, d := range r.starts {
			list = append(list, fmt.Sprint(d.Milliseconds()))
		}
		say("Starts took %s ms. The binary has %.1f MiB.\n\n", strings.Join(list, ", "), float64(r.tollgate.size)/(1<<20))
	}
}

func (r *report) microTable() table {
	t := table{{"package", "benchmark", "ns", "bytes", "allocations"}}
	for _, m := range r.micros {
		t = append(t, []string{m.pkg, m.name, fmt.Sprintf("%.0f", m.ns), fmt.Sprint(m.bytes), fmt.Sprint(m.allocs)})
	}
	return t
}

func (r *report) setting() table {
	command := strings.Join(append([]string{"go run ./test/bench"}, r.args...), " ")
	model, kernel := machine()
	return table{
		{"", ""},
		{"date", r.began.UTC().Format(time.DateOnly)},
		{"command", "`" + command + "`"},
		{"took", r.took.Round(time.Second).String()},
		{"machine", fmt.Sprintf("%s, %d cores", model, runtime.NumCPU())},
		{"system", fmt.Sprintf("%s/%s, kernel %s", runtime.GOOS, runtime.GOARCH, kernel)},
		{"Go, grpc-go of tollgate", r.tollgate.goVersion + ", " + r.tollgate.grpc},
		{"Go, grpc-go of the floor", r.floor.goVersion + ", " + r.floor.grpc},
		{"tree", r.tree},
		{"cores", division()},
		{"binaries", "`CGO_ENABLED=0 go build -trimpath -ldflags '-s -w'`"},
	}
}

func (r *report) raw() table {
	t := table{{"scenario", "server", "round", "calls", "CPU, ms", "wall, ms", "CPU of a call, µs", "p50, µs", "p99, µs"}}
	for _, s := range r.sides() {
		for i, each := range s.rounds {
			t = append(t, []string{
				s.scenario, s.server, fmt.Sprint(i + 1), fmt.Sprint(each.calls), fmt.Sprint(each.cpu.Milliseconds()),
				fmt.Sprint(each.wall.Milliseconds()), asMicros(each.perCall()), asMicros(each.p50), asMicros(each.p99),
			})
		}
	}
	return t
}

// division says who runs where.
func division() string {
	if machineCores.apart {
		return "servers bound to one, with GOMAXPROCS=1; the loader bound to another"
	}
	return "servers with GOMAXPROCS=1; servers and loader share what there is"
}

// machine names processor and kernel, as far as the system tells.
func machine() (model, kernel string) {
	model, kernel = "unknown processor", "unknown"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = strings.TrimSpace(string(release))
	}
	return model, kernel
}
