package main

import (
	"fmt"
	"slices"
	"time"
)

// round is one measured run against one server.
type round struct {
	calls int
	cpu   time.Duration // of the server
	tally
}

// perCall is the CPU time of one call.
func (r round) perCall() time.Duration { return r.cpu / time.Duration(r.calls) }

// busy is how much of one core the server had to do: a load that left it idle
// for much of the time is a poor one.
func (r round) busy() float64 { return float64(r.cpu) / float64(r.wall) }

// rate is calls a second.
func (r round) rate() float64 { return float64(r.calls) / r.wall.Seconds() }

// duel is two servers measured in turn.
type duel struct {
	base, other []round
}

// ratio of other to base: the middle one of the pairs, with the least and the
// greatest. A pair ran within seconds, on a machine in one state; the figures of
// different pairs may be a fifth apart.
type ratio struct{ median, least, most float64 }

func (r ratio) String() string {
	return fmt.Sprintf("%.2f (%.2f–%.2f)", r.median, r.least, r.most)
}

func (d duel) ratio() ratio {
	var list []float64
	for i := range min(len(d.base), len(d.other)) {
		list = append(list, float64(d.other[i].perCall())/float64(d.base[i].perCall()))
	}
	return ratio{median(list), slices.Min(list), slices.Max(list)}
}

// medianOf is the median of one figure of all rounds.
func medianOf[T ~int64 | ~float64](rounds []round, figure func(round) T) T {
	list := make([]T, 0, len(rounds))
	for _, r := range rounds {
		list = append(list, figure(r))
	}
	return median(list)
}

// median is the middle value, or the mean of the two in the middle.
func median[T ~int64 | ~float64](list []T) T {
	sorted := slices.Sorted(slices.Values(list))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// asMicros prints a duration in microseconds.
func asMicros(d time.Duration) string {
	return fmt.Sprintf("%.1f", float64(d)/float64(time.Microsecond))
}
