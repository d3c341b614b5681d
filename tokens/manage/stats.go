package manage

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/tollgate-authz/tollgate/authz/stats"
)

// Reports are where statistics are asked.
type Reports interface {
	// Read answers a question; a *stats.QueryError says what is wrong with it.
	Read(ctx context.Context, q *stats.Query) (*stats.Report, error)
}

type getStatsInput struct {
	From    time.Time `query:"from" doc:"From when on, to the minute below. Left out: a day before to."`
	To      time.Time `query:"to" doc:"Until when, to the minute above. Left out: now."`
	Step    string    `query:"step" enum:"minute,hour,day" doc:"Length of a bucket, of UTC. Left out: the whole time in one."`
	GroupBy []string  `query:"group_by" maxItems:"7" uniqueItems:"true" enum:"domain,api,route,code,client,token,account" doc:"What the buckets are told apart by."`
	Account string    `query:"account" maxLength:"128" doc:"Only that account. Left out: the caller's, or all for those who see all accounts."`
	Domain  string    `query:"domain" maxLength:"256" doc:"Only that domain."`
	API     string    `query:"api" maxLength:"128" doc:"Only that API."`
	Route   string    `query:"route" maxLength:"256" doc:"Only that route."`
	Client  string    `query:"client" maxLength:"128" doc:"Only that client."`
	Token   string    `query:"token" maxLength:"128" doc:"Only that token or API key."`
	Code    string    `query:"code" enum:"allow,R0/400,R1,R3,R4,R5,R6,R7,R0/503" doc:"Only that code."`
}

// report is what the traffic was (row O5).
type report struct {
	From time.Time `json:"from" doc:"From when on was counted."`
	To   time.Time `json:"to" doc:"Until when."`
	stats.Totals
	Buckets        []bucket       `json:"buckets" nullable:"false" doc:"By time, then by group. Those without a request are left out."`
	Addresses      []addressCount `json:"addresses" nullable:"false" doc:"Addresses that the most requests came from, at most 1,000. With a filter there are none."`
	OtherAddresses int64          `json:"other_addresses" doc:"Requests from all others."`
}

// bucket is one part of it.
type bucket struct {
	Start time.Time         `json:"start" doc:"When it begins."`
	Group map[string]string `json:"group" nullable:"false" doc:"What its requests have in common, of group_by." example:"{\"api\":\"contacts\"}"`
	stats.Totals
}

type addressCount struct {
	Address  string `json:"address" doc:"Empty: it is not known."`
	Requests int64  `json:"requests"`
}

type statsAnswer struct{ Body report }

func (a *api) getStats(ctx context.Context, by *caller, in *getStatsInput) (*statsAnswer, error) {
	account, err := by.reach(in.Account)
	if err != nil {
		return nil, err
	}
	q := &stats.Query{From: in.From, To: in.To, Where: map[stats.Dimension]string{}}
	if account != "" {
		q.Account = &account
	}
	if q.To.IsZero() {
		q.To = a.Now()
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-24 * time.Hour)
	}
	if q.Step, err = stats.ParseStep(in.Step); err != nil {
		return nil, err
	}
	for _, name := range in.GroupBy {
		q.GroupBy = append(q.GroupBy, stats.Dimension(name))
	}
	for d, value := range map[stats.Dimension]string{
		stats.ByDomain: in.Domain, stats.ByAPI: in.API, stats.ByRoute: in.Route, stats.ByClient: in.Client, stats.ByToken: in.Token, stats.ByCode: in.Code,
	} {
		if value != "" {
			q.Where[d] = value
		}
	}
	found, err := a.Reports.Read(ctx, q)
	var no *stats.QueryError
	if errors.As(err, &no) {
		return nil, faulty(fault{"query." + strings.ToLower(no.Field), no.Reason})
	}
	if err != nil {
		return nil, err
	}
	return &statsAnswer{newReport(found, in.GroupBy)}, nil
}

func newReport(found *stats.Report, groupBy []string) report {
	r := report{
		From: found.From, To: found.To, Totals: found.Totals, OtherAddresses: found.OtherAddresses,
		Buckets: make([]bucket, 0, len(found.Buckets)), Addresses: make([]addressCount, 0, len(found.Addresses)),
	}
	for _, b := range found.Buckets {
		group := make(map[string]string, len(groupBy))
		for i, name := range groupBy {
			group[name] = b.Groups[i]
		}
		r.Buckets = append(r.Buckets, bucket{b.Start, group, b.Totals})
	}
	for _, one := range found.Addresses {
		text := ""
		if one.Address.IsValid() {
			text = one.Address.String()
		}
		r.Addresses = append(r.Addresses, addressCount{text, one.Requests})
	}
	return r
}
