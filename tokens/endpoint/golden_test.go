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
			{"refresh_token grant", formRequest("grant_type", "refresh_token", "refresh_token", "x").basic("reports", "x")},
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
			clients := &fakeClients{}
			w := newWorld(t, func(c *Config) {
				clients.Clients = c.Clients
				c.Clients = clients
				c.KeySet = func() []byte { return []byte(`{"keys":[]}`) }
			})
			w.create("elsewhere", func(c *tokens.Client) { trusted("203.0.113.0/24")(c); c.SecretHash = w.pepper.Hash("s3cret") })
			w.create("golden", func(c *tokens.Client) { c.SecretHash = w.pepper.Hash(secretOfGolden) })
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
				clients.err = errStore
				show("own fault", ask("golden", secretOfGolden, ""))
			}
			compare(t, filepath.Join("testdata", dialect.file), out.String())
		})
	}
}

type named struct {
	name string
	q    request
}

const secretOfGolden tokens.Secret = "secret-of-the-golden-client"

var tokenForm = regexp.MustCompile(`"access_token":"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"`)

func dump(r response) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", r.status)
	body := tokenForm.ReplaceAllString(r.body, `"access_token":"…"`)
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		if name == "Content-Length" && body != r.body {
			continue // ECDSA tokens differ each time
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
