package main

import "context"

// contender is one side of a duel: a server and the load for it.
type contender struct {
	process *process
	address string
	message func(int) []byte
	judge   func(int, []byte) error
}

// run measures one round, on a connection of its own: one that lay idle while the
// other side had its turn might have been closed by the server's keepalive.
func (c *contender) run(calls, flight int) (round, error) {
	defer machineCores.asLoader()()
	l, err := newLoader(c.address)
	if err != nil {
		return round{}, c.process.failed(err)
	}
	defer func() { _ = l.close() }()
	before, err := c.process.cpu()
	if err != nil {
		return round{}, err
	}
	t, err := l.run(load{calls: calls, flight: flight, message: c.message, judge: c.judge})
	if err != nil {
		return round{}, c.process.failed(err)
	}
	after, err := c.process.cpu()
	if err != nil {
		return round{}, err
	}
	return round{calls: calls, cpu: after - before, tally: t}, nil
}

// contest runs both sides in turn. They have been warmed up before.
func contest(ctx context.Context, base, other *contender, rounds, calls, flight int) (duel, error) {
	var d duel
	for range rounds {
		for _, side := range []struct {
			who  *contender
			list *[]round
		}{{base, &d.base}, {other, &d.other}} {
			if err := ctx.Err(); err != nil {
				return d, err
			}
			r, err := side.who.run(calls, flight)
			if err != nil {
				return d, err
			}
			*side.list = append(*side.list, r)
		}
	}
	return d, nil
}

// warmUp runs rounds that are not counted.
func warmUp(calls, flight int, sides ...*contender) error {
	for _, c := range sides {
		if _, err := c.run(calls, flight); err != nil {
			return err
		}
	}
	return nil
}
