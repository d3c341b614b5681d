package stats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

const (
	// pieceBytes bounds what is merged of an account at once, mergeBytes what is
	// written at once: others who write to the store wait meanwhile.
	pieceBytes = 4 << 20
	mergeBytes = 512 << 10
)

// Compact merges what was added into the rows of minutes, hours and days, a piece at a
// time, so that a day of an account is one row. Another process may do so at once, and
// may end at any moment: every piece is merged once. It returns how many rows it has
// merged. Damaged rows are left where they are, and told of.
func Compact(ctx context.Context, store Merger) (merged int, err error) {
	c := compaction{ctx: ctx, store: store}
	var damaged error
	for from := ""; ; {
		added, err := store.PendingStats(ctx, from, pieceBytes)
		if err != nil {
			return c.merged, fmt.Errorf("look for statistics to merge: %w", err)
		}
		if len(added) == 0 {
			break
		}
		from = added[0].Account
		size := 0
		for i := range added {
			size += len(added[i].Data)
		}
		more := size > pieceBytes/2 // perhaps: then the same account is asked again
		err = c.mergeAccount(added)
		if err == nil && (more || c.size >= mergeBytes) {
			err = c.write()
		}
		switch {
		case errors.Is(err, errData):
			damaged = errors.Join(damaged, fmt.Errorf("merge the statistics of account %q: %w", from, err))
			more = false
		case errors.Is(err, ErrStale): // whoever was faster goes on
			return c.merged, damaged
		case err != nil:
			return c.merged, errors.Join(damaged, err)
		}
		if !more {
			from += "\x00" // the next one in the order of bytes
		}
	}
	if err := c.write(); err != nil && !errors.Is(err, ErrStale) {
		return c.merged, errors.Join(damaged, err)
	}
	return c.merged, damaged
}

// compaction collects what is to be written at once.
type compaction struct {
	ctx    context.Context
	store  Merger
	next   Merge
	size   int
	merged int
}

func (c *compaction) write() error {
	if len(c.next.Added) == 0 {
		return nil
	}
	if err := c.store.MergeStats(c.ctx, &c.next); err != nil {
		return fmt.Errorf("merge statistics: %w", err)
	}
	c.merged += len(c.next.Added)
	c.next, c.size = Merge{}, 0
	return nil
}

// period is the time of a merged row.
type period struct {
	resolution Resolution
	start      int64
}

func (s period) compare(o period) int {
	return cmp.Or(cmp.Compare(s.resolution, o.resolution), cmp.Compare(s.start, o.start))
}

// mergeAccount adds rows of one account to those of minutes, hours and days.
func (c *compaction) mergeAccount(added []Row) error {
	sums := map[period]*data{}
	sum := func(r Resolution, start int64) *data {
		at := period{r, r.start(start)}
		if sums[at] == nil {
			sums[at] = newData()
		}
		return sums[at]
	}
	var ids []int64
	for i := range added {
		if err := sum(Minute, added[i].Start).addEncoded(added[i].Data); err != nil {
			return err
		}
		ids = append(ids, added[i].ID)
	}
	for _, r := range []Resolution{Hour, Day} {
		for at, d := range maps.Clone(sums) {
			if at.resolution == r-1 {
				d.bound(MaxRowSeries, MaxRowAddresses) // else three rows would each fold the same
				sum(r, at.start).add(d)
			}
		}
	}
	stored := Selection{Account: &added[0].Account}
	for at := range sums {
		stored.Spans = append(stored.Spans, Span{at.resolution, at.start, at.start + 1})
	}
	revs := map[period]int64{}
	err := c.store.ReadStats(c.ctx, &stored, func(row *Row) error {
		at := period{row.Resolution, row.Start}
		revs[at] = row.Rev
		return sums[at].addEncoded(row.Data)
	})
	if err != nil {
		return err
	}
	for _, at := range slices.SortedFunc(maps.Keys(sums), period.compare) {
		d := sums[at]
		d.bound(MaxRowSeries, MaxRowAddresses)
		row := Row{Resolution: at.resolution, Account: added[0].Account, Start: at.start, Rev: revs[at], Data: d.encode()}
		c.next.Rows = append(c.next.Rows, row)
		c.size += len(row.Data) + rowCosts
	}
	c.next.Added = append(c.next.Added, ids...)
	return nil
}
