package limiter

import "time"

const (
	// MaxPlans is how many plans one Take can charge.
	MaxPlans = 4
	// MaxStandings is how many limits one Result can tell of: those of a Take, and the
	// quotas beside them.
	MaxStandings = 2*MaxPlans + 11
)

// Result is the answer of Take and Look. The zero Result refuses. One Result
// may be used again and again.
type Result struct {
	Verdict Verdict
	// RetryAfter is the time after which the same request passes if nobody
	// spends in between: the longest of all limits that refuse.
	// It is exact; callers who tell whole seconds round up.
	RetryAfter time.Duration
	// Never: a limit refuses that never resets, so waiting does not help.
	Never bool
	// Shadowed: a plan in shadow would have refused, whatever the verdict is. Which limit,
	// say the standings that are Refused and of a plan with Shadow.
	Shadowed bool
	// Standings of every limit that was asked, in the order of the plans, burst
	// before per_minute. Only the first Count are of this answer.
	Standings [MaxStandings]Standing
	Count     int
}

// All returns the standings of this answer. They share Result's memory.
func (r *Result) All() []Standing { return r.Standings[:r.Count] }

func (r *Result) clear() {
	r.Verdict, r.RetryAfter, r.Never, r.Shadowed, r.Count = Full, 0, false, false, 0
}

// Next adds an empty standing, to be filled in.
func (r *Result) Next() *Standing {
	s := &r.Standings[r.Count]
	*s = Standing{}
	r.Count++
	return s
}

// Add adds the standing of a limit.
func (r *Result) Add(s Standing) { *r.Next() = s }

// refuse notes that a limit of p refuses for wait more. The burst limit decides the
// verdict wherever it refuses.
func (r *Result) refuse(p *Plan, v Verdict, wait int64) {
	if p.Shadow {
		r.Shadowed = true
		return
	}
	if r.Verdict != RefusedBurst {
		r.Verdict = v
	}
	r.RetryAfter = max(r.RetryAfter, time.Duration(wait))
}

// RefuseQuota notes that a limit which a ledger keeps is used up.
func (r *Result) RefuseQuota(s *Standing) {
	if r.Verdict == Allowed || r.Verdict == Unavailable {
		r.Verdict = RefusedQuota
	}
	if s.Window == 0 {
		r.Never = true
	}
	r.RetryAfter = max(r.RetryAfter, s.Reset)
}

// Standing is where a subject stands with one limit. After a Take that was
// allowed it includes that request; otherwise nothing was spent and it is
// what is left. So it is too of a plan in shadow that would have refused, or for
// which the table has no room.
type Standing struct {
	Plan      *Plan // nil for a limit of no plan
	Limit     int64 // the bucket's size; requests a minute, a day, in all; money in millionths
	Remaining int64
	Window    time.Duration // in which Limit is gained anew; 0: never
	// Reset is the time until the bucket is full, until the oldest uses leave the
	// minute, or until the day is over.
	Reset   time.Duration
	Near    int64 // how much is used when it counts as nearly used up; 0: never
	Kind    Kind
	Refused bool // or would have, see InShadow
}

// Used is how much of the limit is used.
func (s *Standing) Used() int64 { return s.Limit - s.Remaining }

// IsNear reports whether the limit is used beyond the plan's warn_at.
func (s *Standing) IsNear() bool { return s.Near > 0 && s.Used() >= s.Near }

// InShadow reports whether the limit refuses nothing, which is nothing that callers
// are told of.
func (s *Standing) InShadow() bool { return s.Plan != nil && s.Plan.Shadow }

// Verdict is what a Table says of a request. Only Allowed lets it pass.
type Verdict uint8

const (
	// Full is the zero verdict, a refusal: the table has no room for a new
	// subject without forgetting an active one.
	Full Verdict = iota
	Allowed
	RefusedBurst
	RefusedMinute
	RefusedQuota // a limit that a ledger keeps is used up
	Unavailable  // the ledger does not answer, and what was taken from it before is spent
)

func (v Verdict) String() string {
	switch v {
	case Full:
		return "full"
	case Allowed:
		return "allowed"
	case RefusedBurst:
		return "refused by burst"
	case RefusedMinute:
		return "refused by per_minute"
	case RefusedQuota:
		return "refused by a quota"
	case Unavailable:
		return "the ledger does not answer"
	}
	return "invalid verdict"
}

// Kind names a limit.
type Kind uint8

// Kinds of limits. This package counts the first two, package limiter/quota the rest.
const (
	KindBurst Kind = iota + 1
	KindPerMinute
	KindPerDay
	KindAuthPerDay
	KindTotalRequests
	KindPaidRequests
	KindWalletAmount // what one token may spend of the wallet
	KindWallet       // of the account
)

// IsMoney tells limits of money, in millionths of the currency, from those of requests.
func (k Kind) IsMoney() bool { return k == KindWallet || k == KindWalletAmount }

// Kinds are all kinds of limits.
var Kinds = []Kind{KindBurst, KindPerMinute, KindPerDay, KindAuthPerDay, KindTotalRequests, KindPaidRequests, KindWalletAmount, KindWallet}

func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "invalid kind"
}

var kindNames = [...]string{
	KindBurst: "burst", KindPerMinute: "per_minute", KindPerDay: "per_day", KindAuthPerDay: "auth_per_day",
	KindTotalRequests: "total_requests", KindPaidRequests: "paid_requests", KindWalletAmount: "wallet_amount", KindWallet: "wallet",
}
