package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/authz/stats"
	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/tokens/sqlite"
)

// statsFlags are a question as it is typed.
type statsFlags struct {
	account, from, to, step string
	groupBy, where          []string
}

func (a *app) statsCommand() *cobra.Command {
	var f statsFlags
	c := a.outputFlag(&cobra.Command{
		Use: "stats", Short: "Show how many requests came, what became of them, and from where", Args: cobra.NoArgs,
		Long: `Show how many requests came, what became of them, what they paid and from which
addresses they came. What a running serve has counted in the last second may be missing.

Times are rounded to whole minutes, from down and to up; where those are no longer kept
(stats.keep_minutes), to hours, then to days of UTC.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now()
			q, err := f.query(cmd.Flags().Changed("account"), now)
			if err != nil {
				return usageError{err}
			}
			return a.withStore(cmd.Context(), func(c *config.Config, _ secrets, db *sqlite.DB) error {
				reader := stats.Reader{Store: db, Keep: keepStats(c), Now: func() time.Time { return now }}
				report, err := reader.Read(cmd.Context(), q)
				if errors.As(err, new(*stats.QueryError)) {
					return usageError{err}
				}
				if err != nil {
					return err
				}
				if a.wantJSON() {
					return a.printJSON(newStatsView(q, report))
				}
				return a.printStats(q, report, c.Accounts.Currency)
			})
		},
	})
	flags := c.Flags()
	flags.StringVar(&f.account, "account", "", "`ACCOUNT`, its name; \"\": requests of nobody who was identified (default: all)")
	flags.StringVar(&f.from, "from", "24h", "`TIME`, such as 2026-11-23T10:17:45Z or 2026-11-23, or how long ago")
	flags.StringVar(&f.to, "to", "0s", "`TIME` likewise")
	flags.StringVar(&f.step, "step", "", "`STEP` in which to count: minute, hour or day (default: the whole time in one)")
	flags.StringSliceVar(&f.groupBy, "group-by", []string{string(stats.ByAPI)}, "`DIMENSIONS`: account, domain, api, route, client, token, code; \"\" for none")
	flags.StringArrayVar(&f.where, "where", nil, "only requests with this `DIMENSION=VALUE`; may be repeated")
	return c
}

func (f *statsFlags) query(ofAccount bool, now time.Time) (q *stats.Query, err error) {
	q = &stats.Query{}
	if ofAccount {
		q.Account = &f.account
	}
	if q.From, err = stats.ParseTime("from", f.from, now); err != nil {
		return nil, err
	}
	if q.To, err = stats.ParseTime("to", f.to, now); err != nil {
		return nil, err
	}
	if q.Step, err = stats.ParseStep(f.step); err != nil {
		return nil, err
	}
	if q.Where, err = stats.ParseFilters(f.where); err != nil {
		return nil, err
	}
	for _, name := range f.groupBy {
		if name != "" {
			q.GroupBy = append(q.GroupBy, stats.Dimension(name))
		}
	}
	return q, nil
}

// statsView is a report whose groups have names.
type statsView struct {
	From string `json:"from"`
	To   string `json:"to"`
	stats.Totals
	Buckets        []bucketView         `json:"buckets"`
	Addresses      []stats.AddressCount `json:"addresses"`
	OtherAddresses int64                `json:"other_addresses"`
}

type bucketView struct {
	Start string                     `json:"start"`
	Group map[stats.Dimension]string `json:"group"`
	stats.Totals
}

func newStatsView(q *stats.Query, r *stats.Report) *statsView {
	v := &statsView{From: stamp(r.From), To: stamp(r.To), Totals: r.Totals, Buckets: []bucketView{}, Addresses: r.Addresses, OtherAddresses: r.OtherAddresses}
	for _, b := range r.Buckets {
		group := map[stats.Dimension]string{}
		for i, d := range q.GroupBy {
			group[d] = b.Groups[i]
		}
		v.Buckets = append(v.Buckets, bucketView{stamp(b.Start), group, b.Totals})
	}
	return v
}

// shownAddresses is how many stand in the text.
const shownAddresses = 10

func (a *app) printStats(q *stats.Query, r *stats.Report, currency string) error {
	a.printf("%s to %s\nrequests    %d: %d allowed, %d refused%s\npaid calls  %d: %s %s\nerrors      %d\n", stamp(r.From), stamp(r.To),
		r.Requests, r.Allowed, r.Requests-r.Allowed, byCode(r.Refused), r.PaidCalls, r.PaidAmount, currency, r.Errors)
	if len(r.Addresses) > 0 {
		a.printf("addresses   %s\n", topOf(r))
	}
	a.printf("\n")
	columns := []string{"START"}
	for _, d := range q.GroupBy {
		columns = append(columns, strings.ToUpper(string(d)))
	}
	return table[stats.Bucket]{strings.Join(append(columns, "REQUESTS", "ALLOWED", "REFUSED", "PAID", "AMOUNT", "ERRORS"), "\t"), func(b stats.Bucket) []string {
		row := []string{stamp(b.Start)}
		for _, group := range b.Groups {
			row = append(row, cmp.Or(group, "-"))
		}
		for _, n := range []int64{b.Requests, b.Allowed, b.Requests - b.Allowed, b.PaidCalls} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		return append(row, b.PaidAmount.String(), strconv.FormatInt(b.Errors, 10))
	}}.print(a, r.Buckets)
}

func byCode(refused map[string]int64) (text string) {
	for i, code := range slices.Sorted(maps.Keys(refused)) {
		text += fmt.Sprintf("%s%s %d", [...]string{" (", ", "}[min(i, 1)], code, refused[code])
	}
	if text != "" {
		text += ")"
	}
	return text
}

func topOf(r *stats.Report) string {
	var list []string
	others := r.OtherAddresses
	for i, address := range r.Addresses {
		switch name := "unknown"; {
		case i >= shownAddresses:
			others += address.Requests
		default:
			if address.Address.IsValid() {
				name = address.Address.String()
			}
			list = append(list, fmt.Sprintf("%s %d", name, address.Requests))
		}
	}
	if others > 0 {
		list = append(list, fmt.Sprintf("others %d", others))
	}
	return strings.Join(list, ", ")
}
