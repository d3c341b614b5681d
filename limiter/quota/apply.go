package quota

// Cell is one limit of one subject in one window, as a ledger keeps it. At every
// instant Charged ≤ Limit held when the last unit was granted, and
//
//	Charged = what was granted to open leases + Folded
type Cell struct {
	Limit, Rev   int64
	Charged      int64
	Folded       int64 // spent by leases that are closed
	Begins, Ends int64 // unix seconds, as in Move
}

// Lease is one lease as a ledger keeps it. Only the ledger writes Granted, only the
// holder Spent.
type Lease struct {
	Known   bool // there is such a row
	Seq     uint64
	Granted int64
	Spent   int64
	Closed  bool
	Seen    int64 // when the last move came, in unix milliseconds
}

// Times of the ledger's clock, in seconds.
const (
	moveLives   = 60 * 60      // a move that is older changes nothing
	ClosedLives = 2 * 60 * 60  // a closed lease is remembered for longer than any of its moves lives
	cellLags    = 24 * 60 * 60 // moves are taken for so long after a window's end
	CellLives   = 48 * 60 * 60 // and cells are kept for longer
	cellLeads   = 60           // a window may be begun that much early
	lateGrants  = 5            // nothing is granted that long after a window's end
	smallestFor = 8            // below so much left only what is needed is granted
)

// Apply is what a ledger does with a move: the one place of its arithmetic. It changes
// cell and lease only when the status is Open, or Closed for a move that closes. now
// is the ledger's clock in unix milliseconds; no clock of a process takes part.
func Apply(cell *Cell, lease *Lease, m *Move, now int64) Answer {
	seconds := now / 1000
	answer := func(s Status) Answer {
		return Answer{Status: s, Granted: lease.Granted, Available: cell.Limit - cell.Charged, Limit: cell.Limit, Rev: cell.Rev, Now: now}
	}
	switch {
	case m.Told == 0 || now-m.Told > moveLives*1000:
		return answer(Old)
	case lease.Closed, m.Close && !lease.Known: // the row of a lease that was never granted anything, or was swept
		return answer(Closed)
	case m.Seq <= lease.Seq:
		return answer(Stale)
	case m.Ends != 0 && seconds >= m.Ends+cellLags:
		return answer(Over)
	case seconds < m.Begins-cellLeads:
		return answer(Ahead)
	}
	cell.Begins, cell.Ends = m.Begins, m.Ends
	if m.Rev >= cell.Rev { // the newest limit wins, not the last that was told
		cell.Limit, cell.Rev = m.Limit, m.Rev
	}
	// A ledger that forgot what it had granted (it was restored, or lost its last
	// writes) is charged again; so is what was spent without a lease.
	if lost := max(m.Known, m.Spent) - lease.Granted; lost > 0 {
		lease.Granted += lost
		cell.Charged += lost
	}
	lease.Known, lease.Seq, lease.Spent, lease.Seen = true, m.Seq, m.Spent, now
	unspent := lease.Granted - lease.Spent
	if m.Close {
		cell.Charged -= unspent // also what the holder never heard of
		cell.Folded += lease.Spent
		lease.Closed = true
		return answer(Closed)
	}
	if m.Ends == 0 || seconds < m.Ends+lateGrants {
		granted := grant(unspent, cell.Limit-cell.Charged, m)
		lease.Granted += granted
		cell.Charged += granted
	}
	return answer(Open)
}

// grant is how much a lease gets more. Whoever merely would like more gets an eighth
// of what is left at most: so pieces shrink towards the end of a limit, for any number
// of holders. Whoever needs it gets what there is.
func grant(unspent, available int64, m *Move) int64 {
	wanted := max(m.Hold, m.Need) - unspent
	return max(0, min(wanted, max(m.Need-unspent, available/smallestFor), available))
}
