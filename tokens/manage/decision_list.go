package manage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/tollgate-authz/tollgate/authz/decisions"
	"github.com/tollgate-authz/tollgate/tokens"
)

type listDecisionsInput struct {
	Listing
	Account     string   `query:"account" maxLength:"128" doc:"Only those of that account."`
	ClientID    string   `query:"client_id" maxLength:"128" doc:"Only those of that client."`
	TokenID     string   `query:"token_id" maxLength:"128" doc:"Only those of that token or API key."`
	Codes       []string `query:"code" maxItems:"8" enum:"allow,R0,R1,R3,R4,R5,R6,R7" doc:"Only those with one of these codes."`
	API         string   `query:"api" maxLength:"128" doc:"Only those of that API."`
	Route       string   `query:"route" maxLength:"256" doc:"Only those of that route."`
	Host        string   `query:"host" maxLength:"256" doc:"Only those for that host."`
	Follow      string   `query:"follow" enum:"0,1" doc:"1: what is decided from now on is streamed, as server-sent events."`
	LastEventID string   `header:"Last-Event-ID" maxLength:"32" pattern:"^[0-9]+$" doc:"Where a stream goes on that was cut."`

	before uint64
}

// Resolve reads the cursor, which is the sequence number of the last decision shown.
func (in *listDecisionsInput) Resolve(ctx huma.Context) []error {
	faults := in.Listing.Resolve(ctx)
	if in.Cursor == "" || faults != nil {
		return faults
	}
	var err error
	if in.before, err = strconv.ParseUint(in.after.ID, 10, 64); err != nil || in.before == 0 || !in.after.At.IsZero() {
		return []error{wrong("query.cursor", badCursor)}
	}
	return nil
}

// decisionsAnswer is a page, or a stream.
type decisionsAnswer struct{ Body func(huma.Context) }

func (a *api) listDecisions(_ context.Context, by *caller, in *listDecisionsInput) (*decisionsAnswer, error) {
	account, err := by.reach(in.Account)
	if err != nil {
		return nil, err
	}
	f := &decisions.Filter{Account: account, Client: in.ClientID, Token: in.TokenID, Codes: in.Codes, API: in.API, Route: in.Route, Host: in.Host}
	if in.Follow == "1" {
		return a.followDecisions(in, f)
	}
	records := a.Decisions.Latest(f, in.before, in.Limit+1)
	answer := newPage(records, &in.Listing, by.shown, func(r decisions.Record) tokens.Position {
		return tokens.Position{ID: strconv.FormatUint(r.Seq, 10)}
	})
	return &decisionsAnswer{func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", "application/json")
		ctx.SetStatus(http.StatusOK)
		_ = json.NewEncoder(ctx.BodyWriter()).Encode(answer.Body) // the caller has gone: nobody is left to tell
	}}, nil
}

// shown is a decision as a caller may see it: what went wrong here is for those who run
// the service.
func (c *caller) shown(r decisions.Record) decisions.Record {
	if r.Status == http.StatusServiceUnavailable && !c.everywhere {
		r.Cause = ""
	}
	return r
}

// mostFollowers bounds how many streams there are at once.
const mostFollowers = 64

// followDecisions streams. A stream that is cut goes on where it was, as far back as the
// ring reaches; what a slow reader has missed it is told the number of. It ends with the
// token of who reads.
func (a *api) followDecisions(in *listDecisionsInput, f *decisions.Filter) (*decisionsAnswer, error) {
	var after uint64
	if in.LastEventID != "" {
		var err error
		if after, err = strconv.ParseUint(in.LastEventID, 10, 64); err != nil {
			return nil, faulty(fault{"header.Last-Event-ID", "is no id of this stream"})
		}
	} else {
		after = a.Decisions.Tail(f, 0).Next
	}
	if a.followers.Add(1) > mostFollowers {
		a.followers.Add(-1)
		return nil, unavailable(errors.New("too many streams of decisions are open"))
	}
	return &decisionsAnswer{func(ctx huma.Context) {
		defer a.followers.Add(-1)
		ctx.SetHeader("Content-Type", "text/event-stream")
		ctx.SetStatus(http.StatusOK)
		r, w := humago.Unwrap(ctx)
		_ = a.Decisions.Follow(ctx.Context(), after, f, func(b decisions.Batch) error {
			by, err := a.mayFollow(r, in, f)
			if err != nil {
				return err
			}
			return a.emit(w, by, &b)
		})
	}}, nil
}

// mayFollow asks anew who reads, before he is shown more: a stream can outlive its token,
// and what its client was allowed when it began.
func (a *api) mayFollow(r *http.Request, in *listDecisionsInput, f *decisions.Filter) (*caller, error) {
	by, err := a.authenticate(r, &Event{})
	if err != nil {
		return nil, err
	}
	if err := by.require(decisionsRead); err != nil {
		return nil, err
	}
	if account, err := by.reach(in.Account); err != nil || account != f.Account {
		return nil, notFound("account")
	}
	return by, nil
}

// streamWrite is how long a reader may take for what is written to it.
const streamWrite = 10 * time.Second

// emit writes what was decided as events; an empty batch is a sign of life.
func (a *api) emit(w http.ResponseWriter, by *caller, b *decisions.Batch) error {
	control := http.NewResponseController(w)
	if err := control.SetWriteDeadline(a.Now().Add(streamWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if b.Missed > 0 {
		if _, err := fmt.Fprintf(w, "event: missed\ndata: {\"missed\":%d}\n\n", b.Missed); err != nil {
			return err
		}
	}
	for _, r := range b.Records {
		text, err := json.Marshal(by.shown(r))
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "id: %d\nevent: decision\ndata: %s\n\n", r.Seq, text); err != nil {
			return err
		}
	}
	if len(b.Records) == 0 {
		if _, err := fmt.Fprint(w, ": nothing new\n\n"); err != nil {
			return err
		}
	}
	return control.Flush()
}
