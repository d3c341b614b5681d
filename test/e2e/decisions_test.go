package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/tollgate-authz/tollgate/test/outside"
)

// decision is what decisions prints.
type decision struct {
	Seq                                     uint64
	Time                                    time.Time
	DecisionID                              string `json:"decision_id"`
	Code, Step, Cause                       string
	Status                                  int
	Method, Host, Path, API, Route, Account string
	ClientID                                string `json:"client_id"`
	TokenID                                 string `json:"token_id"`
	RequestID                               string `json:"request_id"`
	Environment, Source                     string
	TookMicros                              int64 `json:"took_us"`
	Limits                                  []string
	Steps                                   []struct{ Step, Result string }
}

func parseDecisions(t *testing.T, text string) (list []decision) {
	t.Helper()
	for line := range strings.Lines(text) {
		var d decision
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, d)
	}
	return list
}

func (s *stack) decisions(args ...string) []decision {
	s.t.Helper()
	return parseDecisions(s.t, s.tollgate(append([]string{"decisions", "--output", "json"}, args...)...))
}

// ask sends a request with headers to the Check service.
func (c checker) ask(t *testing.T, host, path string, headers map[string]string) {
	t.Helper()
	_, err := c.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: "192.0.2.7", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 40000}},
		}}},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: http.MethodGet, Host: host, Path: path, Headers: headers,
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
}

const decisionsConfig = `
tokens: {generations_per_minute: 1000}
plans:
  default: {burst: {rate: 1000, size: 1000}, per_minute: 100000}
  slow: {per_minute: 3}
apis:
  - name: contacts
    hosts: [api.example.com]
    routes:
      - {match: "GET /v1/contacts/{id}", name: contacts.get, scopes: [contacts:read]}
      - {match: "GET /v1/free"}
  - name: keys
    hosts: [keys.example.com]
    auth: api_key
    api_key: {header: x-api-key, query: api_key}
    routes: [{match: "GET /v1/{rest...}"}]
  - name: public
    hosts: [www.example.com]
    auth: none
    routes: [{match: "/"}]
`

func TestDecisionsShowWhatWasDecided(t *testing.T) {
	t.Parallel()
	s := newTollgate(t, decisionsConfig)
	one, other := s.client("--scope", "contacts:read", "--account", "acme"), s.client("--scope", "contacts:read", "--plan", "slow")
	bearer, slow := s.token(one), s.token(other)
	c := s.checker()
	auth := func(bearer string) map[string]string {
		return map[string]string{"authorization": "Bearer " + bearer, "x-request-id": "r-1"}
	}
	c.ask(t, "api.example.com", "/v1/contacts/7?x=1", auth(bearer))
	c.ask(t, "api.example.com", "/v1/none", auth(bearer))
	c.ask(t, "api.example.com", "/v1/free", nil)
	c.ask(t, "www.example.com", "/", nil)
	for range 4 {
		c.ask(t, "api.example.com", "/v1/free", auth(slow))
	}
	all := s.decisions()
	var codes []string
	for _, d := range all {
		codes = append(codes, d.Code)
	}
	if want := []string{"allow", "R6", "R1", "allow", "allow", "allow", "allow", "R3"}; !slices.Equal(codes, want) {
		t.Fatalf("got %v, want %v", codes, want)
	}
	first, missing, stranger, open, limited := all[0], all[1], all[2], all[3], all[7]
	if first.Path != "/v1/contacts/7" || first.Status != 200 || first.ClientID != one.ID || first.Account != "acme" || first.Route != "contacts.get" || first.API != "contacts" ||
		first.Source != "192.0.2.7" || first.RequestID != "r-1" || first.Environment != "production" || first.TokenID == "" || len(first.DecisionID) != 20 || len(first.Steps) != 9 || first.Cause != "" {
		t.Errorf("allowed: %+v", first)
	}
	if last := missing.Steps[len(missing.Steps)-1]; missing.Step != "scope" || last.Step != "scope" || last.Result != "refused" || !strings.Contains(missing.Cause, "no route") || missing.Status != 401 {
		t.Errorf("no route: %+v", missing)
	}
	if stranger.Step != "credential" || stranger.Account != "" || stranger.Route != "GET /v1/free" {
		t.Errorf("without a token: %+v", stranger)
	}
	if len(open.Steps) != 1 || open.API != "public" {
		t.Errorf("open: %+v", open)
	}
	if !slices.Equal(limited.Limits, []string{"per_minute"}) || limited.Step != "limits" {
		t.Errorf("limited: %+v", limited)
	}
	for args, want := range map[string]int{
		"--account acme": 2, "--client " + other.ID: 4, "--token " + first.TokenID: 2, "--code R1": 1, "--code R1,allow": 6, "--code R6 --account acme": 1, "--api public": 1,
		"--route contacts.get": 1, "--limit 3": 3, "--limit 0": 0, "--account nobody": 0,
	} {
		if got := s.decisions(strings.Fields(args)...); len(got) != want {
			t.Errorf("%s: %d decisions, want %d", args, len(got), want)
		}
	}
	text := s.tollgate("decisions", "--limit", "2")
	if lines := strings.Split(text, "\n"); len(lines) != 4 || !strings.HasPrefix(lines[0], "TIME") || !strings.Contains(lines[2], "api.example.com/v1/free") || !strings.Contains(lines[2], "R3") ||
		strings.Index(lines[0], "CAUSE") != strings.Index(lines[2], "R3: per_minute") {
		t.Errorf("got\n%s", text)
	}
	for _, args := range [][]string{{"--code", "R9"}, {"--limit", "-1"}, {"--limit", "10001"}, {"more"}} {
		if _, complaint, status := s.tryTollgate(append([]string{"decisions"}, args...)...); status != 2 || complaint == "" {
			t.Errorf("%v: status %d, %s", args, status, complaint)
		}
	}
	s.stopServe(syscall.SIGKILL)
	for _, args := range [][]string{{"decisions"}, {"decisions", "--follow"}} {
		if _, complaint, status := s.tryTollgate(args...); status != 1 || !strings.Contains(complaint, "memory of the running serve") {
			t.Errorf("%v without a serve: status %d, %s", args, status, complaint)
		}
	}
}

// TestDecisionsHoldNoCredential, wherever it was sent.
func TestDecisionsHoldNoCredential(t *testing.T) {
	t.Parallel()
	s := newTollgate(t, decisionsConfig)
	cred := s.client("--scope", "contacts:read", "--format", "classic")
	jwt, key := s.token(s.client("--scope", "contacts:read")), s.apiKey("--scope", "contacts:read", "--account", "acme").Key
	classic := s.token(cred)
	opaque, refresh := "tga_"+strings.Repeat("CANARYa", 6)+"x", "tgr_"+strings.Repeat("CANARYr", 6)
	canaries := []string{key, classic, cred.Secret, jwt, strings.Split(jwt, ".")[1], strings.Split(jwt, ".")[2], "CANARY"}
	c := s.checker()
	for _, credential := range []string{jwt, jwt + "x", "eyJ.CANARY", key, key + "x", classic, opaque, refresh, "CANARY", cred.Secret} {
		for _, headers := range []map[string]string{
			{"authorization": "Bearer " + credential}, {"authorization": "Basic " + credential}, {"authorization": credential}, {"x-api-key": credential},
			{"x-api-key": credential, "authorization": "Bearer " + credential}, {"cookie": "session=" + credential},
		} {
			for _, host := range []string{"api.example.com", "keys.example.com", "www.example.com", "none.example.com"} {
				c.ask(t, host, "/v1/contacts/7?token="+credential+"&api_key="+credential, headers)
			}
		}
	}
	for _, credential := range []string{jwt, jwt + "x", key, opaque, refresh} {
		for _, path := range []string{"/v1/%s", "/v1/%s/x", "/v1/x:%s", "/v1/../%s", "/%s;a=%s"} {
			c.ask(t, "api.example.com", strings.ReplaceAll(path, "%s", credential), nil)
		}
	}
	for _, out := range []string{s.tollgate("decisions", "--limit", "4096", "--output", "json"), s.tollgate("decisions", "--limit", "4096")} {
		if strings.Count(out, "\n") < 10*6*4+5*5 {
			t.Errorf("only %d lines", strings.Count(out, "\n"))
		}
		for _, canary := range canaries {
			if i := strings.Index(out, canary); i >= 0 {
				t.Errorf("%s is shown: …%s", canary, out[max(0, i-200):i+len(canary)])
			}
		}
	}
}

// follower is a decisions --follow that runs.
type follower struct {
	cmd      *exec.Cmd
	out, err outside.LockedBuffer
}

func (s *stack) followDecisions(args ...string) *follower {
	s.t.Helper()
	f := &follower{}
	f.cmd = exec.Command(binary, append([]string{"decisions", "--follow", "--config", s.configFile()}, args...)...)
	f.cmd.Stdout, f.cmd.Stderr = &f.out, &f.err
	if err := f.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if f.cmd.ProcessState == nil {
			_ = f.cmd.Process.Kill()
			_ = f.cmd.Wait()
		}
	})
	return f
}

// TestDecisionsFollow: decisions are shown as they are made, over a restart, and neither
// holds the other's end up.
func TestDecisionsFollow(t *testing.T) {
	t.Parallel()
	s := newTollgate(t, decisionsConfig)
	c := s.checker()
	c.ask(t, "www.example.com", "/past", nil)
	f := s.followDecisions("--output", "json")
	refused := s.followDecisions("--code", "R1,R6")
	shows := func(path string, f *follower) func() bool {
		return func() bool { return strings.Contains(f.out.String(), path) }
	}
	s.until("the past is shown", shows("/past", f))
	s.until("the heading is shown", shows("TIME", refused))
	c.ask(t, "www.example.com", "/present", nil)
	c.ask(t, "api.example.com", "/refused", nil)
	s.until("the present is shown", shows("/present", f))
	s.until("the refusal is shown", shows("/refused", refused))
	began := time.Now()
	s.stopServe(syscall.SIGTERM)
	if took := time.Since(began); took > 4*time.Second || s.serve.ProcessState.ExitCode() != 0 {
		t.Errorf("the end took %v, status %d: followers held it up", took, s.serve.ProcessState.ExitCode())
	}
	s.until("the end is told", func() bool { return strings.Contains(f.err.String(), "serve has gone") })
	s.startServe()
	c = s.checker()
	c.ask(t, "www.example.com", "/future", nil)
	c.ask(t, "api.example.com", "/future", nil)
	s.until("the future is shown", shows("/future", f))
	s.until("the return is told", func() bool { return strings.Contains(f.err.String(), "serve is back") })
	s.until("the future refusal is shown", shows("/future", refused))
	for _, f := range []*follower{f, refused} {
		_ = f.cmd.Process.Signal(syscall.SIGINT)
		if err := f.cmd.Wait(); err != nil {
			t.Errorf("interrupted: %v, want status 0", err)
		}
	}
	var shown []string
	last := uint64(0)
	for _, d := range parseDecisions(t, f.out.String()) {
		shown = append(shown, d.Path)
		if d.Seq <= last {
			t.Errorf("decision %d came after %d", d.Seq, last)
		}
		last = d.Seq
	}
	if want := "[/past /present /refused /future /future]"; fmt.Sprint(shown) != want {
		t.Errorf("got %v, want %s", shown, want)
	}
	if text := refused.out.String(); strings.Contains(text, "/present") || strings.Count(text, "\n") != 3 {
		t.Errorf("only refusals were asked for:\n%s", text)
	}
}

// TestDecisionsFollowOutlastsTheDeadlines of the server for other requests: 5 s to read
// one, 15 s to answer it.
func TestDecisionsFollowOutlastsTheDeadlines(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 17 s")
	}
	t.Parallel()
	s := newTollgate(t, decisionsConfig)
	c := s.checker()
	f := s.followDecisions("--output", "json")
	timer := time.NewTimer(17 * time.Second)
	defer timer.Stop()
	<-timer.C
	c.ask(t, "www.example.com", "/late", nil)
	s.until("the late decision is shown", func() bool { return strings.Contains(f.out.String(), "/late") })
	if complaint := f.err.String(); complaint != "" {
		t.Errorf("the stream was cut: %s", complaint)
	}
}
