package endpoint

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollgate-authz/tollgate/tokens"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestI7_Answers compares whole answers of every kind, byte for byte.
func TestI7_Answers(t *testing.T) {
	t.Parallel()
	grant := func(more ...string) request {
		return formRequest(append([]string{"grant_type", "client_credentials"}, more...)...)
	}
	for _, dialect := range []struct {
		file string
		ask  func(id string, secret tokens.Secret, scope string) request
		more []named
	}{
		{"auth_token.golden", func(id string, secret tokens.Secret, scope string) request { return jsonRequest(id, secret, scope) }, []named{
			{"method", request{method: "GET", target: pathAuthToken}},
			{"malformed", jsonBody(`{"client_id":1}`)},
			{"too large", jsonBody(strings.Repeat(" ", maxBody+1))},
			{"unknown path", request{method: "GET", target: "/nowhere"}},
		}},
		{"oauth2_token.golden", func(id string, secret tokens.Secret, scope string) request {
			return grant("client_id", id, "client_secret", secret.Reveal(), "scope", scope)
		}, []named{
			{"wrong secret by Basic", grant().basic("reports", "wrong")},
			{"no credentials", grant()},
			{"Bearer instead of Basic", grant().with("Authorization", "Bearer x")},
			{"Basic and body", grant("client_secret", "x").basic("reports", "x")},
			{"unknown grant type", formRequest("grant_type", "password").basic("reports", "x")},
			{"refresh token of a client without", formRequest("grant_type", "refresh_token", "refresh_token", "x").basic("golden", secretOfGolden)},
			{"unknown resource", grant("resource", "https://elsewhere.example").basic("golden", secretOfGolden)},
			{"method", request{method: "GET", target: pathOAuth2Token}},
			{"malformed", formBody("%zz")},
			{"too large", formBody(strings.Repeat("a", maxBody+1))},
		}},
		{"well_known.golden", nil, []named{
			{"keys", request{method: "GET", target: pathKeySet}},
			{"metadata", request{method: "GET", target: pathMetadata}},
			{"method", request{method: "POST", target: pathMetadata}},
		}},
	} {
		t.Run(dialect.file, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.create("elsewhere", func(c *tokens.Client) { trusted("203.0.113.0/24")(c); w.withSecret("s3cret")(c) })
			w.create("golden", w.withSecret(secretOfGolden))
			var out strings.Builder
			show := func(name string, q request) {
				fmt.Fprintf(&out, "--- %s\n%s\n", name, dump(w.do(q)))
			}
			if ask := dialect.ask; ask != nil {
				show("granted", ask("golden", secretOfGolden, ""))
				show("one scope", ask("golden", secretOfGolden, "contacts:read"))
				show("unknown client", ask("nobody", "wrong", ""))
				show("wrong secret", ask("golden", "wrong", ""))
				show("scope it does not have", ask("golden", secretOfGolden, "contacts:read admin"))
				show("malformed scope", ask("golden", secretOfGolden, " contacts:read"))
				show("source not trusted", ask("elsewhere", "s3cret", ""))
			}
			for _, m := range dialect.more {
				show(m.name, m.q)
			}
			if ask := dialect.ask; ask != nil {
				for range 8 {
					w.do(ask("golden", secretOfGolden, ""))
				}
				show("too many generations", ask("golden", secretOfGolden, ""))
				w.advance(time.Minute)
				w.records.fail()
				show("own fault", ask("golden", secretOfGolden, ""))
			}
			compare(t, filepath.Join("testdata", dialect.file), out.String())
		})
	}
}

// TestD4_Answers compares the answers to all that can be done with a token.
func TestD4_Answers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.caller("app", refreshing)
	var out strings.Builder
	show := func(name string, r response) response {
		fmt.Fprintf(&out, "--- %s\n%s\n", name, dump(r))
		return r
	}
	first := show("granted", c.ask(pathOAuth2Token, "grant_type", "client_credentials"))
	second := show("refreshed, with less scope", c.refresh(first, "scope", "contacts:read"))
	show("scope that the refresh token does not have", c.refresh(second, "scope", "admin"))
	show("another resource", c.refresh(second, "resource", apiOne))
	show("access token introspected", c.introspect(second.fields.AccessToken))
	show("refresh token introspected", c.introspect(second.fields.RefreshToken))
	show("refresh token used before", c.refresh(first))
	show("most recent refresh token after that", c.refresh(second))
	show("access token introspected after that", c.introspect(second.fields.AccessToken))
	third := c.token()
	show("revoked", c.revoke(third.fields.AccessToken))
	show("unknown token revoked", c.revoke("x"))
	show("no token", c.ask(pathRevoke))
	show("wrong secret", caller{w, c.id, "wrong"}.introspect("x"))
	w.records.fail("RotateFamily", "EndFamily")
	show("refreshed with a full disk", c.refresh(third))
	show("revoked with a full disk", c.revoke(third.fields.RefreshToken))
	compare(t, filepath.Join("testdata", "token_life.golden"), out.String())
}

type named struct {
	name string
	q    request
}

const secretOfGolden tokens.Secret = "secret-of-the-golden-client"

// drawn is what differs each time.
var drawn = regexp.MustCompile(`"(access_token|refresh_token|jti|client_id|sub|kid|x|y)":"[A-Za-z0-9_.-]+"`)

func dump(r response) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", r.status)
	body := drawn.ReplaceAllString(r.body, `"$1":"…"`)
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		if name == "Content-Length" && body != r.body {
			continue
		}
		fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(r.header[name], " | "))
	}
	return b.String() + "\n" + body + "\n"
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s: -want +got:\n%s", file, d)
	}
}
