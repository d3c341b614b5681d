package endpoint

import (
	"context"
	"fmt"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// Days counts token requests in the day of their client, beside its calls (row D5).
type Days interface {
	// Spend counts one token request. wait is how long the client must wait until it may
	// ask again, zero where it may now; then refund takes the request back, for one that
	// comes to nothing after all.
	Spend(ctx context.Context, client *tokens.Client, now time.Time) (refund func(), wait time.Duration, err error)
}

// spendDay counts a request that is well on its way. Only successful ones count: what
// is refused behind it is taken back.
func (e *endpoint) spendDay(ctx context.Context, g *grant) error {
	if e.Days == nil {
		return nil
	}
	refund, wait, err := e.Days.Spend(ctx, g.client, g.now)
	switch {
	case err != nil:
		return fmt.Errorf("count the token request in the client's day: %w", err)
	case wait > 0:
		return rateLimited.later(wait, "no token requests left today")
	}
	g.refund = refund
	return nil
}
