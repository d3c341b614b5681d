package tokens

import (
	"crypto/sha256"
	"net/netip"
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// Terms are what holds for one token beside what holds for its client. Few tokens
// have any, so they stand apart from Grant, of which there are millions.
type Terms struct {
	Name       string         // for people; may be empty
	TrustedIPs []netip.Prefix // where the token may be used from, of the places that its client may be; empty: anywhere there
	Limits     TokenLimits
	// LimitsRev counts the edits of Limits: 1 from the first on, 0 when there never
	// were any. It does not go back when the limits are taken away: of two limits the
	// ledger holds the one of the higher revision to be in force.
	LimitsRev int64
	// Environment is the token's own, sandbox for a client of production; empty: its
	// client's.
	Environment Environment
	// LivesFrom is when its lifetime was set last; zero: when it was made.
	LivesFrom time.Time
	// Rotation counts how often another token has taken its place. Of the one before,
	// which works until OldUntil, OldHash is the hash if it is opaque.
	Rotation int64
	OldHash  [sha256.Size]byte
	OldUntil time.Time
}

// TokenLimits are what one token may use, of what its client and its account leave it.
// Zero is no limit.
type TokenLimits struct {
	TotalRequests int64
	PaidRequests  int64
	PerMinute     int64
	PerDay        int64
	WalletAmount  quota.Micros // that it may spend of its account's money
}

// mostPerMinute is what the limiter counts to.
const mostPerMinute = 1<<31 - 1

// Validate says everything that is wrong with the limits, in the words that callers
// have for them (contract section 5).
func (l *TokenLimits) Validate() []error {
	var f faults
	for _, limit := range []struct {
		name        string
		value, most int64
	}{
		{"total_requests", l.TotalRequests, quota.Most}, {"paid_requests", l.PaidRequests, quota.Most},
		{"per_minute", l.PerMinute, mostPerMinute}, {"per_day", l.PerDay, quota.Most},
	} {
		if limit.value < 0 || limit.value > limit.most {
			f.add("%s %d: a whole number from 1 to %d is needed, or 0 for no limit", limit.name, limit.value, limit.most)
		}
	}
	if l.WalletAmount < 0 || l.WalletAmount > quota.Most {
		f.add("wallet_amount %s: an amount up to %s is needed, or 0 for no limit", l.WalletAmount, quota.Micros(quota.Most))
	}
	return f
}

// Validate says everything that is wrong with a token that someone wants to make.
func (g *Grant) Validate() []error {
	var f faults
	f.scopes(g.Scopes)
	f.lifetime(g.livesFrom(), g.ExpiresAt)
	if g.Terms != nil {
		if g.Terms.Name != "" {
			f.name(g.Terms.Name)
		}
		f.trustedIPs(g.Terms.TrustedIPs)
		if g.Terms.Environment != "" {
			f.environment(g.Terms.Environment)
		}
		f = append(f, g.Terms.Limits.Validate()...)
	}
	return f
}
