package authz

import (
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// Notice tells that a limit is nearly used up, or used up, once per window of it for
// every subject (row V4). Bursts are too short for that.
type Notice struct {
	At                     time.Time
	Account, Client, Token string // Token is empty where the limit counts for all of a client's or account's
	Issuer                 string
	Plan, Limit            string // Limit as headers have it, see LimitName
	Kind                   limiter.Kind
	Used, Most             int64 // requests, or millionths of the currency
	Level                  limiter.Level
}

// maxNotices bounds how many are remembered as given.
const maxNotices = 100_000

// report gives notice of limits that this request has brought near their end, or found
// there.
func (g *Gate) report(c *check, r *quota.Request) {
	for i := range c.Limits.Count {
		s := &c.Limits.Standings[i]
		if !s.IsNear() && (!s.Refused || s.Near == 0) || s.Kind == limiter.KindBurst {
			continue
		}
		g.reportLimit(c, s, r)
	}
}

func (g *Gate) reportLimit(c *check, s *limiter.Standing, r *quota.Request) {
	level := limiter.Near
	if s.Refused || s.Remaining == 0 {
		level = limiter.Reached
	}
	cost := int64(1)
	if s.Kind.IsMoney() {
		cost = int64(r.Price)
	}
	used := s.Used()
	if level == limiter.Near && (used-cost >= s.Near || c.Limits.Verdict != limiter.Allowed) {
		return // it was passed before
	}
	window := s.Window // none: it never resets
	if s.Kind == limiter.KindPerDay {
		window = s.Reset
	}
	n := g.noticeOf(c, s, level)
	if g.notices.First(g.noticeKey(&n, s), c.now, window) {
		g.notify(n)
	}
}

func (g *Gate) noticeOf(c *check, s *limiter.Standing, level limiter.Level) Notice {
	id := c.Identity
	n := Notice{
		At: c.now, Account: id.Account(), Client: id.ClientID(), Issuer: id.Issuer(), Limit: LimitName(s), Kind: s.Kind, Used: s.Used(), Most: s.Limit, Level: level,
	}
	if s.Plan != nil {
		n.Plan = s.Plan.Name
	}
	switch {
	case s.Kind == limiter.KindWallet:
		n.Client, n.Issuer = "", ""
	case s.Kind == limiter.KindPerMinute || s.Plan == ownPlan:
		n.Token = id.TokenID()
	}
	return n
}

// noticeKey names whose limit it is, and how far used.
func (g *Gate) noticeKey(n *Notice, s *limiter.Standing) limiter.NoticeKey {
	return limiter.NoticeKey{
		Subject: g.limits.Subject(n.Account, n.Issuer, n.Client, n.Token), Plan: n.Plan, Kind: s.Kind, Level: n.Level, Limit: s.Limit,
	}
}
