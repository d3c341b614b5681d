package e2e

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// signingKey is a key as keys list prints it.
type signingKey struct{ Kid, Alg, State string }

func (s *stack) keys() (list []signingKey) {
	s.t.Helper()
	out := s.tollgate("keys", "list", "--output", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		s.t.Fatalf("keys: %v: %s", err, out)
	}
	return list
}

// kid is the key that a JWT says it was signed with.
func kid(t *testing.T, bearer string) string {
	t.Helper()
	var header struct{ Kid string }
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(bearer, ".")[0])
	if err == nil {
		err = json.Unmarshal(text, &header)
	}
	if err != nil {
		t.Fatal(err)
	}
	return header.Kid
}

// TestKeysRotate: a key is published before it signs, and tokens of the old one live
// on.
func TestKeysRotate(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newStack(t, envoy)
		c := s.client("--scope", "contacts:read")
		states := func(want ...string) []signingKey {
			t.Helper()
			list := s.keys()
			var got []string
			for _, k := range list {
				got = append(got, k.State)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("keys list: %v, want %v", list, want)
			}
			return list
		}
		published := func(kid string) func() bool {
			return func() bool {
				return strings.Contains(s.request(http.MethodGet, "api.example.com", "/.well-known/jwks.json", "").body, `"`+kid+`"`)
			}
		}
		old := s.token(c)
		first := states("signing")[0].Kid
		s.expectCode("the first key", old, "")
		s.tollgate("keys", "rotate")
		list := states("next", "signing")
		s.until("the next key is published", published(list[0].Kid))
		if got := kid(t, s.token(c)); got != first || list[1].Kid != first || !published(first)() {
			t.Errorf("signed by %s, want %s until the next key's time has come", got, first)
		}
		s.tollgate("keys", "rotate", "--now")
		third := s.keys()[0].Kid
		s.catchUp()
		latest := s.token(c)
		if got := kid(t, latest); got != third {
			t.Fatalf("signed by %s, want %s at once", got, third)
		}
		if !published(third)() || !published(first)() {
			t.Error("the keys that sign and signed are not both published")
		}
		s.expectCode("signed by the first key", old, "")
		s.expectCode("signed by the third key", latest, "")
		s.stopServe(syscall.SIGTERM)
		s.startServe()
		s.until("Envoy is connected again", func() bool { return s.coded(latest)() != "R0" })
		s.expectCode("signed by the first key, after a restart", old, "")
		s.expectCode("signed by the third key, after a restart", latest, "")
		if got := kid(t, s.token(c)); got != third {
			t.Errorf("after a restart %s signs, want %s", got, third)
		}
	})
}

// TestBackup: the copy, made while tokens are issued, is a store.
func TestBackup(t *testing.T) {
	t.Parallel()
	const config = "issuer: https://tollgate.example\n" + commonConfig
	s := newTollgate(t, config)
	c := s.client("--scope", "contacts:read", "--format", "opaque", "--refresh")
	jwt := s.token(s.client("--scope", "contacts:read"))
	var mu sync.Mutex
	var pairs []issued
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				i, err := s.grant(t.Context(), c)
				if err != nil || i.Status != http.StatusOK {
					t.Errorf("while the backup runs: %d %s, %v", i.Status, i.Body, err)
					return
				}
				mu.Lock()
				pairs = append(pairs, i)
				mu.Unlock()
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(pairs) }
	s.until("some tokens are issued", func() bool { return count() >= 20 })
	restored := prepareTollgate(t, config)
	data, copied := filepath.Join(s.dir, "data", "tollgate.db"), filepath.Join(restored.dir, "data", "tollgate.db")
	if err := os.Mkdir(filepath.Dir(copied), 0o700); err != nil {
		t.Fatal(err)
	}
	before := count()
	s.tollgate("backup", copied)
	close(stop)
	writers.Wait()
	if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy has mode %v, %v; want 0600", info.Mode(), err)
	}
	if _, says, status := s.tryTollgate("backup", copied); status != 1 || !strings.Contains(says, "exists already") {
		t.Errorf("over a file that is there: status %d, %q", status, says)
	}
	if _, says, status := restored.tryTollgate("client", "list"); status != 1 || !strings.Contains(says, "missing beside the store") {
		t.Errorf("without its secrets: status %d, %q", status, says)
	}
	for _, secret := range []string{".encryption-key", ".pepper"} {
		text, err := os.ReadFile(data + secret)
		if err == nil {
			err = os.WriteFile(copied+secret, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	restored.startServe()
	check := restored.checker()
	if got := check.must(s, jwt); got != "" {
		t.Errorf("a JWT at the copy: %s", got)
	}
	for i, p := range pairs[:before] {
		if got := check.must(s, p.Access); got != "" {
			t.Errorf("token %d of %d, issued before the backup: %s at the copy", i, before, got)
		}
	}
	restored.answered(200)(restored.refresh(t.Context(), c, pairs[0].Refresh))
	t.Logf("%d tokens before the backup, %d until it was done", before, len(pairs))
}

// TestAccounts: created, listed, and made along with a client.
func TestAccounts(t *testing.T) {
	t.Parallel()
	s := &stack{t: t, dir: t.TempDir(), check: "127.0.0.1:0", http: "127.0.0.1:0", ops: "127.0.0.1:0"}
	s.writeConfig(commonConfig)
	s.tollgate("account", "create", "--name", "acme", "--zone", "Europe/Berlin")
	s.client("--scope", "a", "--account", "byclient")
	var list []struct{ Name, Zone string }
	out := s.tollgate("account", "list", "--output", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ Name, Zone string }{{"acme", "Europe/Berlin"}, {"byclient", ""}} {
		if !slices.Contains(list, want) {
			t.Errorf("account list: %v, want %v in it", list, want)
		}
	}
	if text := s.tollgate("account", "list"); !strings.Contains(text, "Europe/Berlin") {
		t.Errorf("account list:\n%s", text)
	}
	for _, tt := range []struct {
		args, says string
		status     int
	}{
		{"--name acme", "exists already", 1}, {"--name byclient", "exists already", 1}, {"--name x --zone Mars/Olympus", "Europe/Berlin", 2},
		{"--name x --zone Local", "IANA", 2}, {"", "account", 2}, {"a b", "arg", 2},
	} {
		if _, says, status := s.tryTollgate(append([]string{"account", "create"}, strings.Fields(tt.args)...)...); status != tt.status || !strings.Contains(says, tt.says) {
			t.Errorf("account create %s: status %d, %q; want %d and %q", tt.args, status, says, tt.status, tt.says)
		}
	}
}
