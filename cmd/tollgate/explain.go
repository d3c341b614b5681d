package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/net/http/httpguts"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/authz/extauthz"
	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
)

// question is a request that someone wants explained.
type question struct {
	Method   string   `json:"method"`
	URL      string   `json:"url"`
	Headers  []string `json:"headers,omitempty"` // "Name: value"
	SourceIP string   `json:"source_ip,omitempty"`
}

// request turns the description into what Envoy would have told the gate.
func (q *question) request(keyHeaders []string) (authz.Request, error) {
	var req authz.Request
	// The bytes as they were written: a parser would refuse or hide what the path
	// step is for.
	scheme, rest, _ := strings.Cut(q.URL, "://")
	rest, _, _ = strings.Cut(rest, "#") // no client sends it
	host, path := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host, path = rest[:i], "/"+strings.TrimPrefix(rest[i:], "/")
	}
	u, err := url.Parse(scheme + "://" + host)
	if err != nil || u.Scheme == "" || u.Host != host || host == "" {
		return req, fmt.Errorf("--url %q: a whole URL such as https://api.example.com/v1/contacts is needed", q.URL)
	}
	req = authz.Request{Method: q.Method, Host: host, Path: path}
	if q.SourceIP != "" {
		if req.Peer, err = netip.ParseAddr(q.SourceIP); err != nil {
			return req, fmt.Errorf("--source-ip %q is no IP address", q.SourceIP)
		}
	}
	for _, h := range q.Headers {
		name, value, ok := strings.Cut(h, ":")
		if name = strings.TrimSpace(name); !ok || !httpguts.ValidHeaderFieldName(name) {
			return req, errors.New("--header needs the form 'Name: value'")
		}
		extauthz.SetHeader(&req, strings.ToLower(name), strings.TrimSpace(value), keyHeaders)
	}
	return req, nil
}

// explanation is what became of it.
type explanation struct {
	Allowed  bool              `json:"allowed"`
	Code     string            `json:"code,omitempty"`
	Steps    []explainedStep   `json:"steps"`
	Route    string            `json:"route,omitempty"`  // pattern
	Source   string            `json:"source,omitempty"` // file:line:column of the route
	Limits   []explainedLimit  `json:"limits"`
	Counters string            `json:"counters"` // "live", or "unknown" when no serve runs
	Status   int               `json:"status"`
	Headers  map[string]string `json:"headers"` // to the caller on a refusal, to the upstream otherwise
	Body     string            `json:"body,omitempty"`
}

type explainedStep struct {
	Step   string `json:"step"`
	Saw    string `json:"saw"`
	Result string `json:"result"` // "ok", or why the request is refused
}

type explainedLimit struct {
	Limit string `json:"limit"`
	Left  any    `json:"left"` // a number, or "unknown"
	Of    any    `json:"of"`   // decimal text where it is money, as Left is
}

func explain(ctx context.Context, g *authz.Gate, q *question, live bool) (*explanation, error) {
	req, err := q.request(g.KeyHeaders())
	if err != nil {
		return nil, err
	}
	d, steps := g.Explain(ctx, req)
	e := &explanation{Allowed: d.Allowed, Counters: "live", Status: http.StatusOK, Limits: []explainedLimit{}}
	if !live {
		e.Counters = "unknown"
	}
	for _, s := range steps {
		step := explainedStep{Step: s.Name, Saw: s.Saw, Result: "ok"}
		if s.Err != nil {
			step.Result = s.Err.Error()
		}
		if s.Name == "limits" && !live {
			step.Saw = "plan " + d.Identity.Plan() + ", left: unknown, no serve runs"
		}
		e.Steps = append(e.Steps, step)
	}
	if d.Route != nil {
		e.Route, e.Source = d.Route.Pattern, d.Route.Source
	}
	for _, s := range d.Limits.All() {
		limit := explainedLimit{Limit: authz.LimitName(&s), Left: amountOf(s.Kind, s.Remaining), Of: amountOf(s.Kind, s.Limit)}
		if !live {
			limit.Left = "unknown"
		}
		e.Limits = append(e.Limits, limit)
	}
	if e.Headers, err = extauthz.Answer(&req, &d); err != nil {
		return nil, err
	}
	if reason := d.Refusal(); reason != nil {
		e.Code = reason.Code
		if !d.Passed {
			e.Status, e.Body = reason.Status, reason.Body
		}
	}
	return e, nil
}

func (a *app) explainCommand() *cobra.Command {
	var q question
	c := a.outputFlag(&cobra.Command{
		Use: "explain --url URL", Short: "Show every step of the decision on a request; spends nothing", Args: cobra.NoArgs,
		Long: `Show every step of the decision on a request, with the gate's own code. It spends
nothing. With a serve running on the same store its live counters are shown.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.URL == "" {
				return usageError{errors.New("--url is needed, such as https://api.example.com/v1/contacts")}
			}
			if _, err := q.request(nil); err != nil {
				return usageError{err}
			}
			e, err := a.askExplanation(cmd.Context(), &q)
			if err != nil {
				return err
			}
			if a.wantJSON() {
				return a.printJSON(e)
			}
			a.printExplanation(e)
			return nil
		},
	})
	c.Flags().StringVar(&q.Method, "method", "GET", "`METHOD` of the request")
	c.Flags().StringVar(&q.URL, "url", "", "`URL` of the request")
	c.Flags().StringArrayVar(&q.Headers, "header", nil, "header of the request, `'Name: value'`; several")
	c.Flags().StringVar(&q.SourceIP, "source-ip", "127.0.0.1", "`ADDRESS` that the request comes from")
	return c
}

// askExplanation asks a running serve, or judges with a gate of its own when
// none runs.
func (a *app) askExplanation(ctx context.Context, q *question) (*explanation, error) {
	c, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	return explaining.ask(ctx, c, q)
}

var explaining = inquiry[question, *explanation]{"/explain", func(ctx context.Context, n *node, q *question, live bool) (*explanation, error) {
	if !live {
		n.awaitKeys(ctx)
	}
	return explain(ctx, n.gate, q, live)
}}

// withNode runs f with a node that serves nobody: it judges as a serve would, without
// live counters.
func withNode(ctx context.Context, c *config.Config, f func(*node) error) error {
	if errors.Is(requireStore(c), errNoStore) {
		// Tokens of other issuers need none.
		c.Store = config.Store{Memory: true}
	}
	n, err := newNode(ctx, c, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return err
	}
	defer n.close()
	fetching, stop := context.WithCancel(ctx)
	defer n.issuers.wait()
	defer stop()
	if err := n.trust(fetching, c); err != nil {
		return err
	}
	return f(n)
}

// awaitKeys gives remote issuers a moment to be fetched.
func (n *node) awaitKeys(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for len(n.issuers.notReady()) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (a *app) printExplanation(e *explanation) {
	for _, s := range e.Steps {
		mark := "ok    "
		if s.Result != "ok" {
			mark = "REFUSE"
		}
		a.printf("%-10s  %s  %s\n", s.Step, mark, s.Saw)
		if s.Result != "ok" {
			a.printf("%-10s          %s\n", "", s.Result)
		}
	}
	if e.Route != "" {
		a.printf("\nroute   %s   (%s)\n", e.Route, e.Source)
	}
	for _, l := range e.Limits {
		a.printf("limit   %s   left: %v of %v\n", l.Limit, l.Left, l.Of)
	}
	if e.Allowed {
		a.printf("\nallowed; the upstream sees\n")
	} else {
		a.printf("\nrefused: %d %s; the caller sees\n", e.Status, e.Code)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		if value := e.Headers[name]; value != "" {
			a.printf("  %s: %s\n", name, value)
		} else {
			a.printf("  %s (removed)\n", name)
		}
	}
	if e.Body != "" {
		a.printf("\n  %s\n", e.Body)
	}
}

// adminSocket is where a running serve answers commands.
func adminSocket(c *config.Config) string { return c.Store.SQLite + ".sock" }

// adminHandler answers the commands that need live counters.
func (n *node) adminHandler() http.Handler {
	mux := http.NewServeMux()
	explaining.handle(mux, n)
	inspecting.handle(mux, n)
	using.handle(mux, n)
	listingTokens.handle(mux, n)
	listingLockouts.handle(mux, n)
	lifting.handle(mux, n)
	following.handle(mux, n)
	n.handleDecisions(mux)
	return mux
}

// answerCommand answers one kind of question of a command, which may have changed the
// store a moment ago.
func answerCommand[Q any](n *node, answer func(context.Context, *Q) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := new(Q)
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := n.registry.Refresh(r.Context(), n.now()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		a, err := answer(r.Context(), q)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(a)
	})
}

// askServe asks the serve behind the socket. A *net.OpError means that none is.
func askServe(ctx context.Context, socket, path string, question, answer any) error {
	client := serveClient(socket)
	client.Timeout = 5 * time.Second
	defer client.CloseIdleConnections()
	resp, err := callServe(ctx, client, path, question)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	dec := json.NewDecoder(resp.Body)
	dec.UseNumber() // a number of any size is printed as it is
	return dec.Decode(answer)
}

// serveClient speaks to whoever listens on the socket.
func serveClient(socket string) *http.Client {
	var d net.Dialer
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) },
	}}
}

// serveError is what a running serve says against a question.
type serveError string

func (e serveError) Error() string { return "the running serve answered: " + string(e) }

// callServe sends a question and returns the beginning of an answer.
func callServe(ctx context.Context, client *http.Client, path string, question any) (*http.Response, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://serve"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil || resp.StatusCode == http.StatusOK {
		return resp, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	return nil, serveError(strings.TrimSpace(string(text)))
}
