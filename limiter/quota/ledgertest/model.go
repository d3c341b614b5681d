package ledgertest

import (
	"cmp"
	"slices"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// model is a ledger on maps, slow and by the letter.
type model struct {
	cells  map[quota.CellID]*quota.Cell
	leases map[leaseKey]*quota.Lease
	lines  map[lineKey]*quota.Line
}

type leaseKey struct {
	cell  quota.CellID
	lease quota.LeaseID
}

// lineKey has the zero lease where the lease is gone.
type lineKey struct {
	account string
	hour    int64
	what    string
	price   int64
	lease   quota.LeaseID
}

func newModel() *model {
	return &model{map[quota.CellID]*quota.Cell{}, map[leaseKey]*quota.Lease{}, map[lineKey]*quota.Line{}}
}

func (m *model) cell(id quota.CellID) quota.Cell {
	if c := m.cells[id]; c != nil {
		return *c
	}
	return quota.Cell{}
}

func (m *model) lease(move *quota.Move) quota.Lease {
	if l := m.leases[leaseKey{move.Cell, move.Lease}]; l != nil {
		return *l
	}
	return quota.Lease{}
}

func (m *model) move(move *quota.Move, now int64) quota.Answer {
	cell, lease := m.cell(move.Cell), m.lease(move)
	seq := lease.Seq
	answer := quota.Apply(&cell, &lease, move, now)
	if lease.Seq == seq {
		return answer
	}
	m.cells[move.Cell] = &cell
	m.leases[leaseKey{move.Cell, move.Lease}] = &lease
	for _, line := range move.Lines {
		key := lineKey{line.Account, line.Hour, line.What, line.Price, move.Lease}
		if old := m.lines[key]; old != nil {
			line.Spent, line.Count = max(line.Spent, old.Spent), max(line.Count, old.Count)
		}
		m.lines[key] = &line
	}
	return answer
}

func (m *model) usage(id quota.CellID, now int64) quota.Usage {
	cell := m.cell(id)
	u := quota.Usage{Limit: cell.Limit, Spent: cell.Folded}
	for key, l := range m.leases {
		if key.cell != id || l.Closed {
			continue
		}
		u.Leases++
		u.Spent += l.Spent
		u.Leased += l.Granted - l.Spent
		if now-l.Seen >= quota.StrandedAfter.Milliseconds() {
			u.Stranded += l.Granted - l.Spent
		}
	}
	return u
}

func (m *model) sumOf(account string) []quota.Line {
	sums := map[lineKey]quota.Line{}
	for key, line := range m.lines {
		if key.account != account {
			continue
		}
		key.lease = quota.LeaseID{}
		sum := *line
		sum.Spent += sums[key].Spent
		sum.Count += sums[key].Count
		sums[key] = sum
	}
	var lines []quota.Line
	for _, line := range sums {
		lines = append(lines, line)
	}
	slices.SortFunc(lines, byOrder)
	return lines
}

// byOrder is the order of Ledger.Lines.
func byOrder(a, b quota.Line) int {
	return cmp.Or(cmp.Compare(b.Hour, a.Hour), cmp.Compare(a.What, b.What), cmp.Compare(a.Price, b.Price))
}

func (m *model) sweep(now int64) {
	for key, l := range m.leases {
		cell := m.cells[key.cell]
		if l.Closed && now-l.Seen >= quota.ClosedLives*1000 || gone(cell, now) {
			m.fold(key.lease)
			delete(m.leases, key)
		}
	}
	for id, c := range m.cells {
		if gone(c, now) {
			delete(m.cells, id)
		}
	}
}

func gone(c *quota.Cell, now int64) bool { return c.Ends != 0 && now/1000 >= c.Ends+quota.CellLives }

// fold adds the lines of a lease to those without one.
func (m *model) fold(lease quota.LeaseID) {
	for key, line := range m.lines {
		if key.lease != lease {
			continue
		}
		delete(m.lines, key)
		key.lease = quota.LeaseID{}
		if old := m.lines[key]; old != nil {
			line.Spent += old.Spent
			line.Count += old.Count
		}
		m.lines[key] = line
	}
}
