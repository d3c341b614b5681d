package main

import (
	"context"
	"net/http"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/authz/stats"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/manage"
	"github.com/tollgate-authz/tollgate/tokens/sqlite"
)

// newManagement wires the management API.
func (n *node) newManagement() (*manage.Handler, error) {
	return manage.New(manage.Config{
		Store: n.store, Clients: n.store, Secrets: n.store, APIKeys: n.store, Accounts: n.store, Users: n.store,
		Registry: n.registry, Tokens: n.verifier, Minter: n.minter(), Limits: n.clients,
		Usage: usedByTokens{n}, Purse: purse{n.store}, Reports: reports{n}, Decisions: n.ring,
		Settings: func() manage.Settings { return *n.managed.Load() }, Now: n.now, Observe: n.observeManagement, Version: version,
	})
}

// withManagement serves the paths of the management API and leaves the others to the
// token endpoint.
func withManagement(api *manage.Handler, others http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if api.Owns(r.URL.EscapedPath()) {
			api.ServeHTTP(w, r)
			return
		}
		others.ServeHTTP(w, r)
	})
}

// observeManagement counts and logs requests of the management API. A refusal is one
// line, our own fault an error.
func (n *node) observeManagement(e manage.Event) {
	n.metrics.managed.WithLabelValues(e.Operation, statusClass(e.Status)).Inc()
	attrs := []any{"operation", e.Operation, "status", e.Status, "cause", e.Cause, "client", e.Client, "account", e.Account, "source", e.Source, "took_us", e.Duration.Microseconds()}
	switch {
	case e.Err != nil:
		n.log.Error("management request failed", append(attrs, "error", e.Err)...)
	case e.Status >= http.StatusBadRequest:
		n.log.Info("management request refused", attrs...)
	}
}

func statusClass(status int) string {
	return [...]string{"", "1xx", "2xx", "3xx", "4xx", "5xx"}[min(max(0, status/100), 5)]
}

// purse is the store's money (manage.Purse).
type purse struct{ *sqlite.DB }

// Spent implements manage.Purse.
func (p purse) Spent(ctx context.Context, account string) (spent, reserved quota.Micros, err error) {
	usages, err := p.Ledger().Usage(ctx, []quota.CellID{{Limit: authz.WalletCharge(account, nil).ID}})
	if err != nil {
		return 0, 0, err
	}
	return quota.Micros(usages[0].Spent), quota.Micros(usages[0].Leased), nil
}

// Lines implements manage.Purse.
func (p purse) Lines(ctx context.Context, account string, after *quota.Line, limit int) ([]quota.Line, error) {
	return p.Ledger().Lines(ctx, account, after, limit)
}

// usedByTokens tells what is used of the limits that tokens have of their own
// (manage.Usage).
type usedByTokens struct{ n *node }

// Used implements manage.Usage. The tokens of an account are asked about at once.
func (u usedByTokens) Used(ctx context.Context, list []*tokens.Token) ([]tokens.TokenLimits, error) {
	n, now, used := u.n, u.n.now(), make([]tokens.TokenLimits, len(list))
	charges, owners, records := map[string][]quota.Charge{}, map[string][]int{}, map[string]*tokens.Account{}
	for i, t := range list {
		id := t.Identity()
		account := id.Account()
		records[account] = id.AccountRecord()
		for _, c := range authz.OwnCharges(id) {
			charges[account], owners[account] = append(charges[account], c), append(owners[account], i)
		}
		if own := authz.OwnMinute(id); own != nil {
			var res limiter.Result
			n.limits.Look(now, n.limits.Subject(id.Issuer(), id.TokenID()), []*limiter.Plan{own}, &res)
			for _, s := range res.All() {
				used[i].PerMinute = s.Used()
			}
		}
	}
	for account, of := range charges {
		bill := n.quotas.Bill(quota.BillID{}, account, n.gate.Policy().Zone(records[account]), of)
		details, err := n.quotas.Inspect(ctx, now, bill)
		if err != nil {
			return nil, err
		}
		for k := range details {
			set(&used[owners[account][k]], details[k].Kind, details[k].Used)
		}
	}
	return used, nil
}

// set notes what is used of one limit.
func set(l *tokens.TokenLimits, kind limiter.Kind, used int64) {
	switch kind {
	case limiter.KindPerDay:
		l.PerDay = used
	case limiter.KindTotalRequests:
		l.TotalRequests = used
	case limiter.KindPaidRequests:
		l.PaidRequests = used
	case limiter.KindWalletAmount:
		l.WalletAmount = quota.Micros(used)
	}
}

// reports answers questions about the traffic (manage.Reports).
type reports struct{ n *node }

// Read implements manage.Reports.
func (r reports) Read(ctx context.Context, q *stats.Query) (*stats.Report, error) {
	reader := stats.Reader{Store: r.n.store, Keep: keepStats(r.n.config.Load()), Now: r.n.now}
	return reader.Read(ctx, q)
}
