package ledgertest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// Memory is a ledger on maps, for tests that are about something else than ledgers.
type Memory struct {
	now func() time.Time

	mu    sync.Mutex
	model *model
	fault error
}

// NewMemory makes an empty ledger.
func NewMemory(now func() time.Time) *Memory { return &Memory{now: now, model: newModel()} }

// Fail has every call fail with err from now on; nil: no longer.
func (l *Memory) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = err
}

// Move implements quota.Ledger.
func (l *Memory) Move(ctx context.Context, moves []quota.Move, answers []quota.Answer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return l.fault
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range moves {
		answers[i] = l.model.move(&moves[i], l.now().UnixMilli())
	}
	return nil
}

// Usage implements quota.Ledger.
func (l *Memory) Usage(_ context.Context, cells []quota.CellID) ([]quota.Usage, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	usages := make([]quota.Usage, len(cells))
	for i, id := range cells {
		usages[i] = l.model.usage(id, l.now().UnixMilli())
	}
	return usages, l.fault
}

// Lines implements quota.Ledger.
func (l *Memory) Lines(_ context.Context, account string, after *quota.Line, limit int) ([]quota.Line, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.model.sumOf(account)
	if after != nil {
		lines = slices.DeleteFunc(lines, func(line quota.Line) bool { return byOrder(*after, line) >= 0 })
	}
	return lines[:min(limit, len(lines))], l.fault
}

// Sweep implements quota.Ledger.
func (l *Memory) Sweep(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.model.sweep(l.now().UnixMilli())
	return l.fault
}
