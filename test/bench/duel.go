package main

import (
	"context"
	"fmt"
)

// contender is one side of a duel: a server, the connection to it, and the load.
type contender struct {
	process *process
	loader  *loader
	message func(int) []byte
	judge   func(int, []byte) error
}

func (c *contender) close() { _ = c.loader.close() }

// run measures one round.
func (c *contender) run(calls, flight int) (round, error) {
	defer machineCores.asLoader()()
	before, err := c.process.cpu()
	if err != nil {
		return round{}, err
	}
	t, err := c.loader.run(load{calls: calls, flight: flight, message: c.message, judge: c.judge})
	if err != nil {
		return round{}, c.process.failed(err)
	}
	after, err := c.process.cpu()
	if err != nil {
		return round{}, err
	}
	return round{calls: calls, cpu: after - before, tally: t}, nil
}

// contest runs both sides in turn, after a round each to warm up.
func contest(ctx context.Context, base, other *contender, rounds, calls, flight int) (duel, error) {
	var d duel
	for i := range rounds + 1 {
		for _, side := range []struct {
			who  *contender
			list *[]round
		}{{base, &d.base}, {other, &d.other}} {
			if err := ctx.Err(); err != nil {
				return d, fmt.Errorf("the benchmark took too long: %w", err)
			}
			r, err := side.who.run(calls, flight)
			if err != nil {
				return d, err
			}
			if i > 0 {
				*side.list = append(*side.list, r)
			}
		}
	}
	return d, nil
}
