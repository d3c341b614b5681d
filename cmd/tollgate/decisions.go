package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/authz/decisions"
	"github.com/tollgate-authz/tollgate/authz/deny"
)

// decisionsQuestion asks for the latest decisions, or for those after one.
type decisionsQuestion struct {
	decisions.Filter
	Limit int    `json:"limit"`
	After uint64 `json:"after,omitempty"` // follow: go on behind this one
}

const (
	latestDecisions    = "/decisions"
	followingDecisions = "/decisions/follow"
)

var errNoDecisions = errors.New("no serve runs on this store: decisions live in the memory of the running serve, and end with it")

func (a *app) decisionsCommand() *cobra.Command {
	var q decisionsQuestion
	var follow bool
	c := a.outputFlag(&cobra.Command{
		Use: "decisions", Short: "Show the latest decisions of the running serve", Args: cobra.NoArgs,
		Long: fmt.Sprintf(`Show the latest decisions of the running serve, the newest last. It remembers %d
of them, in memory. Never shown: tokens, secrets and queries.

With --follow the command goes on with what is decided, until it is interrupted; what
it was too slow for is counted on standard error. A serve that is started anew is
waited for.`, decisions.Size),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := q.check(); err != nil {
				return usageError{err}
			}
			c, err := a.recordsConfig()
			if err != nil {
				return err
			}
			if follow {
				return a.followDecisions(cmd.Context(), adminSocket(c), &q)
			}
			var latest decisions.Batch
			if err := askServe(cmd.Context(), adminSocket(c), latestDecisions, &q, &latest); err != nil {
				return noDecisions(err)
			}
			return a.printDecisions(&latest, true)
		},
	})
	c.Flags().BoolVar(&follow, "follow", false, "go on with what is decided from now on")
	c.Flags().StringVar(&q.Account, "account", "", "only those of this `ACCOUNT`")
	c.Flags().StringVar(&q.Client, "client", "", "only those of the client of this `ID`")
	c.Flags().StringVar(&q.Token, "token", "", "only those of the token or API key of this `ID`")
	c.Flags().StringSliceVar(&q.Codes, "code", nil, "only those of these `CODES`: allow, R0 and so on")
	c.Flags().StringVar(&q.API, "api", "", "only those of this `API`")
	c.Flags().StringVar(&q.Route, "route", "", "only those of this `ROUTE`: its name, or its pattern where it has none")
	c.Flags().IntVar(&q.Limit, "limit", 20, "at most `N` decisions of the past")
	return c
}

// noDecisions says what it means that nobody listens.
func noDecisions(err error) error {
	if errors.As(err, new(*net.OpError)) {
		return errNoDecisions
	}
	return err
}

func (q *decisionsQuestion) check() error {
	if q.Limit < 0 || q.Limit > decisions.Size {
		return fmt.Errorf("--limit %d: from 0 to %d", q.Limit, decisions.Size)
	}
	for _, code := range q.Codes {
		known := code == "allow" || slices.ContainsFunc(deny.Reasons, func(r *deny.Reason) bool { return r.Code == code })
		if !known {
			return fmt.Errorf("--code %q is unknown: allow, or a code such as R6", code)
		}
	}
	return nil
}

// handleDecisions answers the command.
func (n *node) handleDecisions(mux *http.ServeMux) {
	mux.Handle("POST "+latestDecisions, answerCommand(n, func(_ context.Context, q *decisionsQuestion) (any, error) {
		return n.ring.Tail(&q.Filter, q.Limit), nil
	}))
	mux.HandleFunc("POST "+followingDecisions, n.streamDecisions)
}

// followerPatience is how long a follower may take to read a batch.
const followerPatience = 10 * time.Second

// streamDecisions writes a batch a line, until the follower goes or the ring is closed.
func (n *node) streamDecisions(w http.ResponseWriter, r *http.Request) {
	var q decisionsQuestion
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	connection, out := http.NewResponseController(w), json.NewEncoder(w)
	emit := func(b decisions.Batch) error {
		_ = connection.SetWriteDeadline(time.Now().Add(followerPatience))
		if err := out.Encode(b); err != nil {
			return err
		}
		return connection.Flush()
	}
	if q.After == 0 {
		b := n.ring.Tail(&q.Filter, q.Limit)
		if q.After = b.Next; emit(b) != nil {
			return
		}
	}
	_ = n.ring.Follow(r.Context(), q.After, &q.Filter, emit)
}

// comeBack is how often a serve that has gone is asked for again.
const comeBack = 500 * time.Millisecond

// followDecisions prints decisions until ctx ends, which is no fault.
func (a *app) followDecisions(ctx context.Context, socket string, q *decisionsQuestion) error {
	client := serveClient(socket)
	defer client.CloseIdleConnections()
	tick := time.NewTicker(comeBack)
	defer tick.Stop()
	begun, away := false, false
	for {
		err := a.streamedDecisions(ctx, client, q, func(b *decisions.Batch) error {
			if away {
				a.complain("tollgate: serve is back; what was decided meanwhile is shown if it remembers it\n")
			}
			if b.Missed > 0 {
				a.complain("tollgate: %d decisions came too fast and were missed\n", b.Missed)
			}
			err := a.printDecisions(b, !begun)
			begun, away, q.After = true, false, b.Next
			return err
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case !begun, errors.As(err, new(serveError)):
			return noDecisions(err)
		case !away:
			away = true
			a.complain("tollgate: serve has gone; waiting for it\n")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// streamedDecisions gives the batches of one connection to print.
func (a *app) streamedDecisions(ctx context.Context, client *http.Client, q *decisionsQuestion, print func(*decisions.Batch) error) error {
	resp, err := callServe(ctx, client, followingDecisions, q)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	for in := json.NewDecoder(resp.Body); ; {
		var b decisions.Batch
		if err := in.Decode(&b); err != nil {
			return err
		}
		if err := print(&b); err != nil {
			return err
		}
	}
}

// complain writes to standard error.
func (a *app) complain(format string, args ...any) { _, _ = fmt.Fprintf(a.err, format, args...) }

// decisionLine is a row of the text output, whose columns are as wide as what follows
// later needs: a stream cannot be measured.
const decisionLine = "%-24s  %-5s  %-6s  %-7s  %-44s  %-22s  %-20s  %-10s  %s\n"

// printDecisions writes a line for each decision.
func (a *app) printDecisions(b *decisions.Batch, heading bool) error {
	if a.wantJSON() {
		out := json.NewEncoder(a.out)
		out.SetEscapeHTML(false)
		for i := range b.Records {
			if err := out.Encode(&b.Records[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if heading {
		a.printf(decisionLine, "TIME", "CODE", "STATUS", "METHOD", "HOST AND PATH", "CLIENT", "ROUTE", "STEP", "CAUSE")
	}
	for i := range b.Records {
		a.printf(decisionLine, decisionRow(&b.Records[i])...)
	}
	return nil
}

func decisionRow(r *decisions.Record) (row []any) {
	cause := cmp.Or(r.Cause, "-")
	if r.Passed {
		cause = "(not enforced) " + cause
	}
	for _, text := range []string{
		r.Time.Format("2006-01-02T15:04:05.000Z07:00"), r.Code, fmt.Sprint(r.Status), r.Method, r.Host + r.Path, r.Client, r.Route, r.Step, cause,
	} {
		row = append(row, printable(cmp.Or(text, "-")))
	}
	return row
}

// printable keeps what strangers have sent from steering the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
