package extauthz

import (
	"net/http"
	"time"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/authz/decisions"
	"github.com/tollgate-authz/tollgate/limiter"
)

// Decisions keeps every answer in a ring, for operators to look at.
type Decisions struct {
	Ring *decisions.Ring
	Now  func() time.Time // for answers that the gate was not asked for
}

// Observe implements Observer.
func (o Decisions) Observe(req *authz.Request, d *authz.Decision, took time.Duration) {
	e := decisions.Entry{
		ID: d.ID, At: d.At, Took: took, Status: http.StatusOK, Code: "allow", Method: req.Method, Host: req.Host, Path: req.Path, RequestID: req.RequestID,
		Environment: string(d.Environment()), Source: d.Source, Passed: d.Passed,
	}
	if e.At.IsZero() {
		e.At = o.Now()
	}
	if d.Route != nil {
		e.API, e.Route, e.Open = d.Route.API.Name, d.Route.Label(), d.Route.API.Open
	}
	if id := d.Identity; id != nil {
		e.Account, e.Client, e.Token = id.Account(), id.ClientID(), id.TokenID()
	}
	if reason := d.Refusal(); reason != nil {
		e.Code, e.Status, e.Step = reason.Code, reason.Status, d.Step
		e.Limits = refusing(d)
		if d.Cause != nil {
			e.Cause = d.Cause.Error()
		}
	}
	if d.Limits.Shadowed {
		e.Shadowed = shadowed(d)
	}
	o.Ring.Add(&e)
}

// refusing names the limits that refuse.
func refusing(d *authz.Decision) []string {
	return limitNames(d, func(s *limiter.Standing) bool { return s.Refused && !s.InShadow() })
}

func limitNames(d *authz.Decision, which func(*limiter.Standing) bool) (names []string) {
	for i := range d.Limits.Count {
		if s := &d.Limits.Standings[i]; which(s) {
			names = append(names, authz.LimitName(s))
		}
	}
	return names
}
