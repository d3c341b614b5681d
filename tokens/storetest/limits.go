package storetest

import (
	"maps"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// NewTerms are terms of a token with every field set.
func NewTerms() *tokens.Terms {
	return &tokens.Terms{
		Name: "Import of the night — 7", TrustedIPs: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		Limits:    tokens.TokenLimits{TotalRequests: 1000, PaidRequests: 50, PerMinute: 60, PerDay: quota.Most, WalletAmount: 10_000_001},
		LimitsRev: 1,
	}
}

func termsComeBack(t *testing.T, s *world) {
	create(t, s, NewClient("client1"))
	want := map[string]*tokens.Grant{}
	for name, terms := range map[string]*tokens.Terms{
		"all": NewTerms(), "a name": {Name: "x"}, "addresses": {TrustedIPs: NewTerms().TrustedIPs},
		"an amount": {Limits: tokens.TokenLimits{WalletAmount: 1}, LimitsRev: 1}, "a total": {Limits: tokens.TokenLimits{TotalRequests: 1}, LimitsRev: 1},
		"edited before": {Limits: tokens.TokenLimits{PerDay: 1}, LimitsRev: 7}, "taken away before": {LimitsRev: 7}, "none": nil,
	} {
		for _, g := range []*tokens.Grant{NewGrant("opaque, "+name, "client1"), newJWT("jwt, "+name, "client1")} {
			g.Terms = terms
			add(t, s, nil, g)
			want[g.ID] = g
		}
	}
	diff(t, snapshot(t, s).Grants, want)
	got, _ := changed(t, s, 0)
	diff(t, got.Grants, want)

	// Limits have a revision, and no terms are nothing.
	g := NewGrant("born with limits", "client1")
	g.Terms = &tokens.Terms{Limits: tokens.TokenLimits{PerDay: 1}}
	add(t, s, nil, g)
	bare := NewGrant("bare", "client1")
	bare.Terms = &tokens.Terms{}
	add(t, s, nil, bare)
	all := snapshot(t, s).Grants
	diff(t, all[g.ID].Terms, &tokens.Terms{Limits: tokens.TokenLimits{PerDay: 1}, LimitsRev: 1})
	if all["bare"].Terms != nil {
		t.Errorf("terms %+v, want none", all["bare"].Terms)
	}

	// A revocation leaves them as they are.
	do(t, s.RevokeToken(t.Context(), newJWT("jwt, all", "client1")))
	revoked := *want["jwt, all"]
	revoked.RevokedAt = s.now
	diff(t, snapshot(t, s).Grants["jwt, all"], &revoked)
}

func faultyTerms(t *testing.T, s *world) {
	create(t, s, NewClient("client1"))
	for name, spoil := range map[string]func(*tokens.Grant){
		"negative":    func(g *tokens.Grant) { g.Terms.Limits.TotalRequests = -1 },
		"too much":    func(g *tokens.Grant) { g.Terms.Limits.WalletAmount = quota.Most + 1 },
		"zero prefix": func(g *tokens.Grant) { g.Terms.TrustedIPs = []netip.Prefix{{}} },
		"control":     func(g *tokens.Grant) { g.Terms.Name = "a\nb" },
		"too long":    func(g *tokens.Grant) { g.ExpiresAt = g.CreatedAt.Add(tokens.MaxLifetime + time.Second) },
	} {
		g := NewGrant("token1", "client1")
		g.Terms = NewTerms()
		spoil(g)
		if err := s.AddTokens(t.Context(), NewFamily("family1", "client1"), g); err == nil {
			t.Errorf("%s: the token was stored", name)
		}
	}
	_, err := s.Family(t.Context(), "family1")
	wantError(t, err, tokens.ErrNotFound)
	diff(t, snapshot(t, s).Grants, map[string]*tokens.Grant{})
}

// limitedTo is the edit that makes a token's limits these.
func limitedTo(limits tokens.TokenLimits) func(*tokens.TokenLimits) {
	return func(l *tokens.TokenLimits) { *l = limits }
}

// editLimits edits the limits of one token.
func editLimits(t *testing.T, s Store, id string, edit func(*tokens.TokenLimits)) (*tokens.Grant, error) {
	h, err := s.EditToken(t.Context(), id, func(h *tokens.Holding) error {
		limits := h.Grant.Limits()
		edit(&limits)
		h.Grant.SetLimits(limits)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return h.Grant, nil
}

// editsAtOnce: of two that each change another limit, none is lost.
func editsAtOnce(t *testing.T, s *world) {
	create(t, s, NewClient("client1"))
	add(t, s, nil, newJWT("token1", "client1"))
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			_, errs[i] = editLimits(t, s, "token1", func(l *tokens.TokenLimits) {
				l.PerDay++
				if i%2 == 0 {
					l.PerMinute++
				}
			})
		})
	}
	all.Wait()
	do(t, errs...)
	diff(t, snapshot(t, s).Grants["token1"].Terms, &tokens.Terms{Limits: tokens.TokenLimits{PerDay: 8, PerMinute: 4}, LimitsRev: 8})
}

func updateLimits(t *testing.T, s *world) {
	create(t, s, NewClient("client1"))
	plain, full, other := newJWT("plain", "client1"), NewGrant("full", "client1"), NewGrant("other", "client1")
	full.Terms, other.Terms = NewTerms(), NewTerms()
	for _, g := range []*tokens.Grant{plain, full, other} {
		add(t, s, nil, g)
	}
	last := snapshot(t, s).Last
	step := func(g *tokens.Grant, limits tokens.TokenLimits, rev, changes int64) {
		t.Helper()
		want := *g
		var terms tokens.Terms
		if g.Terms != nil {
			terms = *g.Terms
		}
		terms.Limits, terms.LimitsRev = limits, rev
		if want.Terms = &terms; rev == 0 {
			want.Terms = nil
		}
		diff(t, must[*tokens.Grant](t)(editLimits(t, s, g.ID, limitedTo(limits))), &want)
		got, next := changed(t, s, last)
		if next-last != changes {
			t.Errorf("%d changes, want %d", next-last, changes)
		}
		if changes > 0 {
			diff(t, got.Grants, map[string]*tokens.Grant{g.ID: &want})
		}
		diff(t, snapshot(t, s).Grants[g.ID], &want)
		last = next
	}
	day, total := tokens.TokenLimits{PerDay: 5}, tokens.TokenLimits{TotalRequests: 5, PaidRequests: 4, PerMinute: 3, PerDay: 2, WalletAmount: 1}
	step(plain, tokens.TokenLimits{}, 0, 0)
	step(plain, day, 1, 1)
	step(plain, day, 1, 0) // no edit
	step(plain, total, 2, 1)
	step(plain, tokens.TokenLimits{}, 3, 1) // the revision does not go back when limits are taken away
	step(plain, day, 4, 1)
	step(full, total, 2, 1)
	diff(t, snapshot(t, s).Grants["other"], other)

	_, err := editLimits(t, s, "nobody", limitedTo(day))
	wantError(t, err, tokens.ErrNotFound)
	if _, err := editLimits(t, s, "full", limitedTo(tokens.TokenLimits{PerDay: -1})); err == nil {
		t.Error("a negative limit was stored")
	}
	if all := snapshot(t, s); all.Last != last {
		t.Errorf("%d changes by what was refused", all.Last-last)
	}
}

func limitRevisions(t *testing.T, s *world) {
	type limits = map[string]int64
	for i, step := range []struct{ limits, want limits }{
		{nil, limits{}},
		{limits{"default.per_day": 100_000, "default.total": 0}, limits{"default.per_day": 1, "default.total": 1}},
		{limits{"default.per_day": 100_000, "default.total": 0}, limits{"default.per_day": 1, "default.total": 1}},
		{limits{"default.per_day": 50_000, "default.total": 0}, limits{"default.per_day": 2, "default.total": 1}},
		{limits{"default.per_day": 100_000, "gold.per_day": -1}, limits{"default.per_day": 3, "gold.per_day": 1}}, // what it was before is another value again
		{limits{"default.total": 0}, limits{"default.total": 1}},
		{limits{"default.total": 5}, limits{"default.total": 2}}, // one that was not named meanwhile stays
		{limits{"default.per_day": 100_000}, limits{"default.per_day": 3}},
		{limits{"DEFAULT.per_day": 100_000, "": quota.Most}, limits{"DEFAULT.per_day": 1, "": 1}},
	} {
		asked := maps.Clone(step.limits)
		got := must[limits](t)(s.LimitRevisions(t.Context(), step.limits))
		if !maps.Equal(got, step.want) || !maps.Equal(asked, step.limits) {
			t.Errorf("step %d: %v of %v, want %v", i, got, step.limits, step.want)
		}
	}
	if last := snapshot(t, s).Last; last != 0 {
		t.Errorf("%d changes in the feed, want none: whoever reads the file knows", last)
	}
}

// limitRevisionsAtOnce: several processes start with one new file, and then each with
// another one, of which no two may have one revision.
func limitRevisionsAtOnce(t *testing.T, s *world) {
	type limits = map[string]int64
	must[limits](t)(s.LimitRevisions(t.Context(), limits{"a": 1, "b": 1}))
	start := func(file func(i int64) limits) []limits {
		got, errs := make([]limits, 8), make([]error, 8)
		var all sync.WaitGroup
		for i := range got {
			all.Go(func() { got[i], errs[i] = s.LimitRevisions(t.Context(), file(int64(i))) })
		}
		all.Wait()
		do(t, errs...)
		return got
	}
	for _, revisions := range start(func(int64) limits { return limits{"a": 2, "b": 1, "c": 1} }) {
		if want := (limits{"a": 2, "b": 1, "c": 1}); !maps.Equal(revisions, want) {
			t.Errorf("got %v, want %v", revisions, want)
		}
	}
	given := map[int64]bool{}
	for _, revisions := range start(func(i int64) limits { return limits{"a": 10 + i, "b": 1} }) {
		if given[revisions["a"]] || revisions["a"] < 3 || revisions["a"] > 10 || revisions["b"] != 1 {
			t.Errorf("got %v, want a revision from 3 to 10 that no other has", revisions)
		}
		given[revisions["a"]] = true
	}
}
