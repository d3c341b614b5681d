package oauthclients

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// authStyles are the two ways to send credentials, and the guessing of those who
// leave the choice to the library.
var authStyles = map[string]oauth2.AuthStyle{
	"Basic": oauth2.AuthStyleInHeader, "body": oauth2.AuthStyleInParams, "detected": oauth2.AuthStyleAutoDetect,
}

func TestD3D4_XOAuth2(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for name, style := range authStyles {
		t.Run(name+"/client_credentials", func(t *testing.T) {
			t.Parallel()
			c := s.client(t)
			config := s.clientCredentials(c, style)
			client := config.Client(t.Context())
			requireCaller(t, client, s.api+"/v1/contacts/7", c.ID, "contacts:read contacts:write")
			requireStatus(t, client, http.MethodPost, s.api+"/v1/contacts", http.StatusOK)
		})
		t.Run(name+"/narrowed scope", func(t *testing.T) {
			t.Parallel()
			c := s.client(t)
			config := s.clientCredentials(c, style)
			config.Scopes = []string{"contacts:read"}
			client := config.Client(t.Context())
			requireCaller(t, client, s.api+"/v1/contacts/7", c.ID, "contacts:read")
			requireStatus(t, client, http.MethodPost, s.api+"/v1/contacts", http.StatusUnauthorized)

			config.Scopes = []string{"contacts:read", "invoices:read"}
			_, err := config.Token(t.Context())
			requireOAuthError(t, err, http.StatusBadRequest, "invalid_scope")
		})
		t.Run(name+"/wrong secret", func(t *testing.T) {
			t.Parallel()
			c := s.client(t)
			c.Secret = "not-" + c.Secret
			_, err := s.clientCredentials(c, style).Token(t.Context())
			requireOAuthError(t, err, http.StatusUnauthorized, "invalid_client")
		})
		t.Run(name+"/refresh_token", func(t *testing.T) {
			t.Parallel()
			c := s.client(t, "--refresh")
			first, err := s.clientCredentials(c, style).Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if first.RefreshToken == "" {
				t.Fatal("no refresh token")
			}
			config := oauth2.Config{ClientID: c.ID, ClientSecret: c.Secret, Endpoint: oauth2.Endpoint{TokenURL: s.issuer + "/oauth2/token", AuthStyle: style}}

			// An application that was off for longer than its access token lives.
			stored := *first
			stored.Expiry = time.Unix(1, 0)
			source := config.TokenSource(t.Context(), &stored)
			second, err := source.Token()
			if err != nil {
				t.Fatal(err)
			}
			if second.AccessToken == first.AccessToken || second.RefreshToken == first.RefreshToken || second.RefreshToken == "" || !second.Valid() {
				t.Errorf("a refresh did not give a new pair; valid: %v", second.Valid())
			}
			requireCaller(t, oauth2.NewClient(t.Context(), source), s.api+"/v1/contacts/7", c.ID, "contacts:read contacts:write")

			_, err = config.TokenSource(t.Context(), &stored).Token()
			requireOAuthError(t, err, http.StatusBadRequest, "invalid_grant")
			var refused *oauth2.RetrieveError
			if errors.As(err, &refused) && refused.ErrorDescription != "Invalid refresh token" {
				t.Errorf("got %q, want the words of row D4", refused.ErrorDescription)
			}
		})
	}
}

func (s *stack) clientCredentials(c credential, style oauth2.AuthStyle) *clientcredentials.Config {
	return &clientcredentials.Config{ClientID: c.ID, ClientSecret: c.Secret, TokenURL: s.issuer + "/oauth2/token", AuthStyle: style}
}

// requireCaller asks the API whom it takes the caller for.
func requireCaller(t *testing.T, client *http.Client, url, id, scopes string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var caller struct{ Client, Scopes string }
	if err := json.NewDecoder(resp.Body).Decode(&caller); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("got %d from the API: %v", resp.StatusCode, err)
	}
	if caller.Client != id || caller.Scopes != scopes {
		t.Errorf("the API was called by %+v, want client %s with %s", caller, id, scopes)
	}
}

func requireStatus(t *testing.T, client *http.Client, method, url string, want int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != want {
		t.Errorf("%s %s: got %d, want %d", method, url, resp.StatusCode, want)
	}
}

func requireOAuthError(t *testing.T, err error, status int, code string) {
	t.Helper()
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, want an error of the token endpoint", err)
	}
	if refused.Response.StatusCode != status || refused.ErrorCode != code {
		t.Errorf("got %d %q, want %d %q", refused.Response.StatusCode, refused.ErrorCode, status, code)
	}
}
