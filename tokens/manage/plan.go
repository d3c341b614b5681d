package manage

import (
	"context"
	"slices"
	"strings"

	"github.com/tollgate-authz/tollgate/tokens"
)

// Plan is one plan of the configuration. A limit that is left out is none.
type Plan struct {
	Name          string  `json:"name"`
	Burst         *Burst  `json:"burst,omitempty" doc:"Token bucket of each token or API key."`
	PerMinute     int64   `json:"per_minute,omitempty" doc:"Requests of each token or API key in a sliding minute."`
	PerDay        int64   `json:"per_day,omitempty" doc:"Requests of the client over all its tokens, or of the API key, in a calendar day of the account's time zone."`
	AuthPerDay    int64   `json:"auth_per_day,omitempty" doc:"Token requests of the client a day beside per_day."`
	TotalRequests int64   `json:"total_requests,omitempty" doc:"Requests of the client over all its tokens, or of the API key, in all."`
	PaidRequests  int64   `json:"paid_requests,omitempty" doc:"Requests of routes with a price, of the client over all its tokens, or of the API key, in all."`
	Lockout       int64   `json:"lockout,omitempty" doc:"How many seconds everything is refused after per_minute was exceeded."`
	WarnAt        float64 `json:"warn_at,omitempty" doc:"Share of each limit from which on callers are warned."`
	Shadow        bool    `json:"shadow" doc:"The plan counts and tells, and refuses nothing."`
}

// Burst is a token bucket.
type Burst struct {
	Rate float64 `json:"rate" doc:"Requests a second that the bucket gains."`
	Size int64   `json:"size" doc:"Requests that a full bucket holds."`
}

// faultyPlan refuses a plan that is not configured: its clients would be refused by the
// gate.
func (s Settings) faultyPlan(name string) []fault {
	var names []string
	for i := range s.Plans {
		if s.Plans[i].Name == name {
			return nil
		}
		names = append(names, s.Plans[i].Name)
	}
	slices.Sort(names)
	return []fault{{"body.plan", "is not configured; there are: " + strings.Join(names, ", ")}}
}

func (a *api) listPlans(_ context.Context, _ *caller, in *Listing) (*page[Plan], error) {
	rest := slices.SortedFunc(slices.Values(a.Settings().Plans), func(a, b Plan) int { return strings.Compare(a.Name, b.Name) })
	rest = slices.DeleteFunc(rest, func(p Plan) bool { return p.Name <= in.after.ID })
	return newPage(rest, in, func(p Plan) Plan { return p }, func(p Plan) tokens.Position { return tokens.Position{ID: p.Name} }), nil
}

// PlanName names a plan in a path.
type PlanName struct {
	Name string `path:"name" maxLength:"128" doc:"Name of the plan."`
}

type planAnswer struct{ Body Plan }

func (a *api) getPlan(_ context.Context, _ *caller, in *PlanName) (*planAnswer, error) {
	for _, p := range a.Settings().Plans {
		if p.Name == in.Name {
			return &planAnswer{p}, nil
		}
	}
	return nil, notFound("plan")
}
