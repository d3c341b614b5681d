package endpoint

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
)

// TestI4_TenGenerationsAMinute counts successful requests of a client, over both
// dialects and both of its names.
func TestI4_TenGenerationsAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, secret := w.client.ID, w.secret
	_, otherSecret := w.create("other", nil)
	for i := range 10 {
		// What is refused does not count.
		w.do(jsonRequest(id, secret, "nonsense")).want(t, 401, "R2")
		w.do(formRequest("grant_type", "client_credentials", "resource", "x").basic(id, secret)).want(t, 400, "R0")
		w.do(jsonRequest(id, "wrong", nil).from("198.51.100.7")).want(t, 401, "R1")
		q := jsonRequest(id, secret, nil)
		if i%2 == 0 {
			q = formRequest("grant_type", "client_credentials").basic("reports", secret)
		}
		w.do(q).want(t, 200, "")
	}
	for _, q := range []request{jsonRequest(id, secret, nil), formRequest("grant_type", "client_credentials").basic("reports", secret)} {
		res := w.do(q)
		res.want(t, 429, "R3")
		after, err := strconv.Atoi(res.header.Get("Retry-After"))
		if err != nil || after < 1 || after > 60 {
			t.Errorf("Retry-After %q, want 1 to 60", res.header.Get("Retry-After"))
		}
	}
	w.do(jsonRequest("other", otherSecret, nil)).want(t, 200, "") // another client's limit is its own
	w.advance(49 * time.Second)
	w.do(jsonRequest(id, secret, nil)).want(t, 429, "R3")
	after, _ := strconv.Atoi(w.do(jsonRequest(id, secret, nil)).header.Get("Retry-After"))
	w.advance(time.Duration(after) * time.Second)
	w.do(jsonRequest(id, secret, nil)).want(t, 200, "") // Retry-After kept its word
}

func TestI4_ReloadedLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settings.GenerationsPerMinute = 2
	for range 2 {
		w.do(jsonRequest("reports", w.secret, nil)).want(t, 200, "")
	}
	w.do(jsonRequest("reports", w.secret, nil)).want(t, 429, "R3")
	w.settings.GenerationsPerMinute = 3 // what was counted stays counted
	w.do(jsonRequest("reports", w.secret, nil)).want(t, 200, "")
	w.do(jsonRequest("reports", w.secret, nil)).want(t, 429, "R3")
	w.settings.GenerationsPerMinute = 0
	for range 20 {
		w.do(jsonRequest("reports", w.secret, nil)).want(t, 200, "")
	}
	w.settings.GenerationsPerMinute = -1
	w.do(jsonRequest("reports", w.secret, nil)).want(t, 503, "R0")
}

// TestI4_AtOnce: many requests at once get ten tokens, not one more.
func TestI4_AtOnce(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		w := newWorld(t)
		c := w.caller("app", refreshing, formatted(format))
		both := make(chan int)
		go func() { both <- w.atOnce(50, jsonRequest(c.id, c.secret, nil))[200] }()
		given := w.atOnce(50, formRequest("grant_type", "client_credentials").basic(c.id, c.secret))[200]
		if given += <-both; given != 10 {
			t.Errorf("%s: %d tokens, want 10", format, given)
		}
	}
}

// atOnce counts the answers by status.
func (w *world) atOnce(n int, q request) map[int]int {
	statuses := make([]int, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { statuses[i] = w.do(q).status })
	}
	all.Wait()
	count := map[int]int{}
	for _, s := range statuses {
		count[s]++
	}
	return count
}

// TestFailuresAtAClient: after ten failures a source is refused at that client,
// even with the right secret. Nobody else is.
func TestFailuresAtAClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, otherSecret := w.create("other", nil)
	for range failuresAtClient {
		w.do(jsonRequest("reports", "wrong", nil)).want(t, 401, "R1")
	}
	for _, q := range []request{
		jsonRequest("reports", "wrong", nil),
		jsonRequest("reports", w.secret, nil),
		formRequest("grant_type", "client_credentials").basic("reports", w.secret),
	} {
		res := w.do(q)
		if res.want(t, 429, "R3"); res.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	w.do(jsonRequest("other", otherSecret, nil)).want(t, 200, "")                   // another client from there
	w.do(jsonRequest("reports", w.secret, nil).from("192.0.2.2")).want(t, 200, "")  // the client from its own address
	w.do(jsonRequest("reports", "wrong", nil).from("192.0.2.2")).want(t, 401, "R1") // who has a budget of its own
	w.do(jsonRequest("reports", "wrong", nil).from("2001:db8::1")).want(t, 401, "R1")
	w.advance(61 * time.Second)
	w.do(jsonRequest("reports", w.secret, nil)).want(t, 200, "")
}

// TestFailuresAtAClientWithAnAlias: ID and alias are one client.
func TestFailuresAtAClientWithAnAlias(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range failuresAtClient {
		w.do(jsonRequest([]string{"reports", w.client.ID}[i%2], "wrong", nil)).want(t, 401, "R1")
	}
	w.do(jsonRequest("reports", w.secret, nil)).want(t, 429, "R3")
	w.do(jsonRequest(w.client.ID, w.secret, nil)).want(t, 429, "R3")
}

// TestFailuresOfASource: thirty failures over many clients, over the addresses of
// one IPv6 network, and the source is refused everywhere.
func TestFailuresOfASource(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range failuresOfSource {
		w.do(jsonRequest(fmt.Sprintf("nobody%d", i), "wrong", nil).from(fmt.Sprintf("2001:db8:0:1::%x", i+1))).want(t, 401, "R1")
	}
	w.do(jsonRequest("reports", w.secret, nil).from("2001:db8:0:1:ffff::1")).want(t, 429, "R3")
	w.do(jsonRequest("reports", w.secret, nil).from("2001:db8:0:2::1")).want(t, 200, "")
	// The IPv4 neighbours of a source are others.
	for i := range failuresOfSource {
		w.do(jsonRequest(fmt.Sprintf("nobody%d", i), "wrong", nil)).want(t, 401, "R1")
	}
	w.do(jsonRequest("reports", w.secret, nil)).want(t, 429, "R3")
	w.do(jsonRequest("reports", w.secret, nil).from("::ffff:192.0.2.1")).want(t, 429, "R3") // the same, otherwise spelled
	w.do(jsonRequest("reports", w.secret, nil).from("192.0.2.2")).want(t, 200, "")
}

// TestFailuresOfASite: whoever holds an IPv6 /48 does not get a new budget with
// each of its networks.
func TestFailuresOfASite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range sourcesOfSite * failuresAtClient {
		w.do(jsonRequest("reports", "wrong", nil).from(fmt.Sprintf("2001:db8:0:%x::1", i))).want(t, 401, "R1")
	}
	w.do(jsonRequest("reports", w.secret, nil).from("2001:db8:0:ffff::1")).want(t, 429, "R3")
	w.do(jsonRequest("nobody", "wrong", nil).from("2001:db8:0:ffff::1")).want(t, 401, "R1")
	w.do(jsonRequest("reports", w.secret, nil).from("2001:db8:1::1")).want(t, 200, "")
	for i := range sourcesOfSite*(failuresOfSource-failuresAtClient) - 1 {
		w.do(jsonRequest(fmt.Sprintf("nobody%d", i), "wrong", nil).from(fmt.Sprintf("2001:db8:0:%x::1", i))).want(t, 401, "R1")
	}
	w.do(jsonRequest("nobody", "wrong", nil).from("2001:db8:0:ffff::1")).want(t, 429, "R3")
}

// TestFailuresAtOnce: a guesser who sends everything at once learns of ten
// guesses whether they were right.
func TestFailuresAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.atOnce(100, jsonRequest("reports", "wrong", nil))
	if got[401] != failuresAtClient || got[429] != 100-failuresAtClient {
		t.Errorf("answers by status: %v, want %d times 401 and otherwise 429", got, failuresAtClient)
	}
}

// TestMalformedIsNoFailure, nor is a refusal for any other reason.
func TestMalformedIsNoFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, elsewhere := w.create("elsewhere", trusted("203.0.113.0/24"))
	for range failuresOfSource + 1 {
		w.do(jsonBody(`{`)).want(t, 400, "R0")
		w.do(formRequest("grant_type", "client_credentials")).want(t, 401, "R1")
		w.do(jsonRequest("elsewhere", elsewhere, nil)).want(t, 403, "R4")
		w.do(jsonRequest("reports", w.secret, "nonsense")).want(t, 401, "R2")
	}
	w.do(jsonRequest("reports", w.secret, nil)).want(t, 200, "")
}

// TestUnknownSourceHasNoBudget: over a Unix socket all callers look alike, and
// one of them must not lock out the others.
func TestUnknownSourceHasNoBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := jsonRequest("reports", "wrong", nil)
	q.source = "@"
	for range failuresOfSource + 1 {
		w.do(q).want(t, 401, "R1")
	}
	q = jsonRequest("reports", w.secret, nil)
	q.source = "@"
	w.do(q).want(t, 200, "")
}

// TestFullTables: strangers who fill the table of failures keep nobody out. A
// full table of generations is our fault and says so.
func TestFullTables(t *testing.T) {
	t.Parallel()
	var failures, limits *limiter.Table
	w := newWorld(t, func(c *Config) { failures, limits = c.Failures, c.Limits })
	fill(t, failures)
	w.do(jsonRequest("reports", w.secret, nil)).want(t, 200, "")
	for range failuresOfSource + 1 {
		w.do(jsonRequest("reports", "wrong", nil).from("192.0.2.99")).want(t, 401, "R1")
	}
	w.do(jsonRequest("reports", w.secret, nil).from("192.0.2.99")).want(t, 200, "")

	fill(t, limits)
	w.do(jsonRequest("reports", w.secret, nil)).want(t, 200, "") // it has an entry
	_, secret := w.create("new", nil)
	res := w.do(jsonRequest("new", secret, nil))
	if res.want(t, 503, "R0"); res.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// fill leaves no room for any new subject.
func fill(t *testing.T, table *limiter.Table) {
	t.Helper()
	plan, err := limiter.NewPlan(limiter.Plan{Name: "filler", PerMinute: 10})
	if err != nil {
		t.Fatal(err)
	}
	var res limiter.Result
	for i, refused := 0, 0; refused < 20000; i++ { // every shard has to be full
		table.Take(epoch, table.Subject(strconv.Itoa(i)), []*limiter.Plan{plan}, &res)
		if res.Verdict == limiter.Full {
			refused++
		} else if refused = 0; i > 1<<20 {
			t.Fatal("the table does not get full")
		}
	}
}

// TestTablesMustDiffer: see Config.Failures.
func TestTablesMustDiffer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	table := newTable(t)
	c := Config{Records: w.records, Pepper: &w.pepper, Keys: w.keys, Tokens: w.verifier,
		Settings: func() Settings { return Settings{} }, Limits: table, Failures: table}
	if _, err := New(c); err == nil {
		t.Error("one table for both was accepted")
	}
	c.Failures = nil
	if _, err := New(c); err == nil {
		t.Error("no table of failures was accepted")
	}
}
