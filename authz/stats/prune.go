package stats

import (
	"context"
	"time"
)

// Prune deletes what is older than it is kept.
func Prune(ctx context.Context, store Pruner, k Keep, now time.Time) error {
	for _, r := range []Resolution{Minute, Hour, Day} {
		if err := store.PruneStats(ctx, r, now.Add(-k.Of(r)-2*keepLonger)); err != nil {
			return err
		}
	}
	return nil
}
