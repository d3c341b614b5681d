package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

const (
	flight = 32 // calls in flight on one connection
	// singleShare of the calls are made with one in flight: they take several times as long.
	singleShare = 5
	fewTokens   = 2_000
	manyTokens  = 200_000
	starts      = 5
	restPause   = 3 * time.Second // before memory at rest is read
)

// bench is one run of the program.
type bench struct {
	options
	root, dir       string
	floor, tollgate string // binaries
	check           *authv3.CheckRequest
	issuer          *issuer
	report          report
}

// build makes both binaries as they are released, and what they are driven with.
func (b *bench) build(ctx context.Context) (err error) {
	for _, p := range []struct {
		binary *string
		pkg    string
	}{{&b.floor, "./test/bench/floor"}, {&b.tollgate, "./cmd/tollgate"}} {
		progress("build %s", p.pkg)
		*p.binary = filepath.Join(b.dir, filepath.Base(p.pkg))
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", *p.binary, p.pkg)
		cmd.Dir, cmd.Env = b.root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", p.pkg, err, out)
		}
	}
	if b.report.floor, err = describe(b.floor); err != nil {
		return err
	}
	if b.report.tollgate, err = describe(b.tollgate); err != nil {
		return err
	}
	if b.check, err = recordedRequest(b.root); err != nil {
		return err
	}
	b.issuer, err = newIssuer()
	return err
}

// measure runs the scenarios that are wanted.
func (b *bench) measure(ctx context.Context) error {
	for _, s := range []struct {
		wanted bool
		run    func(context.Context) error
	}{
		{b.wants(decision) || b.wants(single), b.measureDecision},
		{b.wants(growth), b.measureGrowth},
		{b.wants(starting), b.measureStart},
		{b.wants(micros), b.measureMicros},
	} {
		if !s.wanted {
			continue
		}
		if err := s.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// measureDecision sets tollgate against the floor, with the token of a client
// that was made, and a token that was issued, the way anybody would.
func (b *bench) measureDecision(ctx context.Context) error {
	n, err := install(b.tollgate, filepath.Join(b.dir, decision), b.issuer.keySet, "")
	if err != nil {
		return err
	}
	who, err := n.createClient(ctx)
	if err != nil {
		return err
	}
	p, _, err := n.start(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	token, err := p.token(ctx, who)
	if err != nil {
		return err
	}
	subject, err := b.contender(p.process, p.addresses["check"], who.ID, []string{token})
	if err != nil {
		return err
	}
	floorProcess, address, err := startFloor(ctx, b.floor)
	if err != nil {
		return err
	}
	defer floorProcess.stop()
	floor, err := b.contender(floorProcess, address, "", []string{token})
	if err != nil {
		return err
	}
	for _, s := range []struct {
		name          string
		calls, flight int
		into          *duel
	}{{decision, b.requests, flight, &b.report.decision}, {single, b.requests / singleShare, 1, &b.report.single}} {
		if !b.wants(s.name) {
			continue
		}
		progress("%s: %d rounds of %d calls on either server, %d in flight", s.name, b.rounds, s.calls, s.flight)
		if err := warmUp(s.calls/4, s.flight, floor, subject); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if *s.into, err = contest(ctx, floor, subject, b.rounds, s.calls, s.flight); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// contender makes the load for a server. Without a client it is the floor.
func (b *bench) contender(p *process, address, client string, tokens []string) (*contender, error) {
	c, err := newCalls(b.check, tokens)
	if err != nil {
		return nil, err
	}
	b.report.messageBytes = c.size()
	side := &contender{process: p, address: address, message: c.message, judge: judgeFloor()}
	if client != "" {
		side.judge = judgeTollgate(c, client)
	}
	return side, nil
}

// growthMemory are the settings of limits.max_memory under which many tokens are
// tried: the default, and one that has room for all of them however they weigh.
var growthMemory = []string{"", "1GiB"}

// growthRounds is the most that are measured of it: a server that has no room
// for its tokens takes long.
const growthRounds = 3

// measureGrowth sets a tollgate that sees few tokens against others that see
// many.
func (b *bench) measureGrowth(ctx context.Context) error {
	progress("%s: sign %d tokens", growth, manyTokens)
	tokens, err := b.issuer.sign(manyTokens)
	if err != nil {
		return err
	}
	few, _, err := b.crowd(ctx, tokens[:fewTokens], "")
	if err != nil {
		return err
	}
	defer few.stop()
	if err := warmUp(b.requests/4, flight, few.load); err != nil {
		return fmt.Errorf("%s: %w", growth, err)
	}
	for _, memory := range growthMemory {
		c, err := b.growTo(ctx, few, tokens, memory)
		if err != nil {
			return fmt.Errorf("%s: %w", growth, err)
		}
		b.report.growth = append(b.report.growth, c)
	}
	return nil
}

// crowdedServer is a tollgate and the load of many tokens on it.
type crowdedServer struct {
	*server
	load *contender
}

// crowd starts a tollgate and shows it every token once. It returns that round.
func (b *bench) crowd(ctx context.Context, tokens []string, memory string) (*crowdedServer, round, error) {
	n, err := install(b.tollgate, filepath.Join(b.dir, fmt.Sprint(growth, len(tokens), memory)), b.issuer.keySet, memory)
	if err != nil {
		return nil, round{}, err
	}
	p, _, err := n.start(ctx)
	if err != nil {
		return nil, round{}, err
	}
	load, err := b.contender(p.process, p.addresses["check"], foreignClient, tokens)
	if err != nil {
		p.stop()
		return nil, round{}, err
	}
	s := &crowdedServer{p, load}
	progress("%s: first sight of %d tokens", growth, len(tokens))
	first, err := load.run(len(tokens), flight)
	if err != nil {
		s.stop()
	}
	return s, first, err
}

// growTo measures many tokens with one setting of limits.max_memory.
func (b *bench) growTo(ctx context.Context, few *crowdedServer, tokens []string, memory string) (c crowding, err error) {
	many, first, err := b.crowd(ctx, tokens, memory)
	if err != nil {
		return c, err
	}
	defer many.stop()
	c.memory, c.first = memory, first
	before, err := many.misses(ctx)
	if err != nil {
		return c, err
	}
	calls, rounds := max(b.requests, manyTokens), min(b.rounds, growthRounds)
	progress("%s: %d rounds of %d calls, on %d tokens and on %d", growth, rounds, calls, fewTokens, manyTokens)
	if c.duel, err = contest(ctx, few.load, many.load, rounds, calls, flight); err != nil {
		return c, err
	}
	after, err := many.misses(ctx)
	if err != nil {
		return c, err
	}
	c.missed = (after - before) / float64(calls*rounds)
	c.residentKiB, err = many.residentKiB()
	return c, err
}

// measureStart takes the time from the start of the process to its first "ready",
// on a store that exists already, and its memory when nothing is asked of it.
func (b *bench) measureStart(ctx context.Context) error {
	progress("%s: %d starts", starting, starts)
	n, err := install(b.tollgate, filepath.Join(b.dir, starting), b.issuer.keySet, "")
	if err != nil {
		return err
	}
	if _, err := n.createClient(ctx); err != nil {
		return err
	}
	for i := range starts + 1 { // the first one makes the signing key
		p, took, err := n.start(ctx)
		if err != nil {
			return err
		}
		if i > 0 {
			b.report.starts = append(b.report.starts, took)
		}
		if i == starts {
			err = pause(ctx, restPause)
			if err == nil {
				b.report.restKiB, err = p.residentKiB()
			}
		}
		p.stop()
		if err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (b *bench) measureMicros(ctx context.Context) (err error) {
	progress("%s: the packages' own benchmarks", micros)
	b.report.micros, err = runMicros(ctx, b.root)
	return err
}

// progress tells whoever waits what is being done.
func progress(format string, args ...any) { _, _ = fmt.Fprintf(os.Stderr, format+"\n", args...) }
