package tokens

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// issuerFunc is an issuer without a network.
type issuerFunc func(*http.Request) (*http.Response, error)

func (f issuerFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func says(doc string) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(doc)),
	}, nil
}

// blocked is an issuer that takes the question and never answers.
func blocked(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

const activeAnswer = `{"active":true,"aud":"https://api.example","client_id":"app7","sub":"user1","scope":"a:read b:write"}`

// opaqueTrust is an issuer whose tokens are opaque.
func opaqueTrust() *Trust {
	return &Trust{
		Issuer: "https://idp.example/", Audiences: []string{"https://api.example"}, Leeway: Leeway,
		ScopeClaim: "scope", ClientClaim: "azp", Account: "partners", Plan: "default", Environment: Production,
	}
}

func newTestIntrospector(t testing.TB, issuer issuerFunc, change func(*IntrospectionConfig)) *Introspector {
	t.Helper()
	c := IntrospectionConfig{
		Trust: opaqueTrust(), Endpoint: "https://idp.example/introspect", ClientID: "gateway", ClientSecret: "hunter2",
		Client: &http.Client{Transport: issuer},
	}
	if change != nil {
		change(&c)
	}
	i, err := NewIntrospector(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

// asked is the token that a request asks about.
func asked(r *http.Request) string {
	_ = r.ParseForm()
	return r.PostForm.Get("token")
}

// TestB5_ABlockedIssuer: refused within 150 ms, nothing left after a second, one
// call a second while it lasts, and known tokens go on as long as they are known.
func TestB5_ABlockedIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dead atomic.Bool
		var reports []error
		i := newTestIntrospector(t, func(r *http.Request) (*http.Response, error) {
			if dead.Load() {
				return blocked(r)
			}
			return says(activeAnswer)
		}, func(c *IntrospectionConfig) { c.Report = func(err error) { reports = append(reports, err) } })
		began := time.Now()
		if _, err := i.Introspect(t.Context(), "known", began); err != nil {
			t.Fatal(err)
		}
		dead.Store(true)
		for n := range 100 { // ten seconds
			asked := time.Now()
			_, err := i.Introspect(t.Context(), fmt.Sprintf("new-%d", n), asked)
			if took := time.Since(asked); !errors.Is(err, ErrUnanswered) || errors.Is(err, ErrInvalid) || took > 150*time.Millisecond {
				t.Fatalf("%v after %v, want ErrUnanswered within 150 ms", err, took)
			}
			if _, err := i.Introspect(t.Context(), "known", time.Now()); err != nil {
				t.Fatalf("a known token after %v: %v", time.Since(began), err)
			}
			time.Sleep(100*time.Millisecond - min(time.Since(asked), 100*time.Millisecond))
		}
		// A call takes 140 ms of its second, so that ten seconds hold ten calls.
		if n := i.Failures(); n < 9 || n > 11 || i.Calls() != n+1 {
			t.Errorf("%d calls and %d failures in ten seconds, want one a second", i.Calls(), n)
		}
		time.Sleep(IntrospectionCache - time.Since(began))
		if _, err := i.Introspect(t.Context(), "known", time.Now()); !errors.Is(err, ErrUnanswered) {
			t.Errorf("a token past its time: %v, want ErrUnanswered", err)
		}
		dead.Store(false)
		time.Sleep(silencePause)
		for n := range 3 {
			if _, err := i.Introspect(t.Context(), fmt.Sprintf("later-%d", n), time.Now()); err != nil {
				t.Errorf("after the issuer's return: %v", err)
			}
		}
		if len(reports) != 2 || !errors.Is(reports[0], ErrUnanswered) || reports[1] != nil {
			t.Errorf("reports %v, want the silence and its end", reports)
		}
	}) // a goroutine that is still blocked fails the test here
}

// TestB5_LeavesNoConnectionBehind: an issuer that takes connections and says
// nothing, not even the first words of TLS.
func TestB5_LeavesNoConnectionBehind(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = listener.Close() })
			ended := make(chan error, 1)
			go func() {
				conn, err := listener.Accept()
				if err == nil {
					defer func() { _ = conn.Close() }()
					_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
					_, err = io.Copy(io.Discard, conn)
				}
				ended <- err
			}()
			i := newTestIntrospector(t, nil, func(c *IntrospectionConfig) {
				c.Endpoint, c.Client = scheme+"://"+listener.Addr().String()+"/", nil
			})
			if _, err := i.Introspect(t.Context(), "opaque-1", start); !errors.Is(err, ErrUnanswered) {
				t.Errorf("%v, want ErrUnanswered", err)
			}
			gave := time.Now()
			if err := <-ended; errors.Is(err, context.DeadlineExceeded) || time.Since(gave) > 2*time.Second {
				t.Errorf("the connection was open for %v after the refusal: %v", time.Since(gave), err)
			}
		})
	}
	if 2*connectTimeout+MaxIntrospectionTimeout/2 > time.Second {
		t.Errorf("making a connection may take %v", 2*connectTimeout)
	}
}

// TestV7_OneCallForManyChecks, which goes on when the first of them leaves.
func TestV7_OneCallForManyChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		i := newTestIntrospector(t, func(r *http.Request) (*http.Response, error) {
			select {
			case <-release:
				return says(activeAnswer)
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}, nil)
		first, leave := context.WithCancel(t.Context())
		results := make(chan error, 101)
		check := func(ctx context.Context) {
			_, err := i.Introspect(ctx, "opaque-1", start)
			results <- err
		}
		go check(first)
		synctest.Wait()
		for range 100 {
			go check(t.Context())
		}
		synctest.Wait()
		leave()
		if err := <-results; !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnanswered) {
			t.Errorf("who left got %v", err)
		}
		synctest.Wait()
		if len(results) != 0 {
			t.Fatal("others left with the first")
		}
		close(release)
		for range 100 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if i.Calls() != 1 {
			t.Errorf("%d calls, want 1", i.Calls())
		}
		for n := range 50 {
			if _, err := i.Introspect(first, fmt.Sprint("new-", n), start); !errors.Is(err, ErrUnanswered) || i.Calls() != 1 {
				t.Fatalf("a check that Envoy has given up: %v and %d calls", err, i.Calls())
			}
		}
		if _, err := i.Introspect(first, "opaque-1", start); err != nil {
			t.Errorf("what is remembered: %v", err)
		}
	})
}

// TestB10_MadeUpTokens: calls under way are bounded, who waits for one leaves in
// time, and known tokens neither wait nor go.
func TestB10_MadeUpTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var underway, most atomic.Int32
		i := newTestIntrospector(t, func(r *http.Request) (*http.Response, error) {
			n := underway.Add(1)
			defer underway.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			if token := asked(r); strings.HasPrefix(token, "good") {
				return says(activeAnswer)
			}
			time.Sleep(20 * time.Millisecond)
			return says(`{"active":false}`)
		}, func(c *IntrospectionConfig) { c.MaxCalls, c.MaxBytes = 4, 64<<10 })
		for n := range 20 {
			if _, err := i.Introspect(t.Context(), fmt.Sprintf("good-%d", n), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		results := make(chan error, 1000)
		began := time.Now()
		for n := range 1000 {
			go func() {
				_, err := i.Introspect(t.Context(), fmt.Sprintf("junk-%d", n), began)
				results <- err
			}()
		}
		synctest.Wait()
		for n := range 20 {
			asked := time.Now()
			if _, err := i.Introspect(t.Context(), fmt.Sprintf("good-%d", n), asked); err != nil || time.Since(asked) != 0 {
				t.Errorf("a known token: %v after %v", err, time.Since(asked))
			}
		}
		denied, late := 0, 0
		for range 1000 {
			switch err := <-results; {
			case errors.Is(err, ErrInvalid):
				denied++
			case errors.Is(err, ErrUnanswered):
				late++
			default:
				t.Errorf("junk: %v", err)
			}
		}
		if took := time.Since(began); took > 150*time.Millisecond {
			t.Errorf("the last left after %v", took)
		}
		time.Sleep(time.Second) // calls that nobody waits for any more end
		synctest.Wait()
		if most.Load() != 4 || denied < 4*6 || late == 0 || i.silent {
			t.Errorf("%d calls at once, %d denied, %d left unanswered, silent %v; want 4 at once and both answers", most.Load(), denied, late, i.silent)
		}
		for n := range 2000 {
			if _, err := i.Introspect(t.Context(), fmt.Sprintf("more-%d", n), time.Now()); !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			if i.refused.used > i.refused.max || i.active.used > i.active.max || len(i.refused.entries) != i.refused.order.Len() {
				t.Fatalf("%d bytes of refusals, at most %d; %d and %d entries", i.refused.used, i.refused.max, len(i.refused.entries), i.refused.order.Len())
			}
		}
		if len(i.active.entries) != 20 || len(i.refused.entries) < 5 {
			t.Errorf("%d active and %d refused tokens are remembered", len(i.active.entries), len(i.refused.entries))
		}
	})
}

// TestV7_ManyChecksOfOneTokenWaitForASlot: the first to get one makes the call, and
// the others give theirs back.
func TestV7_ManyChecksOfOneTokenWaitForASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newTestIntrospector(t, func(*http.Request) (*http.Response, error) {
			time.Sleep(50 * time.Millisecond)
			return says(activeAnswer)
		}, func(c *IntrospectionConfig) { c.MaxCalls = 2 })
		results := make(chan error, 12)
		check := func(bearer string) {
			_, err := i.Introspect(t.Context(), bearer, time.Now())
			results <- err
		}
		go check("other-1")
		go check("other-2")
		synctest.Wait()
		for range 10 {
			go check("opaque-1")
		}
		for range 12 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if i.Calls() != 3 || len(i.slots) != 0 {
			t.Errorf("%d calls for three tokens, %d slots held", i.Calls(), len(i.slots))
		}
	})
}

// TestV7_OneTokenSilencesNobody: a token that the issuer chokes on while it
// answers others says nothing of the issuer.
func TestV7_OneTokenSilencesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newTestIntrospector(t, func(r *http.Request) (*http.Response, error) {
			if asked(r) == "poison" {
				return blocked(r)
			}
			return says(activeAnswer)
		}, nil)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if _, err := i.Introspect(t.Context(), "poison", time.Now()); !errors.Is(err, ErrUnanswered) {
				t.Errorf("the poison: %v", err)
			}
		}()
		synctest.Wait()
		if _, err := i.Introspect(t.Context(), "good-1", time.Now()); err != nil {
			t.Error(err)
		}
		<-done
		if _, err := i.Introspect(t.Context(), "good-2", time.Now()); err != nil {
			t.Errorf("after the poison: %v", err)
		}
	})
}

func TestB4_APanicOfACallIsAFailure(t *testing.T) {
	t.Parallel()
	i := newTestIntrospector(t, func(*http.Request) (*http.Response, error) { panic("broken") }, nil)
	for n := range 2 * introspectionCalls { // no slot is lost either
		if _, err := i.Introspect(t.Context(), fmt.Sprint("opaque-", n), start); !errors.Is(err, ErrUnanswered) || !strings.Contains(err.Error(), "panic") {
			t.Fatalf("%v, want ErrUnanswered", err)
		}
	}
}

func TestClosedIntrospectorAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reported atomic.Int32
		i := newTestIntrospector(t, blocked, func(c *IntrospectionConfig) { c.Report = func(error) { reported.Add(1) } })
		result := make(chan error, 1)
		go func() {
			_, err := i.Introspect(t.Context(), "opaque-1", time.Now())
			result <- err
		}()
		synctest.Wait()
		began := time.Now()
		i.Close()
		if err := <-result; !errors.Is(err, ErrUnanswered) || time.Since(began) != 0 || reported.Load() != 0 {
			t.Errorf("%v after %v, %d reports", err, time.Since(began), reported.Load())
		}
		if _, err := i.Introspect(t.Context(), "opaque-2", time.Now()); !errors.Is(err, ErrUnanswered) || i.Calls() != 1 {
			t.Errorf("%v and %d calls", err, i.Calls())
		}
	})
}

func TestIntrospectionConfigurations(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*IntrospectionConfig){
		"no issuer":     func(c *IntrospectionConfig) { c.Trust = nil },
		"our own":       func(c *IntrospectionConfig) { c.Trust.Own = true },
		"plain http":    func(c *IntrospectionConfig) { c.Endpoint = "http://idp.example/introspect" },
		"user in URL":   func(c *IntrospectionConfig) { c.Endpoint = "https://u:hunter3@idp.example/" },
		"no client":     func(c *IntrospectionConfig) { c.ClientID = "" },
		"no secret":     func(c *IntrospectionConfig) { c.ClientSecret = "" },
		"over Envoy's":  func(c *IntrospectionConfig) { c.Timeout = 200 * time.Millisecond },
		"below zero":    func(c *IntrospectionConfig) { c.Timeout = -1 },
		"cache too low": func(c *IntrospectionConfig) { c.Cache = time.Millisecond },
		"cache too big": func(c *IntrospectionConfig) { c.Cache = time.Hour },
		"no calls":      func(c *IntrospectionConfig) { c.MaxCalls = -1 },
	} {
		c := IntrospectionConfig{Trust: opaqueTrust(), Endpoint: "https://idp.example/introspect", ClientID: "gateway", ClientSecret: "hunter2"}
		if _, err := NewIntrospector(c); err != nil {
			t.Fatal(err)
		}
		if change(&c); name == "no issuer" {
			c.Trust = nil
		}
		if _, err := NewIntrospector(c); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want an error without the secret", name, err)
		}
		if text := fmt.Sprintf("%v %+v %#v %s %q %x", c, c, c, &c, []*IntrospectionConfig{&c}, struct{ C *IntrospectionConfig }{&c}); strings.Contains(text, "hunter2") {
			t.Errorf("printed as %s", text)
		}
	}
}

// TestRememberedTokensCostNoAllocation: a Check that needs no call stays cheap.
func TestRememberedTokensCostNoAllocation(t *testing.T) {
	i := newTestIntrospector(t, func(*http.Request) (*http.Response, error) { return says(activeAnswer) }, nil)
	s, err := NewIntrospectors(i)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	check := func() {
		if !s.Takes("opaque-1") {
			t.Fatal("not taken")
		}
		if _, err := s.Introspect(ctx, "opaque-1", start); err != nil {
			t.Fatal(err)
		}
	}
	check()
	if n := testing.AllocsPerRun(100, check); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// TestB10_RememberedAnswersWeighWhatIsCounted: the bound is one of real memory.
func TestB10_RememberedAnswersWeighWhatIsCounted(t *testing.T) {
	for _, doc := range []string{activeAnswer, `{"active":false}`, `{"active":true,"aud":"https://other.example","sub":"a"}`} {
		i := newTestIntrospector(t, nil, func(c *IntrospectionConfig) { c.MaxBytes = 1 << 30 })
		const n = 10_000
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for k := range n {
			q := query{bearer: fmt.Sprint("opaque-", k), now: start}
			q.digest[0], q.digest[1], q.digest[2] = byte(k), byte(k>>8), byte(k>>16)
			c := &call{done: make(chan struct{})}
			c.token, c.err = i.read([]byte(doc), &q)
			if c.token != nil {
				c.token.Identity()
			}
			i.conclude(c, &q, 0)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		used, counted := int64(after.HeapAlloc)-int64(before.HeapAlloc), i.active.used+i.refused.used
		if len(i.active.entries)+len(i.refused.entries) != n || used > counted*5/4 {
			t.Errorf("%d answers %s take %d bytes and are counted as %d", n, doc, used, counted)
		}
		runtime.KeepAlive(i)
	}
}
