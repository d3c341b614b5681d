package tokens

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
)

// newTestKey draws an API key and its record.
func newTestKey(t testing.TB) (Secret, *APIKey) {
	t.Helper()
	text, hash, id, err := NewAPIKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return text, &APIKey{ID: id, Name: "n", Account: "acme", Plan: "p", Environment: Production, Scopes: []string{"a:read"}, Hash: hash, CreatedAt: start}
}

func TestI5_APIKeyFormat(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^tgk_[A-Za-z0-9]{46}$`)
	seen := map[string]bool{}
	for range 100 {
		text, k := newTestKey(t)
		key := text.Reveal()
		if !form.MatchString(key) || !wellFormedKey(key) || k.Hash != sha256.Sum256([]byte(key)) || len(k.ID) != 22 {
			t.Errorf("key %q, ID %q: not as they should be", key, k.ID)
		}
		if seen[key] || seen[k.ID] {
			t.Errorf("%q or %q was drawn twice", key, k.ID)
		}
		seen[key], seen[k.ID] = true, true
	}
	if checksum("a") == checksum("b") || len(checksum("")) != keyChecksum {
		t.Error("the checksum is none")
	}
	if _, _, _, err := NewAPIKey(bytes.NewReader(make([]byte, 50))); err == nil {
		t.Error("a key was drawn from a source that ran dry")
	}
}

// TestI5_SlipsOfTheHand: a key with any one character changed or left out, or two
// neighbours exchanged, is refused without a look-up.
func TestI5_SlipsOfTheHand(t *testing.T) {
	t.Parallel()
	text, _ := newTestKey(t)
	key := text.Reveal()
	refuse := func(slip string) {
		if slip != key && wellFormedKey(slip) {
			t.Errorf("%q, made of %q, is well formed", slip, key)
		}
	}
	for i := range len(key) {
		for _, c := range []byte(alphanumeric + "_- \x00") {
			refuse(key[:i] + string([]byte{c}) + key[i+1:])
		}
		refuse(key[:i] + key[i+1:])
		refuse(key[:i] + "A" + key[i:])
		if i > 0 {
			refuse(key[:i-1] + string([]byte{key[i], key[i-1]}) + key[i+1:])
		}
	}
	for _, slip := range []string{"", keyPrefix, key + "A", key + " ", strings.ToLower(key), strings.ToUpper(key), key + key} {
		refuse(slip)
	}
}

func FuzzVerifyAPIKey(f *testing.F) {
	text, k := newTestKey(f)
	unknown, _ := newTestKey(f)
	feed := newFeed()
	feed.snapshot.APIKeys = map[string]*APIKey{k.ID: k}
	v := NewVerifier(newTestRegistry(f, feed), nil)
	f.Add(text.Reveal())
	f.Add(unknown.Reveal())
	f.Add(keyPrefix)
	f.Add("")
	f.Fuzz(func(t *testing.T, key string) {
		token, err := v.VerifyAPIKey(key)
		switch {
		case err == nil && (key != text.Reveal() || token.ID != k.ID):
			t.Errorf("%q is taken for the key %s", key, token.ID)
		case err != nil && (key == text.Reveal() || !errors.Is(err, ErrInvalid)):
			t.Errorf("%q: %v", key, err)
		case err != nil && key != "" && strings.Contains(err.Error(), key) && len(key) > 12:
			t.Errorf("the error shows the key: %v", err)
		}
	})
}

func TestI5_APIKeyIsWhoItSays(t *testing.T) {
	t.Parallel()
	text, k := newTestKey(t)
	k.APIs, k.ExpiresAt = []string{"contacts"}, start.Add(time.Hour)
	f := newFeed()
	f.snapshot.APIKeys = map[string]*APIKey{k.ID: k}
	r := newTestRegistry(t, f)
	v := NewVerifier(r, nil)
	token, err := v.VerifyAPIKey(text.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if token.Identity().Expired(start) || !token.Identity().Expired(start.Add(time.Hour)) {
		t.Error("it does not expire when it should")
	}
	id := token.Identity()
	if id.Ended != nil || id.Key != k || id.Client != nil || id.ClientID() != k.ID || id.TokenID() != k.ID || id.Account() != "acme" || id.Plan() != "p" ||
		id.Environment() != Production || id.ScopeList != "a:read" || id.Issuer() != "" || id.Subject() != "" {
		t.Errorf("identity %+v", id)
	}
	if id.Admits("contacts") != nil || !errors.Is(id.Admits("invoices"), errAPIKeyForeignAPI) {
		t.Errorf("admitted: %v, %v", id.Admits("contacts"), id.Admits("invoices"))
	}

	// Another key of the same first half of a hash is not it.
	near := k.Hash
	near[31] ^= 1
	if r.apiKey(&near) != nil {
		t.Error("half of a hash is enough to find a key")
	}

	// It is asked anew once the key has changed, and once it is gone.
	narrower := *k
	narrower.Scopes = nil
	f.tell(t, r, Changes{APIKeys: map[string]*APIKey{k.ID: &narrower}})
	if id := token.Identity(); id.ScopeList != "" || id.Key != &narrower || r.APIKeys() != 1 || r.Plans()["p"] != 1 {
		t.Errorf("identity %+v, %d keys, plans %v", id, r.APIKeys(), r.Plans())
	}
	f.tell(t, r, Changes{APIKeys: map[string]*APIKey{k.ID: nil}})
	if id := token.Identity(); !errors.Is(id.Ended, errAPIKeyGone) || r.APIKeys() != 0 {
		t.Errorf("a deleted key: %+v, %d keys", id, r.APIKeys())
	}
	if _, err := v.VerifyAPIKey(text.Reveal()); !errors.Is(err, ErrInvalid) {
		t.Errorf("a deleted key: %v, want %v", err, ErrInvalid)
	}
}

func TestI5_MovedAccounts(t *testing.T) {
	t.Parallel()
	text, k := newTestKey(t)
	f := newFeed(&Client{ID: "client1", Account: "acme"})
	f.snapshot.APIKeys = map[string]*APIKey{k.ID: k}
	r := newTestRegistry(t, f)
	token, err := NewVerifier(r, nil).VerifyAPIKey(text.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	want := func(api string, moved bool) {
		t.Helper()
		id := token.Identity()
		if err := id.Admits(api); (err != nil) != moved || id.Moved(api) != moved || r.Moved("acme", api) != moved {
			t.Errorf("%s: admits %v, moved %t and %t; want %t", api, err, id.Moved(api), r.Moved("acme", api), moved)
		}
	}
	contacts := MoveID{"acme", "contacts"}
	want("contacts", false)
	f.tell(t, r, Changes{Moves: map[MoveID]*Move{contacts: {Account: "acme", API: "contacts"}, {"initech", "invoices"}: {Account: "initech", API: "invoices"}}})
	want("contacts", true)
	want("invoices", false) // of another account
	f.tell(t, r, Changes{Moves: map[MoveID]*Move{contacts: nil}})
	want("contacts", false)

	// In force before the store has it; the store's own mark is not replaced.
	r.MoveNow(&Move{Account: "acme", API: "contacts", Client: "client1"})
	want("contacts", true)
	first := r.moves[contacts]
	r.MoveNow(&Move{Account: "acme", API: "contacts", Client: "client2"})
	if r.moves[contacts] != first {
		t.Error("a second mark replaced the first")
	}

	// A bearer token is admitted anywhere.
	bearer := &Token{Trust: &Trust{Own: true}, client: r.registration("client1"), Origin: &Origin{Generation: 1, registry: r}}
	if id := bearer.Identity(); id.Admits("contacts") != nil || !id.Moved("contacts") || id.Moved("invoices") {
		t.Errorf("a bearer token: %v, moved %t", id.Admits("contacts"), id.Moved("contacts"))
	}
}

func TestAPIKeyFor(t *testing.T) {
	t.Parallel()
	if k := (&APIKey{}); !k.For("any") || !k.For("") {
		t.Error("a key for all APIs is not for all")
	}
	if k := (&APIKey{APIs: []string{"a", "b"}}); !k.For("a") || !k.For("b") || k.For("c") || k.For("") || k.For("A") {
		t.Error("a key is not for the APIs it names, or for others")
	}
}

func TestAPIKeyValidate(t *testing.T) {
	t.Parallel()
	_, good := newTestKey(t)
	if faults := good.Validate(); len(faults) != 0 {
		t.Errorf("a good key: %v", faults)
	}
	for name, change := range map[string]func(*APIKey){
		"no name": func(k *APIKey) { k.Name = "" }, "account": func(k *APIKey) { k.Account = "a b" }, "environment": func(k *APIKey) { k.Environment = "" },
		"scope": func(k *APIKey) { k.Scopes = []string{"a b"} }, "past": func(k *APIKey) { k.ExpiresAt = start.Add(-time.Second) }, "at once": func(k *APIKey) { k.ExpiresAt = start },
	} {
		k := *good
		change(&k)
		if faults := k.Validate(); len(faults) != 1 {
			t.Errorf("%s: %v, want one fault", name, faults)
		}
	}
}

func TestAccountValidate(t *testing.T) {
	t.Parallel()
	for zone, faults := range map[string]int{"": 0, "UTC": 0, "Europe/Berlin": 0, "Local": 1, "europe/nowhere": 1, "../../etc/passwd": 1} {
		if got := (&Account{Name: "acme", Zone: zone}).Validate(); len(got) != faults {
			t.Errorf("zone %q: %v, want %d faults", zone, got, faults)
		}
	}
	if got := (&Account{Name: "a b", Zone: "x y"}).Validate(); len(got) != 2 {
		t.Errorf("got %v, want both faults at once", got)
	}
}
