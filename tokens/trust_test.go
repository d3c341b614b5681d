package tokens

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestV7_OverlappingKeyIDs: issuers choose their kids alone, so two may choose the
// same. Each key speaks for its own issuer and for no other.
func TestV7_OverlappingKeyIDs(t *testing.T) {
	t.Parallel()
	forges := map[string]*forge{"https://a.example/": newForge(t), "https://b.example/": newForge(t), ownURL: newForge(t)}
	var trusts []*Trust
	for issuer, f := range forges {
		trust := f.foreignTrust(t)
		if issuer == ownURL {
			trust = f.ownTrust(t)
		}
		trust.Issuer = issuer
		trusts = append(trusts, trust)
	}
	v := newTestVerifier(t, trusts...)
	for range 2 { // anew, and from the cache
		for issuer := range forges {
			for signer, f := range forges {
				token, err := v.Verify(t.Context(), f.token(t, nil, map[string]any{"iss": issuer, "azp": "client1"}), start)
				if issuer != signer {
					if !errors.Is(err, ErrInvalid) {
						t.Errorf("iss %s under the key of %s: %v, want ErrInvalid", issuer, signer, err)
					}
					continue
				}
				if err != nil || token.Identity().Issuer() != issuer {
					t.Errorf("%s: token %+v, error %v", issuer, token, err)
					continue
				}
				// All three name client1 and id1. Only our own token speaks for the client,
				// and what is counted is told apart by the issuer.
				id := token.Identity()
				if id.ClientID() != "client1" || id.TokenID() != "id1" || (id.Client != nil) != (issuer == ownURL) {
					t.Errorf("%s: identity %+v", issuer, id)
				}
			}
		}
		v.cache.Wait()
	}
}

// TestV7_ClaimsHaveExactNames: a name with dots or a URL is a name, not a path, and
// no other claim stands in for one that is missing.
func TestV7_ClaimsHaveExactNames(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	for name, tt := range map[string]struct {
		scopeClaim, clientClaim string
		claims                  map[string]any
		scopes                  []string
		client                  string
	}{
		"a path":        {"realm_access.roles", "app.id", map[string]any{"realm_access": map[string]any{"roles": []string{"a:admin"}}, "app": map[string]any{"id": "x"}}, nil, ""},
		"dots":          {"realm_access.roles", "app.id", map[string]any{"realm_access.roles": []string{"a:read"}, "app.id": "x"}, []string{"a:read"}, "x"},
		"a URL":         {"https://idp.example/roles", "azp", map[string]any{"https://idp.example/roles": []string{"a:read", "b:read"}, "azp": "x"}, []string{"a:read", "b:read"}, "x"},
		"another case":  {"scp", "azp", map[string]any{"SCP": "a:admin", "Azp": "x"}, nil, ""},
		"no stand-in":   {"scp", "azp", map[string]any{"scope": "a:admin", "client_id": "client1"}, nil, ""},
		"empty list":    {"scp", "azp", map[string]any{"scp": []string{}}, nil, ""},
		"empty text":    {"scp", "azp", map[string]any{"scp": ""}, nil, ""},
		"twice the one": {"scp", "azp", map[string]any{"scp": []string{"a:read", "a:read"}}, []string{"a:read"}, ""},
		"one claim":     {"sub", "sub", nil, []string{"client1"}, "client1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trust := f.foreignTrust(t)
			trust.ScopeClaim, trust.ClientClaim = tt.scopeClaim, tt.clientClaim
			claims := map[string]any{"iss": trust.Issuer}
			for k, v := range tt.claims {
				claims[k] = v
			}
			token, err := newTestVerifier(t, trust).Verify(t.Context(), f.token(t, nil, claims), start)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.scopes, token.Scopes); diff != "" || token.ClientID != tt.client {
				t.Errorf("client %q, scopes -want +got:\n%s", token.ClientID, diff)
			}
			if id := token.Identity(); id.Client != nil || id.Account() != "partners" || id.ScopeList != strings.Join(tt.scopes, " ") {
				t.Errorf("identity %+v", id)
			}
		})
	}
}

// TestV7_ScopeClaimsThatAreNone refuse the token: half of a list that was not
// understood is not the list.
func TestV7_ScopeClaimsThatAreNone(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	v := newTestVerifier(t, f.foreignTrust(t))
	for name, scp := range map[string]any{
		"number in it": []any{"a:read", 1}, "null in it": []any{"a:read", nil}, "list in it": []any{[]string{"a:read"}}, "true": true,
		"object": map[string]any{"a:read": true}, "line break": "a:read\nb:read", "tab": []string{"a\tb"},
		"space at the end": "a:read ", "space in front": " a:read", "too long": strings.Repeat("a", 257),
	} {
		if _, err := v.Verify(t.Context(), f.token(t, nil, map[string]any{"iss": "https://idp.example/", "scp": scp}), start); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}
