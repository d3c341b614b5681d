package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// checksGoOn asks the Check service until stop is called, which returns the share of
// requests that were allowed, and how long they took.
func (s *stack) checksGoOn(bearer string) (stop func() (share float64, took []time.Duration)) {
	ctx, cancel := context.WithCancel(s.t.Context())
	s.t.Cleanup(cancel)
	check := s.checker()
	var took []time.Duration
	allowed := 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			from := time.Now()
			code, err := check.code(s.t.Context(), bearer)
			if took = append(took, time.Since(from)); err == nil && code == "" {
				allowed++
			}
			<-tick.C
		}
	}()
	return func() (float64, []time.Duration) {
		cancel()
		<-done
		return float64(allowed) / float64(len(took)), took
	}
}

// unavailable holds an answer to the 503 of contract section 4.
func (s *stack) unavailable(what string, i issued, err error) {
	s.t.Helper()
	seconds, _ := strconv.Atoi(i.RetryAfter)
	if err != nil || i.Status != http.StatusServiceUnavailable || i.Error != "temporarily_unavailable" || i.Code != "R0" || seconds < 1 {
		s.t.Errorf("%s: %d %s, Retry-After %q, %v; want 503 temporarily_unavailable R0 with Retry-After", what, i.Status, i.Body, i.RetryAfter, err)
	}
}

// smallDisk makes the next serve keep its store on a file system of its own, with a
// copy of what is there. It returns the folder as this process sees it.
func (s *stack) smallDisk(kilobytes int) (folder func() string) {
	s.t.Helper()
	if out, err := exec.Command("unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", s.t.TempDir()).CombinedOutput(); err != nil {
		s.t.Skipf("no file system can be mounted here without privileges: %v: %s", err, out)
	}
	data := filepath.Join(s.dir, "data")
	s.wrap = []string{"unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", fmt.Sprintf(`cp -r "$0" "$0.seed"; mount -t tmpfs -o size=%dk none "$0"; cp "$0.seed/"* "$0"; exec "$@"`, kilobytes), data}
	return func() string { return fmt.Sprintf("/proc/%d/root%s", s.serve.Process.Pid, data) }
}

// TestB14_DiskFull: what needs a write is put off, what needs none goes on, and all is
// well as soon as there is room.
func TestB14_DiskFull(t *testing.T) {
	t.Parallel()
	s := prepareTollgate(t, commonConfig)
	c, pairs, opaque := s.client("--scope", "contacts:read"), s.client("--scope", "contacts:read", "--refresh"), s.client("--scope", "contacts:read", "--format", "opaque")
	folder := s.smallDisk(2048)
	s.startServe()
	jwt, known := s.token(c), s.token(opaque)
	pair := s.answered(200)(s.grant(t.Context(), pairs))
	check := s.checker()
	stop := s.checksGoOn(jwt)

	filler, err := os.OpenFile(filepath.Join(folder(), "filler"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = filler.Write(block)
	}
	_ = filler.Close()
	var i issued
	s.until("the disk is full", func() bool { // what SQLite's log has room for is used up first
		i, err = s.grant(t.Context(), opaque)
		return err == nil && i.Status != http.StatusOK
	})
	for range 20 {
		s.unavailable("an opaque token", i, err)
		i, err = s.grant(t.Context(), opaque)
	}
	i, err = s.grant(t.Context(), pairs)
	s.unavailable("a refresh token", i, err)
	i, err = s.refresh(t.Context(), pairs, pair.Refresh)
	s.unavailable("a refresh", i, err)
	i, err = s.revoke(t.Context(), opaque, known)
	s.unavailable("a revocation", i, err)
	for what, token := range map[string]string{"a JWT": jwt, "an opaque token": known, "a JWT beside a refresh token": pair.Access, "a new JWT": s.token(c)} {
		if code := check.must(s, token); code != "" {
			t.Errorf("%s, with the disk full: %s", what, code)
		}
	}

	if err := os.Remove(filepath.Join(folder(), "filler")); err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	s.until("tokens are issued again", func() bool {
		i, err = s.grant(t.Context(), opaque)
		return err == nil && i.Status == http.StatusOK
	})
	recovered := time.Since(from)
	if code := check.must(s, i.Access); code != "" {
		t.Errorf("the first new token: %s", code)
	}
	s.answered(200)(s.refresh(t.Context(), pairs, pair.Refresh)) // it was not spent
	s.answered(200)(s.revoke(t.Context(), opaque, known))
	if code := check.must(s, known); code != "R1" {
		t.Errorf("revoked after all: %q, want R1", code)
	}
	share, took := stop()
	if share < 0.999 || recovered > 5*time.Second {
		t.Errorf("%.2f %% of the checks were normal, want 99.9; issuing again after %s, want at most 5 s", 100*share, recovered)
	}
	t.Logf("issuing again after %s; checks: %.2f %%, %s", recovered.Round(time.Millisecond), 100*share, percentiles(took))
}

// busyMachine is what other tests beside this one may add to a wait.
const busyMachine = 500 * time.Millisecond

// TestB15_StoreLocked: another process keeps the lock for as long as it wants.
func TestB15_StoreLocked(t *testing.T) {
	t.Parallel()
	s := newTollgate(t, commonConfig)
	c, pairs, opaque := s.client("--scope", "contacts:read"), s.client("--scope", "contacts:read", "--refresh"), s.client("--scope", "contacts:read", "--format", "opaque")
	jwt, pair := s.token(c), s.answered(200)(s.grant(t.Context(), pairs))
	check := s.checker()
	stop := s.checksGoOn(jwt)
	<-time.After(300 * time.Millisecond) // to compare with
	_, calm := stop()

	db := s.openStore()
	defer func() { _ = db.Close() }()
	lock, err := db.Conn(t.Context())
	if err == nil {
		_, err = lock.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	}
	if err != nil {
		t.Fatal(err)
	}
	stop = s.checksGoOn(jwt)
	longest := map[string]time.Duration{}
	var mu sync.Mutex
	var writes sync.WaitGroup
	write := func(what string, ask func() (issued, error)) {
		writes.Go(func() {
			from := time.Now()
			i, err := ask()
			mu.Lock()
			defer mu.Unlock()
			s.unavailable(what, i, err)
			longest[what] = max(longest[what], time.Since(from))
		})
	}
	for range 5 {
		write("an opaque token", func() (issued, error) { return s.grant(t.Context(), opaque) })
		write("a refresh token", func() (issued, error) { return s.grant(t.Context(), pairs) })
	}
	write("a refresh", func() (issued, error) { return s.refresh(t.Context(), pairs, pair.Refresh) })
	write("a revocation", func() (issued, error) { return s.revoke(t.Context(), c, jwt) })
	var issuing []time.Duration
	for range 50 {
		from := time.Now()
		if code := check.must(s, s.token(c)); code != "" {
			t.Errorf("a JWT issued meanwhile: %s", code)
		}
		issuing = append(issuing, time.Since(from))
	}
	writes.Wait()
	share, locked := stop()
	for what, took := range longest {
		if took > 5*time.Second+busyMachine {
			t.Errorf("%s got its 503 after %s, want at most 5 s", what, took)
		}
	}
	if share < 0.999 {
		t.Errorf("%.2f %% of the checks were normal", 100*share)
	}
	if _, err := lock.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	s.answered(200)(s.refresh(t.Context(), pairs, pair.Refresh))
	t.Logf("503 after %v; a JWT issued and checked meanwhile: %s", longest, percentiles(issuing))
	t.Logf("checks before: %s; while locked: %.2f %%, %s; the first write after: %s", percentiles(calm), 100*share, percentiles(locked), time.Since(from).Round(time.Millisecond))
}

// TestB5_IssuerDoesNotAnswer: whoever is asked about a token and says nothing costs no
// more than the time that Envoy waits, and is asked again later.
func TestB5_IssuerDoesNotAnswer(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		var mu sync.Mutex
		blocked, asked := make(chan struct{}), 0
		mux := http.NewServeMux()
		issuer := httptest.NewServer(mux)
		t.Cleanup(issuer.Close)
		mux.HandleFunc("POST /introspect", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			mu.Lock()
			gate := blocked
			asked++
			mu.Unlock()
			select {
			case <-gate:
			case <-r.Context().Done():
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"active": true, "client_id": "partner", "scope": "contacts:read", "aud": "https://api.example", "exp": time.Now().Add(time.Hour).Unix()})
		})
		s := newTollgate(t, commonConfig+fmt.Sprintf("trust: [{issuer: %q, audiences: [https://api.example], client_claim: client_id, account: partners, introspection: {endpoint: %q, client_id: tollgate, client_secret: hush}}]\n", issuer.URL, issuer.URL+"/introspect"))
		s.startEnvoy(envoy)
		own := s.token(s.client("--scope", "contacts:read"))
		s.expectCode("a token of our own, before", own, "")
		stop := s.checksGoOn(own)
		var took []time.Duration
		for i := range 12 {
			from := time.Now()
			a := s.get("/v1/contacts/7", "opaque-token-"+strconv.Itoa(i%4))
			took = append(took, time.Since(from))
			if a.status != http.StatusServiceUnavailable || a.body != `{"code":"R0","message":"Service Unavailable"}` {
				t.Errorf("with a silent issuer: %d %s, want 503 R0", a.status, a.body)
			}
			if a.header.Get("x-tollgate-decision") == "" {
				t.Errorf("it was Envoy that gave up waiting, after %s", took[i])
			}
		}
		share, own2 := stop()
		if share < 1 {
			t.Errorf("%.2f %% of our own tokens were accepted meanwhile", 100*share)
		}
		figures := percentiles(took)
		if middle, most := took[len(took)/2], took[len(took)-1]; middle > 200*time.Millisecond || most > time.Second {
			t.Errorf("refused after %s", figures)
		}
		mu.Lock()
		close(blocked)
		tried := asked
		mu.Unlock()
		from := time.Now()
		s.until("the issuer is heard again", func() bool {
			return s.get("/v1/contacts/7", "opaque-token-0").status == http.StatusOK
		})
		t.Logf("refused after %s; the issuer was asked %d times for %d requests; heard again after %s; our own tokens meanwhile: %s", figures, tried, len(took), time.Since(from).Round(time.Millisecond), percentiles(own2))
		seen := s.upstream.last()
		if seen == nil || seen.Header.Get("x-tollgate-client") != "partner" || !strings.HasPrefix(seen.Header.Get("x-tollgate-issuer"), "http") {
			t.Errorf("the upstream sees %v", seen)
		}
		s.until("the log tells of both", func() bool {
			return strings.Contains(s.log.String(), "does not answer about its tokens") && strings.Contains(s.log.String(), "answers about its tokens again")
		})
	})
}
