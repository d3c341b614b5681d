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
	// Standings of every limit that was asked, in the order of the plans, burst
	// before per_minute. Only the first Count are of this answer.
	Standings [MaxStandings]Standing
	Count     int
}

// All returns the standings of this answer. They share Result's memory.
func (r *Result) All() []Standing { return r.Standings[:r.Count] }

func (r *Result) clear() { r.Verdict, r.RetryAfter, r.Count = Full, 0, 0 }

func (r *Result) add(s Standing) {
	r.Standings[r.Count] = s
	r.Count++
}

// refuse notes that a limit refuses for wait more. The burst limit decides the
// verdict wherever it refuses.
func (r *Result) refuse(v Verdict, wait int64) {
	if r.Verdict != RefusedBurst {
		r.Verdict = v
	}
	r.RetryAfter = max(r.RetryAfter, time.Duration(wait))
}

// Standing is where a subject stands with one limit. After a Take that was
// allowed it includes that request; otherwise nothing was spent and it is
// what is left.
type Standing struct {
	Plan      *Plan // nil for a limit of no plan
	Limit     int64 // the bucket's size; requests a minute, a day, in all; money in millionths
	Remaining int64
	Window    time.Duration // in which Limit is gained anew; 0: never
	// Reset is the time until the bucket is full, until the oldest uses leave the
	// minute, or until the day is over.
	Reset   time.Duration
	Kind    Kind
	Refused bool
}

// Verdict is what a Table says of a request. Only Allowed lets it pass.
type Verdict uint8

const (
	// Full is the zero verdict, a refusal: the table has no room for a new
	// subject without forgetting an active one.
	Full Verdict = iota
	Allowed
	RefusedBurst
	RefusedMinute
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
