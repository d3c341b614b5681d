package e2e

import (
	"crypto/rand"
	"debug/elf"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// foreign is another issuer, with a key set that it serves.
type foreign struct {
	url string
	key *tokens.SigningKey
}

// foreignIssuer makes an issuer; serve publishes its keys.
func foreignIssuer(t *testing.T) *foreign {
	t.Helper()
	key, err := tokens.NewSigningKey("ES256", rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &foreign{url: "http://127.0.0.1:1", key: key}
}

func (f *foreign) serve(t *testing.T) {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	f.url = server.URL
	doc, err := tokens.KeySetDocument([]*tokens.SigningKey{f.key})
	if err != nil {
		t.Fatal(err)
	}
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(doc) })
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"issuer":"` + f.url + `","jwks_uri":"` + f.url + `/keys"}`))
	})
}

// token signs one as an authorization server would.
func (f *foreign) token(t *testing.T, audience string, scopes ...string) string {
	t.Helper()
	issuer, err := tokens.NewIssuer(f.url, f.key, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := issuer.Issue(tokens.Claims{Client: "partner-app", Audience: audience, Scopes: scopes, Generation: 1, IssuedAt: time.Now(), TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return issued.Bearer.Reveal()
}

func (s *stack) readConfig() string {
	s.t.Helper()
	text, err := os.ReadFile(s.configFile())
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// interpreter reports whether an ELF file names a dynamic linker.
func interpreter(t *testing.T, path string) bool {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Skip("not an ELF file: ", err)
	}
	defer func() { _ = f.Close() }()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return true
		}
	}
	return false
}
