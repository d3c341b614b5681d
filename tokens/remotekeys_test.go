package tokens

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// idp is an identity provider without a network: tests change what it answers.
type idp struct {
	mu      sync.Mutex
	answer  func(*http.Request) (*http.Response, error)
	fetched []time.Time
}

func (p *idp) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetched = append(p.fetched, time.Now())
	return p.answer(r)
}

func (p *idp) set(answer func(*http.Request) (*http.Response, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

func (p *idp) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.fetched)
}

func down(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }

func serves(doc string, header ...string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: http.StatusOK, Header: h, Body: io.NopCloser(strings.NewReader(doc))}, nil
	}
}

// keyDocument is a key set with one new EC key for each kid.
func keyDocument(t testing.TB, kids ...string) string {
	t.Helper()
	var keys []*SigningKey
	for _, kid := range kids {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, &SigningKey{ID: kid, Alg: "ES256", Private: private})
	}
	doc, err := KeySetDocument(keys)
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

func newTestKeys(p *idp, dir string) *RemoteKeys {
	return NewRemoteKeys(RemoteKeysConfig{
		Issuer: "https://idp.example", URI: "https://idp.example/jwks", CacheDir: dir,
		Client: &http.Client{Transport: p}, Now: time.Now,
	})
}

// has reports whether a kid is known.
func has(t *testing.T, r *RemoteKeys, kid string) bool {
	t.Helper()
	key, err := r.Key(t.Context(), kid)
	return key != nil && err == nil
}

// TestB6_StartsWithTheIssuerDown: no key set, 503 for its tokens, and ready
// within five seconds of its return; at once with a set on disk.
func TestB6_StartsWithTheIssuerDown(t *testing.T) {
	dir, doc := t.TempDir(), keyDocument(t, "k1")
	synctest.Test(t, func(t *testing.T) {
		p := &idp{answer: down}
		r := newTestKeys(p, dir)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = r.Run(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, err := r.Key(ctx, "k1"); !errors.Is(err, ErrNoKeys) || r.Loaded() {
			t.Errorf("with the issuer down: %v, want ErrNoKeys", err)
		}
		p.set(serves(doc))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if !has(t, r, "k1") {
			t.Error("not ready five seconds after the issuer's return")
		}
		cancel()
		synctest.Wait()
		if again := newTestKeys(&idp{answer: down}, dir); !again.Loaded() {
			t.Error("a set on disk was not used at start")
		}
	})
}

// TestB7_KnownKeysOutliveTheIssuer: a day without the issuer changes nothing but
// the age.
func TestB7_KnownKeysOutliveTheIssuer(t *testing.T) {
	doc := keyDocument(t, "k1")
	synctest.Test(t, func(t *testing.T) {
		p := &idp{answer: serves(doc)}
		r := newTestKeys(p, "")
		var reports []error
		r.Report = func(err error) { reports = append(reports, err) }
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = r.Run(ctx) }()
		synctest.Wait()
		p.set(down)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if !has(t, r, "k1") {
			t.Error("the key was forgotten")
		}
		if age := r.Age(time.Now()); age < 23*time.Hour {
			t.Errorf("age %v, want about a day", age)
		}
		if len(reports) != 1 || reports[0] == nil {
			t.Errorf("reports %v, want one failure", reports)
		}
		p.set(serves(doc))
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(reports) != 2 || reports[1] != nil {
			t.Errorf("reports %v, want the recovery too", reports)
		}
		cancel()
		synctest.Wait()
	})
}

// TestB8_BadKeySetsLeaveTheOldOne: twelve kinds of bad documents.
func TestB8_BadKeySetsLeaveTheOldOne(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write(bytes.Repeat([]byte(" "), 10<<20))
	_ = w.Close()
	good, private := keyDocument(t, "k2"), `{"keys":[{"kty":"EC","crv":"P-256","kid":"k2","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}]}`
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprintf("k%d", i)
	}
	for name, answer := range map[string]http.HandlerFunc{
		"garbage":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"empty":     func(http.ResponseWriter, *http.Request) {},
		"no keys":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[]}`) },
		"not a set": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[]`) },
		"101 keys":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, keyDocument(t, many...)) },
		"twice":     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, keyDocument(t, "k2", "k2")) },
		"private":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, private) },
		"symmetric": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"keys":[{"kty":"oct","kid":"k2","k":"AAAA"}]}`)
		},
		"10 MB": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, good+strings.Repeat(" ", 10<<20))
		},
		"gzip bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(zipped.Bytes())
		},
		"redirect":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"error":      func(w http.ResponseWriter, _ *http.Request) { http.Error(w, good, http.StatusInternalServerError) },
		"half":       func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, good[:len(good)/2]) },
		"same names": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[],"keys":[]}`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(answer)
			t.Cleanup(server.Close)
			r := NewRemoteKeys(RemoteKeysConfig{Issuer: server.URL, URI: server.URL + "/jwks", Client: NewFetchClient(), Now: time.Now})
			old, err := ParseKeySet([]byte(keyDocument(t, "k1")))
			if err != nil {
				t.Fatal(err)
			}
			r.replace(old, start)
			if _, err := r.refresh(t.Context()); err == nil {
				t.Error("the document was accepted")
			}
			if !has(t, r, "k1") || has(t, r, "k2") {
				t.Error("the old set is gone")
			}
		})
	}
}

// TestB8_ASlowIssuerIsDown: a byte a second is cut off after five seconds.
func TestB8_ASlowIssuerIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &idp{answer: func(r *http.Request) (*http.Response, error) {
			body, w := io.Pipe()
			go func() {
				for {
					select {
					case <-r.Context().Done():
						_ = w.CloseWithError(r.Context().Err())
						return
					case <-time.After(time.Second):
						if _, err := w.Write([]byte(" ")); err != nil {
							return
						}
					}
				}
			}()
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body}, nil
		}}
		r := newTestKeys(p, "")
		began := time.Now()
		if _, err := r.refresh(t.Context()); err == nil {
			t.Error("the fetch succeeded")
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the fetch took %v, want at most 5 s", took)
		}
	})
}

// TestB9_UnknownKidStorm: a hundred thousand tokens with unknown kids in ten
// seconds cause one fetch, and a real rotation is accepted within 30 seconds.
func TestB9_UnknownKidStorm(t *testing.T) {
	doc, rotated := keyDocument(t, "k1"), keyDocument(t, "k1", "k2")
	synctest.Test(t, func(t *testing.T) {
		p := &idp{answer: serves(doc, "Cache-Control", "public, max-age=3600")}
		r := newTestKeys(p, "")
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = r.Run(ctx) }()
		synctest.Wait()
		time.Sleep(40 * time.Second) // the cooldown since the first fetch is over
		before := p.count()
		for i := range 100 {
			for j := range 1000 {
				if has(t, r, fmt.Sprintf("u%d-%d", i, j)) {
					t.Fatal("an unknown kid was found")
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		if n := p.count() - before; n != 1 {
			t.Errorf("%d fetches in ten seconds, want 1", n)
		}
		p.set(serves(rotated, "Cache-Control", "max-age=3600"))
		asked := time.Now()
		for !has(t, r, "k2") && time.Since(asked) < time.Minute {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if took := time.Since(asked); took > 30*time.Second {
			t.Errorf("the rotation was accepted after %v, want at most 30 s", took)
		}
		cancel()
		synctest.Wait()
		for i := 1; i < len(p.fetched); i++ {
			if gap := p.fetched[i].Sub(p.fetched[i-1]); gap < fetchCooldown {
				t.Errorf("fetches %v apart, want at least %v", gap, fetchCooldown)
			}
		}
	})
}

func TestC2_Discovery(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	doc := keyDocument(t, "k1")
	serve := func(path, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	}
	meta := func(issuer, uri string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, issuer, uri) }
	serve("/jwks", doc)
	serve("/oidc/.well-known/openid-configuration", meta(server.URL+"/oidc", server.URL+"/jwks"))
	serve("/.well-known/oauth-authorization-server/oauth", meta(server.URL+"/oauth", server.URL+"/jwks"))
	serve("/liar/.well-known/openid-configuration", meta("https://other.example", server.URL+"/jwks"))
	serve("/plain/.well-known/openid-configuration", meta(server.URL+"/plain", "http://192.0.2.1/jwks"))
	serve("/inner/.well-known/openid-configuration", meta(server.URL+"/inner", "https://10.0.0.1/jwks"))
	for path, want := range map[string]string{"/oidc": "", "/oauth": "", "/liar": "another issuer", "/plain": "https is needed", "/inner": "private address", "/none": "answered 404"} {
		_, _, err := fetchKeySet(t.Context(), NewFetchClient(), server.URL+path, "")
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", path, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want an error with %q", path, err, want)
		}
	}
}

func TestFetchURLs(t *testing.T) {
	t.Parallel()
	for raw, good := range map[string]bool{
		"https://idp.example/jwks": true, "http://127.0.0.1:8080/jwks": true, "http://localhost/jwks": true, "http://[::1]/x": true,
		"http://idp.example/jwks": false, "ftp://idp.example": false, "https://": false, "jwks": false, "https://u:p@idp.example/": false, "https://idp.example/#x": false, "file:///etc/passwd": false,
	} {
		if err := CheckFetchURL(raw); (err == nil) != good {
			t.Errorf("CheckFetchURL(%q) = %v, want good %v", raw, err, good)
		}
	}
	seen := context.WithValue(t.Context(), discovered{}, true)
	for address, good := range map[string]bool{"10.0.0.1:443": false, "127.0.0.1:443": false, "[::1]:443": false, "100.64.0.1:443": false, "[fd00::1]:443": false, "203.0.113.1:443": true} {
		if err := refuseOddAddresses(seen, "tcp", address, nil); (err == nil) != good {
			t.Errorf("dial the discovered %s: %v, want good %v", address, err, good)
		}
	}
	for address, good := range map[string]bool{"169.254.169.254:80": false, "[fe80::1]:80": false, "0.0.0.0:80": false, "[::]:80": false, "224.0.0.1:80": false, "[::ffff:169.254.169.254]:80": false, "10.0.0.1:443": true, "203.0.113.1:443": true} {
		if err := refuseOddAddresses(t.Context(), "tcp", address, nil); (err == nil) != good {
			t.Errorf("dial %s: %v, want good %v", address, err, good)
		}
	}
}

func TestKeysOnDiskAreWholeOrAbsent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newTestKeys(&idp{answer: serves(keyDocument(t, "k1"))}, dir)
	if _, err := r.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v; want one", files, err)
	}
	if err := os.WriteFile(files[0], []byte(`{"keys":[`), 0o600); err != nil {
		t.Fatal(err)
	}
	if newTestKeys(&idp{answer: down}, dir).Loaded() {
		t.Error("half a file was used")
	}
}

func TestParseKeySetPassesOver(t *testing.T) {
	t.Parallel()
	good := strings.TrimSuffix(strings.TrimPrefix(keyDocument(t, "k1"), `{"keys":[`), `]}`)
	for name, other := range map[string]string{
		"encryption key": `{"kty":"EC","crv":"P-256","use":"enc","kid":"k1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
		"unknown kind":   `{"kty":"AKP","kid":"q"}`,
		"no kid":         `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
		"off the curve":  `{"kty":"EC","crv":"P-256","kid":"b","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"}`,
	} {
		keys, err := ParseKeySet([]byte(`{"keys":[` + other + `,` + good + `]}`))
		if err != nil || len(keys) != 1 || keys[0].ID != "k1" {
			t.Errorf("%s: keys %v, %v; want k1 alone", name, keys, err)
		}
	}
}

func FuzzKeySet(f *testing.F) {
	f.Add([]byte(keyDocument(f, "k1", "k2")))
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"r","n":"AQAB","e":"AQAB"}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		keys, err := ParseKeySet(doc)
		if err == nil && len(keys) == 0 {
			t.Error("a set without keys was accepted")
		}
	})
}
