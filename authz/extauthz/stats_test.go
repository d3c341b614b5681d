package extauthz

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/authz/deny"
	"github.com/tollgate-authz/tollgate/authz/stats"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/limiter/quota/ledgertest"
	"github.com/tollgate-authz/tollgate/tokens"
)

// flushed keeps what a book says.
type flushed struct{ rows []stats.Row }

func (f *flushed) AddStats(_ context.Context, b *stats.Batch) error {
	f.rows = append(f.rows, b.Rows...)
	return nil
}

func (f *flushed) ReadStats(_ context.Context, s *stats.Selection, each func(*stats.Row) error) error {
	for i := range f.rows {
		if err := each(&f.rows[i]); err != nil {
			return err
		}
	}
	return nil
}

func newStatsBook(t testing.TB, store stats.Adder, now func() time.Time) *stats.Book {
	t.Helper()
	book, err := stats.NewBook(stats.Config{Store: store, Random: rand.Reader, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return book
}

// TestO5_EveryDecisionIsCounted under what it was about.
func TestO5_EveryDecisionIsCounted(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var store flushed
	book := newStatsBook(t, &store, func() time.Time { return now.Add(time.Hour) })
	api := &authz.API{Name: "contacts"}
	priced := &authz.Route{Name: "contacts.get", Pattern: "GET /v1/{id}", Price: 20_000, API: api}
	free := &authz.Route{Pattern: "GET /free", API: api}
	trust := &tokens.Trust{Issuer: "https://idp.example", Account: "acme", Environment: tokens.Production}
	id := &tokens.Identity{Token: &tokens.Token{Trust: trust, ID: "jti", ClientID: "client"}}
	sandbox := &tokens.Identity{Token: &tokens.Token{Trust: &tokens.Trust{Account: "acme", Environment: tokens.Sandbox}, ID: "tried", ClientID: "client"}}
	source := netip.MustParseAddr("203.0.113.7")
	for _, d := range []authz.Decision{
		{At: now, Allowed: true, Identity: id, Route: priced, Domain: "*.example.com", Source: source},
		{At: now, Allowed: true, Identity: sandbox, Route: priced, Domain: "*.example.com", Source: source},
		{At: now, Allowed: true, Identity: id, Route: free, Domain: "*.example.com", Source: source},
		{At: now, Allowed: true, Route: free, Domain: "*", Source: source}, // auth: none
		{At: now, Reason: deny.RateLimited, Identity: id, Route: priced, Domain: "*.example.com", Source: source, Passed: true},
		{At: now, Reason: deny.Internal, Identity: id, Route: priced, Domain: "*.example.com", Source: source},
		{At: now, Reason: deny.BadRequest, Source: source},
		{Step: "read", Reason: deny.Internal},
		{At: now}, // without a reason it is our own fault
	} {
		Stats{book}.Observe(&authz.Request{Host: "shares memory"}, &d, time.Second)
	}
	if err := book.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	reader := stats.Reader{Store: &store, Now: func() time.Time { return now }}
	r, err := reader.Read(t.Context(), &stats.Query{From: now, To: now.Add(2 * time.Hour), Step: stats.Hour, GroupBy: stats.Dimensions})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range r.Buckets {
		got = append(got, fmt.Sprint(b.Start.Hour(), b.Groups, b.Requests, b.PaidCalls, b.PaidAmount))
	}
	want := []string{
		"12 [ * contacts GET /free   allow] 1 0 0.00",
		"12 [      R0/400] 1 0 0.00",
		"12 [      R0/503] 1 0 0.00",
		"12 [acme *.example.com contacts GET /free client jti allow] 1 0 0.00",
		"12 [acme *.example.com contacts contacts.get client jti R0/503] 1 0 0.00",
		"12 [acme *.example.com contacts contacts.get client jti R3] 1 0 0.00",
		"12 [acme *.example.com contacts contacts.get client jti allow] 1 1 0.02",
		"12 [acme *.example.com contacts contacts.get client tried allow] 1 0 0.00",
		"13 [      R0/503] 1 0 0.00",
	}
	// The order is Read's affair.
	if d := cmp.Diff(sorted(want), sorted(got)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if r.Errors != 3 || r.Requests != 9 || len(r.Addresses) != 2 || r.Addresses[0] != (stats.AddressCount{Address: source, Requests: 7}) {
		t.Errorf("%+v, addresses %v", r.Totals, r.Addresses)
	}
}

func sorted(list []string) map[string]int {
	set := map[string]int{}
	for _, s := range list {
		set[s]++
	}
	return set
}

// TestO5_EveryReasonHasACode that is its own.
func TestO5_EveryReasonHasACode(t *testing.T) {
	t.Parallel()
	codes := map[string]bool{statsCode(nil): true}
	for _, reason := range deny.Reasons {
		codes[statsCode(reason)] = true
	}
	if len(codes) != len(deny.Reasons)+1 {
		t.Errorf("%v for %d reasons and an allow", codes, len(deny.Reasons))
	}
}

// records are those of one client.
type records struct {
	key    *tokens.SigningKey
	client *tokens.Client
}

func (r *records) Snapshot(context.Context) (*tokens.Changes, error) {
	return &tokens.Changes{Clients: map[string]*tokens.Client{r.client.ID: r.client}}, nil
}

func (r *records) Changes(context.Context, int64) (*tokens.Changes, error) {
	return &tokens.Changes{}, nil
}

func (r *records) SigningKeys(context.Context) ([]*tokens.SigningKey, error) {
	return []*tokens.SigningKey{r.key}, nil
}

// newGate is a whole gate, and requests that it allows: each of a token of its own.
func newGate(t testing.TB, n int) (*authz.Gate, [][]byte) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const issuerURL = "https://tollgate.example"
	now := time.Now()
	r := &records{client: &tokens.Client{ID: "0a1b2c3d4e5f6a7b8c9d0a1b", Name: "one", Account: "acme", Plan: "default", Environment: tokens.Production, Scopes: []string{"contacts:read"}, Generation: 1}}
	var err error
	r.key, err = tokens.NewSigningKey("ES256", rand.Reader, now)
	must(err)
	keys := tokens.NewKeyRing(issuerURL, rand.Reader, time.Now)
	registry, err := tokens.NewRegistry(t.Context(), r, keys, now)
	must(err)
	cache, err := tokens.NewCache(64 << 20)
	must(err)
	t.Cleanup(cache.Close)
	verifier := tokens.NewVerifier(registry, cache)
	verifier.Trust([]*tokens.Trust{keys.Trust()})
	table, err := limiter.New(limiter.Config{MaxBytes: 64 << 20, Epoch: now})
	must(err)
	plan, err := limiter.NewPlan(limiter.Plan{Name: "default", Burst: limiter.Burst{Rate: 1e6, Size: 1e6}, PerMinute: 1e9, WarnAt: 0.8})
	must(err)
	policy, err := authz.NewPolicy(authz.PolicyConfig{
		Audience: issuerURL, Enforce: true, Plans: map[string]*authz.Plan{"default": {Name: "default", Table: plan, PerDay: authz.Limit{Amount: 1e12, Rev: 1}}},
		APIs: []*authz.API{{Name: "contacts", Hosts: []string{"api.example.com"}, ForwardToken: true, Routes: []*authz.Route{{Pattern: "GET /v1/contacts/{id}", Scopes: []string{"contacts:read"}}}}},
	})
	must(err)
	book, err := quota.NewBook(quota.Config{Ledger: ledgertest.NewMemory(time.Now), Random: rand.Reader})
	must(err)
	go book.Run(t.Context())
	gate := authz.New(authz.Config{Policy: policy, Tokens: verifier, Limits: table, Quotas: book})
	issuer, err := tokens.NewIssuer(issuerURL, r.key, rand.Reader)
	must(err)
	messages := make([][]byte, n)
	for i := range messages {
		issued, err := issuer.Issue(tokens.Claims{Client: r.client.ID, Audience: issuerURL, Scopes: []string{"contacts:read"}, Generation: 1, IssuedAt: now, TTL: time.Hour})
		must(err)
		messages[i], err = proto.Marshal(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: fmt.Sprintf("203.0.113.%d", i%250)}}}},
			Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
				Method: "GET", Host: "api.example.com", Path: "/v1/contacts/7", Headers: map[string]string{"authorization": "Bearer " + issued.Bearer.Reveal(), "x-request-id": "b0b4f7a4-6f5c-4a3e-9a3f-6a1b2c3d4e5f", "user-agent": "curl/8.5.0", "accept": "*/*"},
			}},
		}})
		must(err)
	}
	return gate, messages
}

// BenchmarkWatchedAnswer is a whole answer but for gRPC, without and with statistics and
// the ring of decisions: in turns, because what else runs on a machine changes from one
// second to the next.
func BenchmarkWatchedAnswer(b *testing.B) {
	const n = 1000
	gate, messages := newGate(b, n)
	log := Log{slog.New(slog.NewJSONHandler(io.Discard, nil))}
	book := newStatsBook(b, &flushed{}, nil)
	without := New(Config{Judge: gate, Observer: Observers{NewMetrics(prometheus.NewRegistry()), log}})
	with := New(Config{Judge: gate, Observer: Observers{NewMetrics(prometheus.NewRegistry()), log, newDecisions(), Stats{book}}})
	var out []byte
	round := func(s *Server) float64 {
		began := time.Now()
		for _, m := range messages {
			out = s.answer(b.Context(), out[:0], m)
		}
		if !bytes.Contains(out, []byte("x-tollgate-client")) {
			b.Fatalf("refused: %q", out)
		}
		return float64(time.Since(began).Nanoseconds()) / n
	}
	for range 50 { // until the cache has taken all tokens
		round(with)
	}
	var took [2][]float64
	for b.Loop() {
		for i, s := range []*Server{without, with} {
			took[i] = append(took[i], round(s))
		}
	}
	slices.Sort(took[0])
	slices.Sort(took[1])
	b.ReportMetric(took[0][b.N/2], "ns/answer-without")
	b.ReportMetric(took[1][b.N/2], "ns/answer-with")
	b.ReportMetric(took[1][b.N/2]-took[0][b.N/2], "ns/more")
}
