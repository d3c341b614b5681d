package authz

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/tollgate-authz/tollgate/authz/deny"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// Decision is the gate's answer. The zero Decision refuses.
type Decision struct {
	ID      ID
	At      time.Time // when the gate was asked; zero when it was not
	Allowed bool
	Reason  *deny.Reason // why not; nil is our own fault
	Cause   error        // for the operator, never for the caller
	Step    string       // the step that refused; empty when allowed

	Identity *tokens.Identity // whom the token speaks for; nil before it was verified
	Route    *Route           // nil when none matches
	Domain   string           // host pattern of the policy that matches; empty: none does
	Limits   limiter.Result   // where the caller stands; empty before the limits were looked at
	Source   netip.Addr       // where the request comes from, as the gate judges by it

	// For www-authenticate: what the caller did wrong.
	TokenSent   bool
	ScopeWanted string // scopes that the route asks for, when they are missing

	// HideToken: the upstream must not see the credential (forward_token: false).
	HideToken bool
	// HideKeys are where API keys are sent: the upstream never sees those.
	HideKeys []KeySource
	// KeysOnly: only API keys are accepted there.
	KeysOnly bool

	// Passed marks a refusal that is not enforced (enforce: false): the request
	// goes on, and only reports tell.
	Passed bool

	environment tokens.Environment
}

// Environment is the host's, or the token's where the host is unknown.
func (d *Decision) Environment() tokens.Environment {
	if d.environment == "" && d.Identity != nil {
		return d.Identity.Environment()
	}
	return d.environment
}

// Price is what the request costs when it is allowed.
func (d *Decision) Price() quota.Micros {
	if d.Route == nil || d.Identity == nil || d.Identity.Environment() != tokens.Production { // what is tried in the sandbox costs nothing (row O7)
		return 0
	}
	return d.Route.Price
}

// LimitName is a limit's name, as headers have it: of a route's own plan with the
// plan's before it, and "token" before those of the token itself.
func LimitName(s *limiter.Standing) string {
	if s.Plan != nil && s.Plan.Label != "" {
		return s.Plan.Label + "." + s.Kind.String()
	}
	return s.Kind.String()
}

// Refusal returns why the request is refused, nil when it is allowed.
func (d *Decision) Refusal() *deny.Reason {
	switch {
	case d.Allowed:
		return nil
	case d.Reason == nil:
		return deny.Internal
	}
	return d.Reason
}

// ID names one decision, in the answer, the metadata and the log: 100 random
// bits in 20 characters.
type ID [20]byte

// NewID draws an ID. It is no secret: the fast generator is good enough.
func NewID() (id ID) {
	const alphabet = "0123456789abcdefghijklmnopqrstuv"
	a, b := rand.Uint64(), rand.Uint64()
	for i := range 10 {
		id[i], id[10+i] = alphabet[a&31], alphabet[b&31]
		a, b = a>>5, b>>5
	}
	return id
}
