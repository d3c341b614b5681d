package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// recordedToken is a token as token create prints it.
type recordedToken struct {
	ID       string         `json:"id"`
	Token    string         `json:"token"`
	Name     string         `json:"name"`
	Scopes   []string       `json:"scopes"`
	ClientID string         `json:"client_id"`
	Account  string         `json:"account"`
	Expires  time.Time      `json:"expires_at"`
	Limits   map[string]any `json:"limits"`
	IPs      []string       `json:"ip_allow"`
	Status   string         `json:"status"`
}

// createToken runs token create.
func (s *stack) createToken(client string, args ...string) (r recordedToken) {
	s.t.Helper()
	s.read(&r, append([]string{"token", "create", "--client", client, "--name", "test"}, args...)...)
	if r.ID == "" || r.Token == "" {
		s.t.Fatalf("token create printed %+v", r)
	}
	return r
}

// read runs a command that prints JSON.
func (s *stack) read(into any, args ...string) {
	s.t.Helper()
	out := s.tollgate(append(args, "--output", "json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		s.t.Fatalf("tollgate %s printed %s: %v", strings.Join(args, " "), out, err)
	}
}

func (s *stack) recordedTokens() map[string]recordedToken {
	s.t.Helper()
	var list []recordedToken
	s.read(&list, "token", "list")
	byID := map[string]recordedToken{}
	for _, r := range list {
		byID[r.ID] = r
	}
	return byID
}

// wantCodes makes requests with a token, one after the other. One that the ledger did
// not answer in time, on a machine with a lot to do, has spent nothing and is made again.
func (s *stack) wantCodes(what string, check checker, bearer string, want ...string) {
	s.t.Helper()
	var got []string
	for range want {
		code := check.must(s, bearer)
		for tries := 0; code == "R0" && tries < 20; tries++ {
			code = check.must(s, bearer)
		}
		got = append(got, code)
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// TestO1_O2_TokensWithTerms: in each format a token works at the moment it is printed,
// and no longer than its terms allow.
func TestO1_O2_TokensWithTerms(t *testing.T) {
	t.Parallel()
	s := newTollgate(t, commonConfig)
	check := s.checker()
	for _, format := range []string{"jwt", "opaque", "classic"} {
		c := s.client("--scope", "contacts:read,contacts:write", "--format", format, "--alias", "alias-"+format)
		r := s.createToken("alias-"+format, "--limit", "per_day=2,total_requests=10", "--limit", "wallet_amount=0.5", "--scope", "contacts:read", "--ttl", "2h", "--ip", "127.0.0.1")
		if left := time.Until(r.Expires); !slices.Equal(r.Scopes, []string{"contacts:read"}) || r.ClientID != c.ID || r.Account != "default" || r.Limits["per_day"] != 2.0 || r.Limits["wallet_amount"] != "0.50" ||
			len(r.Limits) != 3 || !slices.Equal(r.IPs, []string{"127.0.0.1/32"}) || left > 2*time.Hour || left < 2*time.Hour-time.Minute {
			t.Errorf("%s: %+v", format, r)
		}
		s.wantCodes(format, check, r.Token, "", "", "R3", "R3")
		if out := s.tollgate("token", "update", r.ID, "--limit", "per_day=4"); !strings.Contains(out, "total_requests=10,per_day=4,wallet_amount=0.50") {
			t.Errorf("%s: token update printed %s", format, out)
		}
		s.wantCodes(format+", raised", check, r.Token, "", "", "R3")
		s.tollgate("token", "update", r.ID, "--limit", "per_day=0")
		s.wantCodes(format+", without per_day", check, r.Token, "", "", "", "", "", "", "R3") // the total counted all the time
		if u := s.usage("--token", r.ID); u.limit(t, "token.total_requests").Used != 10.0 || u.limit(t, "token.total_requests").Left != 0.0 || u.Subject.ID != r.ID {
			t.Errorf("%s: usage show --token: %+v", format, u)
		}
		if inspected := s.tollgate("token", "inspect", r.Token); !strings.Contains(inspected, "token.total_requests   left: 0 of 10") || !strings.Contains(inspected, "127.0.0.1/32") {
			t.Errorf("%s: token inspect printed %s", format, inspected)
		}

		all := s.createToken(c.ID)
		if !slices.Equal(all.Scopes, []string{"contacts:read", "contacts:write"}) || len(all.Limits)+len(all.IPs) != 0 {
			t.Errorf("%s: without terms: %+v", format, all)
		}
		s.wantCodes(format+", elsewhere", check, s.createToken(c.ID, "--ip", "203.0.113.0/24").Token, "R4")
		s.wantCodes(format+", without terms", check, all.Token, "")
		s.tollgate("token", "revoke", all.ID)
		s.wantCodes(format+", revoked by its ID", check, all.Token, "R1")
		if list := s.recordedTokens(); list[all.ID].Status != "revoked" || list[r.ID].Status != "active" || list[r.ID].Name != "test" || list[r.ID].Token != "" {
			t.Errorf("%s: token list: %+v", format, list)
		}
		another := s.createToken(c.ID)
		s.tollgate("client", "secret", "rotate", c.ID)
		s.wantCodes(format+", rotated", check, another.Token, "")
		s.tollgate("client", "secret", "revoke", c.ID, "--generation", "1")
		s.endsWithin(follows, format+": a revoked secret ends it", "R1", func() string { return check.must(s, another.Token) })
		s.wantCodes(format+", of the new secret", check, s.createToken(c.ID).Token, "")
	}
}

// TestTokenCreateWithoutServe: the next serve knows the token, and its limits.
func TestTokenCreateWithoutServe(t *testing.T) {
	t.Parallel()
	s := newTollgate(t, commonConfig)
	c := s.client("--scope", "contacts:read")
	s.stopServe(syscall.SIGKILL)
	r := s.createToken(c.ID, "--limit", "total_requests=2")
	if list := s.recordedTokens(); list[r.ID].Status != "active" {
		t.Errorf("token list: %+v", list)
	}
	s.startServe()
	s.wantCodes("after the start", s.checker(), r.Token, "", "", "R3")
}

// TestTokenCommandFaults: exit statuses and words.
func TestTokenCommandFaults(t *testing.T) {
	t.Parallel()
	s := &stack{t: t, dir: t.TempDir(), check: "127.0.0.1:0", http: "127.0.0.1:0", ops: "127.0.0.1:0"}
	s.writeConfig(commonConfig)
	for _, args := range []string{"token create --client x --name n", "token update x --limit per_day=1", "wallet show --account x", "wallet credit --account x --amount 1", "lockout lift x"} {
		if _, says, status := s.tryTollgate(strings.Fields(args)...); status != 1 || !strings.Contains(says, "no store yet") {
			t.Errorf("%s without a store: status %d, %q", args, status, says)
		}
	}
	for _, args := range []string{"token list", "lockout list"} {
		if out, says, status := s.tryTollgate(strings.Fields(args + " --output json")...); status != 0 || strings.TrimSpace(out) != "[]" {
			t.Errorf("%s without a store: status %d, %q", args, status, says)
		}
	}
	s.client("--scope", "a,b", "--alias", "mine")
	s.client("--scope", "a", "--alias", "suspended")
	s.client("--scope", "a", "--alias", "secretless")
	s.tollgate("client", "suspend", "suspended")
	s.tollgate("client", "secret", "revoke", "secretless")
	for _, tt := range []struct {
		args, says string
		status     int
	}{
		{"token create --name n", "--client is needed", 2}, {"token create --client mine", "--name is needed", 2}, {"token create --client nobody --name n", "not found", 1},
		{"token create --client suspended --name n", "client resume", 1}, {"token create --client secretless --name n", "secret rotate", 1},
		{"token create --client mine --name n --scope c", "it has a, b", 2}, {"token create --client mine --name n --scope=", "--scope is empty", 2},
		{"token create --client mine --name n --ip=", "--ip is empty", 2}, {"token create --client mine --name n --ip 10.0.0.1/8", "10.0.0.0/8", 2},
		{"token create --client mine --name n --ttl 0", "whole seconds", 2}, {"token create --client mine --name n --ttl 1ms", "whole seconds", 2}, {"token create --client mine --name n --ttl 9999h", "8784h0m0s", 2},
		{"token create --client mine --name n --limit per_day", "KIND=AMOUNT", 2}, {"token create --client mine --name n --limit per_week=1", "per_minute or per_day", 2},
		{"token create --client mine --name n --limit per_day=0", "from 1 on", 2}, {"token create --client mine --name n --limit per_day=1.5", "whole number", 2},
		{"token create --client mine --name n --limit per_day=-1", "from 1 to", 2}, {"token create --client mine --name n --limit per_day=1 --limit per_day=2", "twice", 2},
		{"token create --client mine --name n --limit wallet_amount=0.0000001", "six digits", 2}, {"token create --client mine --name n --limit per_minute=9999999999", "per_minute", 2},
		{"token update x", "nothing to change", 2}, {"token update x --limit per_day=1", "token list", 1}, {"token update", "arg", 2}, {"token revoke nobody", "recorded", 1},
		{"wallet show", "--account is needed", 2}, {"wallet show --account x", "not found", 1}, {"wallet show --account default --limit 0", "from 1", 2},
		{"wallet credit --account default", "--amount is needed", 2}, {"wallet credit --account default --amount x", "0.02", 2}, {"wallet credit --account default --amount 0", "not 0", 2},
		{"wallet credit --account default --amount=-1", "stays from 0.00", 1}, {"wallet credit --account x --amount 1", "not found", 1}, {"wallet credit --account default --amount 1 --id=", "credit ID", 2},
		{"lockout lift x", "lockout list", 1}, {"lockout lift", "arg", 2}, {"usage show", "one of", 2}, {"usage show --client a --account b", "one of", 2}, {"usage show --client x", "not found", 1},
		{"usage show --account x", "not found", 1}, {"usage show --token x", "no token or API key", 1},
	} {
		if _, says, status := s.tryTollgate(strings.Fields(tt.args)...); status != tt.status || !strings.Contains(says, tt.says) {
			t.Errorf("%s: status %d, %q; want %d and %q", tt.args, status, says, tt.status, tt.says)
		}
	}
	if list := s.recordedTokens(); len(list) != 0 {
		t.Errorf("what was refused is recorded: %+v", list)
	}
}
