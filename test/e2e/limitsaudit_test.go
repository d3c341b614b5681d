package e2e

import (
	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// audit holds what the ledger says of a limit that is used up against itself, and
// against what callers know. No serve runs any more.
func (s *stack) audit(sp *spender, kills int64) {
	s.t.Helper()
	usage := s.usageOf(sp.cell)
	limit, charged := s.cell(sp.cell)
	allowed, lost := sp.allowed.Load(), sp.lost.Load()
	s.t.Logf("%s: %d of %d were allowed, %d had no decision, %d found the ledger too slow; the ledger: %d spent, %d in %d leases, %d available",
		sp.name, allowed, sp.limit, lost, sp.slow.Load(), usage.Spent, usage.Leased, usage.Leases, limit-charged)
	if limit != sp.limit*sp.unit || usage.Spent+usage.Leased != charged {
		s.t.Errorf("%s: the limit is %d, charged %d, spent %d and leased %d", sp.name, limit, charged, usage.Spent, usage.Leased)
	}
	if charged > limit || limit-charged >= sp.unit {
		s.t.Errorf("%s: %d of %d are charged when it is used up", sp.name, charged, limit)
	}
	if allowed > sp.limit || allowed*sp.unit > usage.Spent+usage.Leased {
		s.t.Errorf("%s: %d were allowed of %d, with %d spent and %d leased", sp.name, allowed, sp.limit, usage.Spent, usage.Leased)
	}
	if usage.Spent > (allowed+lost)*sp.unit {
		s.t.Errorf("%s: %d are spent, more than the %d requests that were allowed or had no decision", sp.name, usage.Spent, allowed+lost)
	}
	most := kills * max(limit/100, sp.unit) // of what is leased at a kill: contract section 6
	if usage.Leased > most || (allowed+lost)*sp.unit < limit-most-sp.unit {
		s.t.Errorf("%s: %d are in leases of processes that were killed, at most %d may be", sp.name, usage.Leased, most)
	}
}

// auditWallet holds the lines of a wallet against its ledger, to the last digit.
func (s *stack) auditWallet(sp *spender) {
	s.t.Helper()
	sum, requests := s.spentOf("payer")
	usage := s.usageOf(sp.cell)
	limit, charged := s.cell(sp.cell)
	s.t.Logf("wallet: %s of credit = %s in lines of %d requests + %s in leases + %s available", quota.Micros(limit), sum, requests, quota.Micros(usage.Leased), quota.Micros(limit-charged))
	if limit-int64(sum)-usage.Leased != limit-charged || int64(sum) != usage.Spent {
		s.t.Errorf("the lines add up to %d: the limit is %d, charged %d, and %+v", sum, limit, charged, usage)
	}
	if known := sp.allowed.Load() + sp.lost.Load(); requests > known {
		s.t.Errorf("the lines are of %d requests, callers know of %d at most", requests, known)
	}
}

// auditUpstream: what was allowed has arrived, and nothing else.
func (s *stack) auditUpstream(list []*spender) {
	s.t.Helper()
	allowed := int64(0)
	for _, sp := range list {
		allowed += sp.allowed.Load()
	}
	if n := int64(s.upstream.count()); n != allowed {
		s.t.Errorf("%d requests have reached the upstream, callers know of %d", n, allowed)
	}
}

func (s *stack) usageOf(cell quota.CellID) quota.Usage {
	s.t.Helper()
	db := s.openRecords()
	defer func() { _ = db.Close() }()
	usages, err := db.Ledger().Usage(s.t.Context(), []quota.CellID{cell})
	if err != nil {
		s.t.Fatal(err)
	}
	return usages[0]
}

// cell reads a limit as the ledger keeps it.
func (s *stack) cell(id quota.CellID) (limit, charged int64) {
	s.t.Helper()
	db := s.openStore()
	defer func() { _ = db.Close() }()
	w := id.Window
	key := append(id.Limit[:], byte(w>>24), byte(w>>16), byte(w>>8), byte(w))
	if err := db.QueryRowContext(s.t.Context(), `SELECT lim, charged FROM quota_cells WHERE id = ?`, key).Scan(&limit, &charged); err != nil {
		s.t.Fatal(err)
	}
	return limit, charged
}
