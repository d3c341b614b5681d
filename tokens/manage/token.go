package manage

import (
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// Token is a recorded token (rows O1, O2).
type Token struct {
	ID          string    `json:"id" doc:"Its ID, as in x-tollgate-token-id. It stays when the token is rotated."`
	Name        string    `json:"name" doc:"For people."`
	Scopes      []string  `json:"scopes" nullable:"false" doc:"What it was given. Of these it has what its client still has."`
	ClientID    string    `json:"client_id" doc:"Client that it is of."`
	Account     string    `json:"account" doc:"Account of that client."`
	Environment string    `json:"environment" enum:"production,sandbox"`
	CreatedAt   time.Time `json:"created_at"`
	ExpiresAt   time.Time `json:"expires_at"`
	TTL         int64     `json:"ttl" doc:"Lifetime that was set last, in seconds."`
	Limits      limits    `json:"limits"`
	Used        limits    `json:"used" doc:"What is used of each of its limits."`
	IPAllow     []string  `json:"ip_allow" nullable:"false" doc:"Addresses that it may be used from; none: every one that its client may be used from."`
	Status      string    `json:"status" enum:"active,locked,revoked,expired" doc:"locked: refused for a while, because per_minute was exceeded or its client is suspended."`
}

// tokenPair is a token, and its value where it was just made.
type tokenPair struct {
	Token
	Value        string `json:"token,omitempty" doc:"The bearer token. It is shown this once."`
	RefreshToken string `json:"refresh_token,omitempty" doc:"What rotates it. It is shown this once."`
}

// tokenAnswer is the answer with one.
type tokenAnswer struct {
	ETag string `header:"ETag"`
	Body tokenPair
}

// limits are those of a token itself, or what is used of them; a limit that is left out
// is none.
type limits struct {
	TotalRequests *int64        `json:"total_requests,omitempty" minimum:"0" doc:"Requests in all."`
	PaidRequests  *int64        `json:"paid_requests,omitempty" minimum:"0" doc:"Requests of routes with a price, in all."`
	WalletAmount  *quota.Micros `json:"wallet_amount,omitempty" doc:"Money of its account's wallet, in all." example:"10.00"`
	PerMinute     *int64        `json:"per_minute,omitempty" minimum:"0" doc:"Requests in a sliding minute."`
	PerDay        *int64        `json:"per_day,omitempty" minimum:"0" doc:"Requests in a calendar day of the account's time zone."`
}

// newLimits shows amounts, of the limits that there are.
func newLimits(are, amounts tokens.TokenLimits) (l limits) {
	show := func(limit, amount int64) *int64 {
		if limit == 0 {
			return nil
		}
		return &amount
	}
	l.TotalRequests, l.PaidRequests = show(are.TotalRequests, amounts.TotalRequests), show(are.PaidRequests, amounts.PaidRequests)
	l.PerMinute, l.PerDay = show(are.PerMinute, amounts.PerMinute), show(are.PerDay, amounts.PerDay)
	if are.WalletAmount != 0 {
		l.WalletAmount = &amounts.WalletAmount
	}
	return l
}

// describe shows a token. What is used of its limits is filled in by others.
func (a *api) describe(g *tokens.Grant, now time.Time) Token {
	t := Token{
		ID: g.ID, Scopes: append([]string{}, g.Scopes...), ClientID: g.Client, CreatedAt: second(g.CreatedAt), ExpiresAt: second(g.ExpiresAt),
		TTL: int64(g.TTL() / time.Second), Limits: newLimits(g.Limits(), g.Limits()), IPAllow: []string{}, Status: "active",
	}
	if g.Terms != nil {
		t.Name, t.IPAllow = g.Terms.Name, texts(g.Terms.TrustedIPs)
	}
	held := a.Tokens.Held(g)
	if held == nil {
		return t
	}
	id := held.Identity()
	t.Account, t.Environment = id.Account(), string(id.Environment())
	switch {
	case !now.Before(g.ExpiresAt):
		t.Status = "expired"
	case !g.RevokedAt.IsZero(), id.Client == nil:
		t.Status = "revoked"
	case id.Client.Suspended, id.Lockout(now) != nil:
		t.Status = "locked"
	case id.Ended != nil && id.Grant != nil: // else the registry has not heard of it yet
		t.Status = "revoked"
	}
	return t
}

// etag is that of what of a token can be changed.
func (t *Token) etag() string {
	fixed := *t
	fixed.Used, fixed.Status = limits{}, ""
	return etagOf(fixed)
}

// answer shows one token.
func (a *api) answer(t Token, p tokens.Pair) *tokenAnswer {
	return &tokenAnswer{t.etag(), tokenPair{t, p.Access.Bearer.Reveal(), p.Refresh.Reveal()}}
}

// second is a time as answers have it.
func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// texts are prefixes as people write them.
func texts[T interface{ String() string }](list []T) []string {
	said := make([]string, 0, len(list))
	for _, one := range list {
		said = append(said, one.String())
	}
	return said
}
