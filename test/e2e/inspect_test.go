package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/tollgate-authz/tollgate/tokens"
)

// TestTokenInspect: every kind of credential, with a running serve and without.
func TestTokenInspect(t *testing.T) {
	t.Parallel()
	f := foreignIssuer(t)
	f.url = "https://idp.example.com/"
	s := prepareTollgate(t, keysConfig+`trust: [{issuer: "https://idp.example.com/", jwks_file: jwks.json, audiences: [a], algorithms: [ES256], client_claim: client_id, account: partners}]`+"\n")
	doc, err := tokens.KeySetDocument([]*tokens.SigningKey{f.key})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "jwks.json"), doc, 0o600); err != nil {
		t.Fatal(err)
	}
	s.startServe()
	c, opaque, brief := s.client("--scope", "contacts:read,contacts:write", "--refresh"), s.client("--scope", "contacts:read", "--format", "opaque"), s.client("--scope", "contacts:read", "--token-ttl", "1s")
	expired := s.token(brief)
	pair, revoked := s.answered(200)(s.grant(t.Context(), c)), s.token(c)
	s.answered(200)(s.revoke(t.Context(), c, revoked))
	spent := s.answered(200)(s.grant(t.Context(), c)).Refresh
	s.answered(200)(s.refresh(t.Context(), c, spent))
	key := s.apiKey("--scope", "contacts:read")
	s.tollgate("client", "update", c.ID, "--scope", "contacts:read")
	check := s.checker()
	s.until("the token has expired", func() bool { return check.must(s, expired) == "R5" })
	table := []struct {
		what, token, kind, state, reason, issuer, client string
	}{
		{"a JWT", pair.Access, "access token", "active", "", "http://" + s.http, c.ID},
		{"an opaque token", s.token(opaque), "access token", "active", "", "http://" + s.http, opaque.ID},
		{"a revoked one", revoked, "access token", "ended", "revoked", "http://" + s.http, c.ID},
		{"an expired one", expired, "access token", "expired", "expired at", "http://" + s.http, brief.ID},
		{"a refresh token", pair.Refresh, "refresh token", "active", "", "", c.ID},
		{"a spent one", spent, "refresh token", "ended", "used before", "", c.ID},
		{"an API key", key.Key, "API key", "active", "", "", key.ID},
		{"a foreign token", f.token(t, "a", "contacts:read"), "access token", "active", "", f.url, "partner-app"},
		{"a stranger's", foreignIssuer(t).token(t, "a", "x"), "unknown", "invalid", "issuer", "", ""},
		{"junk", "junk", "unknown", "invalid", "", "", ""},
	}
	for _, live := range []bool{true, false} {
		if !live {
			s.stopServe(syscall.SIGTERM)
		}
		for _, tt := range table {
			out, says, status := s.pipe(" "+tt.token+"\n", "token", "inspect", "-", "--output", "json")
			var got struct {
				Kind, State, Reason string
				Issuer              string `json:"iss"`
				Client              string `json:"client_id"`
				Effective           []string
				Limits              []struct{ Left any }
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil || status != 0 {
				t.Fatalf("%s: status %d, %s %s: %v", tt.what, status, out, says, err)
			}
			if got.Kind != tt.kind || got.State != tt.state || !strings.Contains(got.Reason, tt.reason) || tt.reason == "" && tt.state == "active" && got.Reason != "" || got.Issuer != tt.issuer || got.Client != tt.client {
				t.Errorf("%s (serve runs: %v): %s", tt.what, live, out)
			}
			if tt.token == pair.Access && !slices.Equal(got.Effective, []string{"contacts:read"}) {
				t.Errorf("%s: effective %v, want what its client still has", tt.what, got.Effective)
			}
			if tt.kind == "access token" && (len(got.Limits) == 0 || (got.Limits[0].Left == "unknown") == live) {
				t.Errorf("%s (serve runs: %v): limits %v", tt.what, live, got.Limits)
			}
			if text := s.tollgate("token", "inspect", tt.token); !strings.Contains(text, tt.state) || strings.Contains(text+out, tt.token) && tt.what != "junk" {
				t.Errorf("%s as text:\n%s", tt.what, text)
			}
		}
	}
	if _, says, status := s.pipe("\n", "token", "inspect", "-"); status != 2 || !strings.Contains(says, "empty") {
		t.Errorf("an empty token: status %d, %q", status, says)
	}
}
