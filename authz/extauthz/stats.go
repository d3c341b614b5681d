package extauthz

import (
	"time"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/authz/deny"
	"github.com/tollgate-authz/tollgate/authz/stats"
)

// Stats counts every decision in a book (row O5). Nothing of the request itself is
// kept: its strings share the memory of the message.
type Stats struct{ Book *stats.Book }

// Observe implements Observer.
func (s Stats) Observe(_ *authz.Request, d *authz.Decision, _ time.Duration) {
	e := stats.Event{At: d.At, Source: d.Source}
	e.Domain, e.Code = d.Domain, statsCode(d.Refusal())
	if e.At.IsZero() { // the gate was not asked
		e.At = s.Book.Now()
	}
	if d.Route != nil {
		e.API, e.Route = d.Route.API.Name, d.Route.Label()
	}
	if id := d.Identity; id != nil {
		e.Account, e.Client, e.Token = id.Account(), id.ClientID(), id.TokenID()
	}
	if d.Allowed {
		e.Price = d.Price()
	}
	s.Book.Count(&e)
}

// statsCode tells the two rows of R0 apart: one is the caller's fault, one is ours.
func statsCode(reason *deny.Reason) string {
	switch reason {
	case nil:
		return stats.Allowed
	case deny.BadRequest:
		return stats.BadRequest
	case deny.Internal:
		return stats.Internal
	}
	return reason.Code
}
