package quota

import "time"

// How large a lease is. A limit is leased in pieces of about a thousandth, so that a
// slow caller does not cost a write for each request, and never more than a hundredth,
// which bounds what a process that dies leaves stranded.
const (
	leastShare = 1000
	mostShare  = 100

	// movesPerSecond is what one process asks of a ledger at most, on average.
	movesPerSecond = 5000
	leastSpan      = 100 * time.Millisecond
	mostSpan       = 2 * time.Second
)

// span is how much time a lease should last: long enough to hide a round trip to the
// ledger, and to spread the moves of many leases.
func span(roundTrip time.Duration, leases int) time.Duration {
	spread := time.Duration(leases) * 2 * time.Second / movesPerSecond
	return min(max(4*roundTrip, spread, leastSpan), mostSpan)
}

// hold is how much a lease should have unspent: what is spent in span at rate units a
// second, within the bounds of the limit, and at least what somebody waits for.
func hold(limit int64, rate float64, span time.Duration, need int64) int64 {
	most := max(limit/mostShare, 0)
	wanted := int64(min(rate*span.Seconds(), float64(most)))
	return max(need, min(max(wanted, limit/leastShare, 1), max(most, 1)))
}

// scarce tells a limit of which so little is left that unused pieces of it go back at
// once, to meet the requests that need them.
func scarce(available, limit int64) bool { return available < max(limit/mostShare, 1) }
