package quota

// lease is a piece of a limit as its holder knows it. Everything in it is guarded by
// the mutex of the account.
type lease struct {
	account *account
	counter *counter // nil once the lease is given back
	cell    CellID
	// answered: the ledger has spoken of this lease; queued: it waits to be told to the
	// ledger; sending: it is being told. There are many leases: these fill a gap.
	answered, queued, sending bool
	window                    day // of a limit that counts by the day

	number    uint64 // see LeaseID
	seq       uint64 // of the last move
	granted   int64  // as far as is known
	spent     int64  // net of refunds
	told      int64  // of spent, with the last answer
	available int64  // to everybody, by the last answer

	limit, rev int64 // with the last move; what is given back does not hear of newer ones

	under int64 // of a lease of the day to come: the revision of the limit under which the ledger has confirmed it

	lines []lineSum
	hour  int64 // of the newest line
}

// lineSum is one line of a wallet, summed up over one lease.
type lineSum struct {
	line    Line
	changed bool // since it was last told
}

// left is what may be spent.
func (l *lease) left() int64 { return l.granted - l.spent }

// move is what the holder has to say.
func (l *lease) move(b *Book) Move {
	l.seq++
	m := Move{
		Cell: l.cell, Lease: LeaseID{b.process, l.number}, Seq: l.seq, Spent: l.spent, Known: l.granted,
		Told: b.told.Load(), Begins: l.window.begins, Ends: l.window.ends,
	}
	for i := range l.lines {
		if sum := &l.lines[i]; sum.changed {
			m.Lines = append(m.Lines, sum.line)
		}
	}
	c := l.counter
	switch {
	case c != nil:
		l.limit, l.rev = c.limit, c.rev
		if l == c.lease {
			m.Need = min(c.need, max(c.limit/mostShare, c.cost))
		}
		m.Hold = hold(c.limit, float64(c.rate), b.span(), m.Need)
	case l.answered:
		m.Close = true
	}
	m.Limit, m.Rev = l.limit, l.rev
	return m
}

// note adds a request to its line. There are few: one for each hour, route and price.
// A lease never goes back to an hour before, should the clock be set back: its line of
// that hour may have been told and forgotten.
func (l *lease) note(account string, hour int64, what string, price int64) {
	l.hour = max(l.hour, hour)
	hour = l.hour
	for i := len(l.lines) - 1; i >= 0; i-- {
		sum := &l.lines[i]
		if sum.line.Hour == hour && sum.line.Price == price && sum.line.What == what {
			sum.line.Spent += price
			sum.line.Count++
			sum.changed = true
			return
		}
	}
	l.lines = append(l.lines, lineSum{Line{Account: account, Hour: hour, What: what, Price: price, Spent: price, Count: 1}, true})
}

// settleLines forgets lines of past hours that the ledger knows.
func (l *lease) settleLines(m *Move) {
	kept := l.lines[:0]
	for _, sum := range l.lines {
		for i := range m.Lines {
			if told := &m.Lines[i]; told.Hour == sum.line.Hour && told.Price == sum.line.Price && told.What == sum.line.What {
				sum.changed = sum.line.Count != told.Count
			}
		}
		if sum.changed || sum.line.Hour == l.hour {
			kept = append(kept, sum)
		}
	}
	clear(l.lines[len(kept):])
	l.lines = kept
}
