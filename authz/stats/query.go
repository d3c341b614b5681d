package stats

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Dimension is what requests are told apart by.
type Dimension string

// Dimensions.
const (
	ByAccount Dimension = "account"
	ByDomain  Dimension = "domain"
	ByAPI     Dimension = "api"
	ByRoute   Dimension = "route"
	ByClient  Dimension = "client"
	ByToken   Dimension = "token"
	ByCode    Dimension = "code"
)

// Dimensions are all of them.
var Dimensions = []Dimension{ByAccount, ByDomain, ByAPI, ByRoute, ByClient, ByToken, ByCode}

// of is a series' value.
func (d Dimension) of(account string, s *Series) string {
	switch d {
	case ByAccount:
		return account
	case ByDomain:
		return s.Domain
	case ByAPI:
		return s.API
	case ByRoute:
		return s.Route
	case ByClient:
		return s.Client
	case ByToken:
		return s.Token
	}
	return s.Code
}

// Query is a question. From is rounded down and To up to whole minutes; what is so long
// ago that its minutes are gone, to hours, and then to days (UTC).
type Query struct {
	Account  *string // nil: all; empty: requests of nobody who was identified
	From, To time.Time
	Step     Resolution  // length of a bucket: Minute, Hour or Day, of UTC; 0: all in one
	GroupBy  []Dimension // a bucket for each of their values
	// Where asks for series of these values only.
	Where map[Dimension]string
}

// Bounds of an answer.
const (
	MaxSteps   = 1500
	MaxBuckets = 100_000
)

// QueryError is a question that cannot be answered as it stands.
type QueryError struct {
	Field  string // from, to, step, group_by, or a dimension
	Reason string // what is wrong, and what would be right
}

func (e *QueryError) Error() string { return e.Field + ": " + e.Reason }

func wrong(field, format string, args ...any) error {
	return &QueryError{field, fmt.Sprintf(format, args...)}
}

// Keep is how long rows are kept. Each is at least as long as the one before.
type Keep struct{ Minutes, Hours, Days time.Duration }

// Time between the one at which rows of a resolution are no longer asked for and the
// one at which they are deleted: a reader, whose clock may be another one, does not
// meet a half of them.
const keepLonger = time.Hour

// Of is how long rows of a resolution are kept.
func (k Keep) Of(r Resolution) time.Duration {
	switch r {
	case Minute:
		return k.Minutes
	case Hour:
		return k.Hours
	}
	return k.Days
}

// has reports whether rows are there that begin at a time.
func (k Keep) has(r Resolution, start int64, now time.Time) bool {
	return start >= now.Add(-k.Of(r)-keepLonger).Unix()
}

// plan is what a question is answered from.
type plan struct {
	from, to int64
	spans    []Span
}

func (q *Query) plan(k Keep, now time.Time) (p plan, err error) {
	if err := q.check(); err != nil {
		return p, err
	}
	p.from, p.to = Minute.start(q.From.Unix()), ceil(Minute, q.To)
	for _, r := range []Resolution{Minute, Hour} {
		if q.Step == r && !k.has(r, p.from, now) {
			return p, wrong("step", "what was counted by %s is kept for %s, and from is before that; ask by %s, or from %s on",
				r, k.Of(r), r+1, ceilUnix(Minute, now.Add(-k.Of(r)).Unix()).Format(time.RFC3339))
		}
		if next := r + 1; !k.has(r, p.from, now) {
			p.from = next.start(p.from)
		}
		if next := r + 1; !k.has(r, next.start(p.to), now) {
			p.to = ceilUnix(next, p.to).Unix()
		}
	}
	coarsest := Day
	if q.Step != 0 {
		coarsest = q.Step
		length := int64(q.Step.Length() / time.Second)
		if n := (p.to - q.Step.start(p.from) + length - 1) / length; n > MaxSteps {
			return p, wrong("step", "the time has %d steps of a %s, and at most %d are answered; ask for less time, or in longer steps", n, q.Step, MaxSteps)
		}
	}
	p.spans = append(split(p.from, p.to, coarsest), Span{Added, p.from, p.to})
	return p, nil
}

func (q *Query) check() error {
	switch {
	case q.From.IsZero() || q.To.IsZero():
		return wrong("from", "from and to are needed")
	case !q.From.Before(q.To):
		return wrong("from", "from (%s) must be before to (%s)", q.From.UTC().Format(time.RFC3339), q.To.UTC().Format(time.RFC3339))
	case q.Step > Day:
		return wrong("step", "minute, hour or day is needed")
	}
	for i, d := range q.GroupBy {
		if !slices.Contains(Dimensions, d) {
			return wrong("group_by", "%q is unknown; %s are known", d, known())
		}
		if slices.Contains(q.GroupBy[:i], d) {
			return wrong("group_by", "%s is there twice; write it once", d)
		}
	}
	for d := range q.Where {
		if !slices.Contains(Dimensions, d) || d == ByAccount {
			return wrong(string(d), "nothing can be asked for by it; %s are known", known())
		}
	}
	return nil
}

func known() string {
	names := make([]string, len(Dimensions))
	for i, d := range Dimensions {
		names[i] = string(d)
	}
	return strings.Join(names, ", ")
}

// split takes as much of a time as it can from the coarsest rows, and its edges from
// finer ones.
func split(from, to int64, r Resolution) []Span {
	if from >= to {
		return nil
	}
	if r == Minute {
		return []Span{{r, from, to}}
	}
	first, last := ceilUnix(r, from).Unix(), r.start(to)
	if first >= last {
		return split(from, to, r-1)
	}
	return append(append(split(from, first, r-1), Span{r, first, last}), split(last, to, r-1)...)
}

// ceil is the first start of a row not before a time.
func ceil(r Resolution, t time.Time) int64 {
	unix := t.Unix()
	if t.Nanosecond() > 0 {
		unix++
	}
	return ceilUnix(r, unix).Unix()
}

func ceilUnix(r Resolution, unix int64) time.Time {
	start := r.start(unix)
	if start < unix {
		start += int64(r.Length() / time.Second)
	}
	return time.Unix(start, 0).UTC()
}

// ParseStep reads a step: minute, hour or day; empty: none.
func ParseStep(text string) (Resolution, error) {
	switch text {
	case "":
		return 0, nil
	case "minute":
		return Minute, nil
	case "hour":
		return Hour, nil
	case "day":
		return Day, nil
	}
	return 0, wrong("step", "%q is unknown; minute, hour or day is needed, or nothing for the whole time in one", text)
}

// ParseTime reads a time as people write it; without a zone it is of UTC. A duration,
// such as 24h, is so long ago.
func ParseTime(field, text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{
		time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly,
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, wrong(field, "%q is no time; write one such as 2026-11-23T10:17:45Z or 2026-11-23, or a duration such as 24h for so long ago", text)
}

// ParseFilters reads DIMENSION=VALUE.
func ParseFilters(texts []string) (map[Dimension]string, error) {
	where := map[Dimension]string{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		d := Dimension(name)
		switch _, twice := where[d]; {
		case !ok || d == ByAccount || !slices.Contains(Dimensions, d):
			return nil, wrong("where", "%q: DIMENSION=VALUE is needed, of domain, api, route, client, token or code", text)
		case twice:
			return nil, wrong("where", "%s is there twice; write it once", d)
		}
		where[d] = value
	}
	return where, nil
}
