package tokens

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"
)

const ownURL = "https://tollgate.example"

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// forge signs whatever it is told to, as an attacker with a stolen key or an
// issuer with strange habits would.
type forge struct {
	private *ecdsa.PrivateKey
	header  map[string]any
	claims  map[string]any
}

func newForge(t testing.TB) *forge {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &forge{
		private: private,
		header:  map[string]any{"alg": "ES256", "kid": "k1", "typ": "at+jwt"},
		claims: map[string]any{
			"iss": ownURL, "sub": "client1", "aud": "https://api.example", "exp": start.Add(time.Hour).Unix(),
			"iat": start.Unix(), "jti": "id1", "client_id": "client1", "scope": "a:read b:write",
		},
	}
}

func (f *forge) key(t testing.TB) *Key {
	t.Helper()
	k, err := NewKey("k1", "ES256", &f.private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sign makes a token of raw header and payload.
func (f *forge) sign(t testing.TB, header, payload string) string {
	t.Helper()
	enc := base64.RawURLEncoding
	signed := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString([]byte(payload))
	h := crypto.SHA256.New()
	h.Write([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, f.private, h.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + enc.EncodeToString(joinRS(r, s))
}

func joinRS(r, s *big.Int) []byte {
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
}

// token signs the usual header and claims with some of them changed; a nil
// value leaves one out.
func (f *forge) token(t testing.TB, header, claims map[string]any) string {
	t.Helper()
	merge := func(base, change map[string]any) string {
		all := maps.Clone(base)
		for k, v := range change {
			if all[k] = v; v == nil {
				delete(all, k)
			}
		}
		raw, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	return f.sign(t, merge(f.header, header), merge(f.claims, claims))
}

func newTestVerifier(t testing.TB, trusts ...*Trust) *Verifier {
	t.Helper()
	registry := newTestRegistry(t, newFeed(&Client{ID: "client1", Scopes: []string{"a:read"}, Environment: Production}))
	cache, err := NewCache(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cache.Close)
	v := NewVerifier(registry, cache)
	v.Trust(trusts)
	return v
}

func (f *forge) ownTrust(t testing.TB) *Trust {
	return &Trust{Issuer: ownURL, Keys: FixedKeys{f.key(t)}, Algorithms: []string{"ES256"}, Types: []string{"at+jwt"}, Leeway: Leeway, Own: true}
}

func (f *forge) foreignTrust(t testing.TB) *Trust {
	return &Trust{
		Issuer: "https://idp.example/", Keys: FixedKeys{f.key(t)}, Audiences: []string{"https://api.example"}, Algorithms: []string{"ES256"},
		Types: []string{"at+jwt", "jwt", ""}, Leeway: Leeway, ScopeClaim: "scp", ClientClaim: "azp", Account: "partners", Plan: "default", Environment: Production,
	}
}

func TestC2_VerifiesOwnTokens(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	v := newTestVerifier(t, f.ownTrust(t))
	bearer := f.token(t, nil, nil)
	for range 2 { // anew, and perhaps from the cache
		token, err := v.Verify(t.Context(), bearer, start)
		if err != nil {
			t.Fatal(err)
		}
		if id := token.Identity(); id == nil || id.ScopeList != "a:read" || id.TokenID() != "id1" || id.ClientID() != "client1" {
			t.Errorf("identity %+v, want client1 with a:read alone", id)
		}
		v.cache.Wait()
	}
	if v.cache.Hits() == 0 {
		t.Error("the second look-up was no cache hit")
	}
}

// TestB1_HostileTokens: each is refused as invalid, whatever else is right.
func TestB1_HostileTokens(t *testing.T) {
	t.Parallel()
	f, other := newForge(t), newForge(t)
	v := newTestVerifier(t, f.ownTrust(t))
	good := f.token(t, nil, nil)
	parts := strings.Split(good, ".")
	raw := func(header, payload string) string { return f.sign(t, header, payload) }
	const header = `{"alg":"ES256","kid":"k1","typ":"at+jwt"}`
	claims := func(extra string) string {
		return fmt.Sprintf(`{"iss":%q,"sub":"client1","aud":"https://api.example","exp":%d,"iat":%d,"jti":"x","client_id":"client1","scope":"a:read"%s}`, ownURL, start.Unix()+60, start.Unix(), extra)
	}
	if _, err := v.Verify(t.Context(), raw(header, claims("")), start); err != nil {
		t.Fatalf("the model of the raw tokens is refused: %v", err)
	}
	h := func(k string, val any) string { return f.token(t, map[string]any{k: val}, nil) }
	c := func(k string, val any) string { return f.token(t, nil, map[string]any{k: val}) }
	flipped := []byte(parts[2])
	flipped[10] ^= 1
	hostile := map[string]string{
		"empty": "", "dots": "..", "one part": parts[0], "two parts": parts[0] + "." + parts[1], "four parts": good + ".x",
		"no signature": parts[0] + "." + parts[1] + ".", "no header": "." + parts[1] + "." + parts[2],
		"another key": other.token(t, nil, nil), "bit flipped": parts[0] + "." + parts[1] + "." + string(flipped),
		"payload of another": parts[0] + "." + strings.Split(c("sub", "other"), ".")[1] + "." + parts[2],
		"signature in ASN.1": parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(asn1Signature(t, f, parts[0]+"."+parts[1])),
		"zero signature":     parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
		"padding":            good + "=", "line break": good[:20] + "\n" + good[20:], "CR": good + "\r", "space": good + " ", "comma": good + "," + good,
		"standard alphabet": strings.Replace(good, "-", "+", 1) + "+", "not canonical": nonCanonical(good), "NUL": good + "\x00",
		"over 8 KiB": c("pad", strings.Repeat("x", 9000)), "header over 1 KiB": h("pad", strings.Repeat("x", 1200)),
		"alg none": h("alg", "none"), "alg None": h("alg", "None"), "alg HS256": h("alg", "HS256"), "alg ES384": h("alg", "ES384"), "alg RS256": h("alg", "RS256"),
		"alg empty": h("alg", ""), "alg missing": h("alg", nil), "alg number": h("alg", 1), "alg list": h("alg", []string{"ES256"}), "alg lower case": h("alg", "es256"),
		"kid missing": h("kid", nil), "kid unknown": h("kid", "k2"), "kid number": h("kid", 1), "kid long": h("kid", strings.Repeat("k", 200)), "kid path": h("kid", "../../k1"),
		"typ missing": h("typ", nil), "typ JWT": h("typ", "JWT"), "typ id_token": h("typ", "id+jwt"), "typ number": h("typ", 7),
		"crit": h("crit", []string{"exp"}), "b64": h("b64", false), "jwk": h("jwk", map[string]any{"kty": "EC"}), "jku": h("jku", "https://evil.example"),
		"x5u": h("x5u", "https://evil.example"), "x5c": h("x5c", []string{"MII"}), "zip": h("zip", "DEF"), "cty": h("cty", "JWT"), "enc": h("enc", "A128GCM"),
		"header twice alg": raw(`{"alg":"none","alg":"ES256","kid":"k1","typ":"at+jwt"}`, claims("")), "header trailing": raw(header+"{}", claims("")),
		"header array": raw(`["ES256"]`, claims("")), "header comment": raw(`{"alg":"ES256","kid":"k1","typ":"at+jwt"/**/}`, claims("")),
		"payload array": raw(header, `[]`), "payload string": raw(header, `"x"`), "payload empty": raw(header, ``), "payload trailing": raw(header, claims("")+"x"),
		"payload deep":   raw(header, claims(`,"d":`+strings.Repeat("[", 40)+strings.Repeat("]", 40))),
		"payload UTF-16": raw(header, claims(`,"d":"`+"\xff\xfe"+`"`)), "claim twice": raw(header, claims(`,"sub":"admin"`)), "claim twice escaped": raw(header, claims(`,"s\u0075b":"admin"`)),
		"nested twice": raw(header, claims(`,"x":{"a":1,"a":2}`)), "lone surrogate": raw(header, claims(`,"x":"\ud800"`)), "NaN": raw(header, claims(`,"x":NaN`)),
		"iss missing": c("iss", nil), "iss unknown": c("iss", "https://evil.example"), "iss with slash": c("iss", ownURL+"/"), "iss list": c("iss", []string{ownURL}), "iss case": c("iss", strings.ToUpper(ownURL)),
		"exp missing": c("exp", nil), "exp text": c("exp", "9999999999"), "exp negative": c("exp", -1), "exp huge": c("exp", 1e300), "exp far": c("exp", 253402300800), "exp null": raw(header, claims(`,"x":1`)[:20]),
		"EXP instead": f.token(t, nil, map[string]any{"exp": nil, "EXP": start.Unix() + 60}), "lives 2 years": c("exp", start.Add(2*366*24*time.Hour).Unix()),
		"iat missing": c("iat", nil), "iat future": c("iat", start.Add(time.Minute).Unix()), "nbf future": c("nbf", start.Add(time.Minute).Unix()), "nbf text": c("nbf", "0"),
		"jti missing": c("jti", nil), "jti number": c("jti", 1), "jti empty": c("jti", ""), "sub missing": c("sub", nil), "sub number": c("sub", 1), "sub control": c("sub", "a\r\nx-tollgate-client: admin"),
		"client_id missing": c("client_id", nil), "client_id list": c("client_id", []string{"client1"}),
		"aud missing": c("aud", nil), "aud number": c("aud", 1), "aud mixed": c("aud", []any{"https://api.example", 1}), "aud object": c("aud", map[string]any{"a": 1}),
		"scope number": c("scope", 1), "scope two spaces": c("scope", "a  b"), "scope quote": c("scope", `a"b`), "scope control": c("scope", "a\tb"), "scope object": c("scope", map[string]any{"a": true}),
	}
	for name, bearer := range hostile {
		token, err := v.Verify(t.Context(), bearer, start)
		if !errors.Is(err, ErrInvalid) || token != nil {
			t.Errorf("%s: token %v, error %v; want ErrInvalid", name, token, err)
		}
		if err != nil && len(parts[2]) > 20 && strings.Contains(err.Error(), parts[2][:20]) {
			t.Errorf("%s: the error shows the signature", name)
		}
	}
}

func asn1Signature(t *testing.T, f *forge, signed string) []byte {
	t.Helper()
	h := crypto.SHA256.New()
	h.Write([]byte(signed))
	sig, err := ecdsa.SignASN1(rand.Reader, f.private, h.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// nonCanonical changes the unused bits of the last character: another spelling
// of the same bytes, which generous decoders accept.
func nonCanonical(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last^1])
}

func TestI8_ExpiryIsLeftToTheGate(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	v := newTestVerifier(t, f.ownTrust(t))
	token, err := v.Verify(t.Context(), f.token(t, nil, map[string]any{"exp": start.Add(-time.Hour).Unix(), "iat": start.Add(-2 * time.Hour).Unix()}), start)
	if err != nil || !token.Expires.Equal(start.Add(-time.Hour)) {
		t.Errorf("token %v, error %v; want an expired token", token, err)
	}
}

func TestV7_ForeignIssuers(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	v := newTestVerifier(t, f.ownTrust(t), f.foreignTrust(t))
	foreign := map[string]any{"iss": "https://idp.example/", "jti": nil, "client_id": nil, "scope": nil, "iat": nil, "azp": "app7", "scp": []string{"a:read", "c:read"}, "aud": []string{"x", "https://api.example"}}
	with := func(change map[string]any) map[string]any {
		all := maps.Clone(foreign)
		maps.Copy(all, change)
		return all
	}
	token, err := v.Verify(t.Context(), f.token(t, map[string]any{"typ": "JWT"}, foreign), start)
	if err != nil {
		t.Fatal(err)
	}
	id := token.Identity()
	if id.ClientID() != "app7" || id.Account() != "partners" || id.ScopeList != "a:read c:read" || id.Subject() != "client1" || id.Environment() != Production {
		t.Errorf("identity %+v", id)
	}
	again, err := v.Verify(t.Context(), f.token(t, map[string]any{"typ": "JWT"}, foreign), start)
	if err != nil || again.ID != token.ID || !strings.HasPrefix(token.ID, "sha256-") {
		t.Errorf("one set of claims has the names %q and %q, %v", token.ID, again.ID, err)
	}
	if !token.Expires.Equal(start.Add(time.Hour + Leeway)) {
		t.Errorf("expires %v, want exp and the leeway", token.Expires)
	}
	for name, change := range map[string]map[string]any{
		"another audience": {"aud": "https://other.example"}, "sub missing": {"sub": nil}, "azp number": {"azp": 7}, "scp number": {"scp": 7},
		"scp with a space inside": {"scp": []string{"a:read b"}}, "scp with an empty one": {"scp": []string{""}},
	} {
		if _, err := v.Verify(t.Context(), f.token(t, nil, with(change)), start); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	// A foreign token never speaks for a local client, whatever it claims.
	sly, err := v.Verify(t.Context(), f.token(t, nil, with(map[string]any{"client_id": "client1", "azp": "client1"})), start)
	if err != nil || sly.client != nil || sly.Identity().Account() != "partners" {
		t.Errorf("a foreign token became a local client: %+v, %v", sly, err)
	}
}

func TestCachedTokenDiesWithItsKey(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	r := &RemoteKeys{}
	r.replace([]*Key{f.key(t)}, start)
	trust := f.ownTrust(t)
	trust.Keys = r
	v := newTestVerifier(t, trust)
	bearer := f.token(t, nil, nil)
	for range 2 {
		if _, err := v.Verify(t.Context(), bearer, start); err != nil {
			t.Fatal(err)
		}
		v.cache.Wait()
	}
	r.replace([]*Key{f.key(t)}, start) // the same key, read again
	if k, _ := r.Key(t.Context(), "k1"); k.retired.Load() {
		t.Error("a key that stayed in the set was retired")
	}
	r.replace([]*Key{newForge(t).key(t)}, start) // another key under the same kid
	if _, err := v.Verify(t.Context(), bearer, start); !errors.Is(err, ErrInvalid) {
		t.Errorf("after its key was replaced: %v, want ErrInvalid", err)
	}
}

func TestCachedTokenDiesWithItsTrust(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	v := newTestVerifier(t, f.foreignTrust(t))
	bearer := f.token(t, nil, map[string]any{"iss": "https://idp.example/"})
	if _, err := v.Verify(t.Context(), bearer, start); err != nil {
		t.Fatal(err)
	}
	v.cache.Wait()
	narrower := f.foreignTrust(t)
	narrower.Audiences = []string{"https://other.example"}
	v.Trust([]*Trust{narrower})
	if _, err := v.Verify(t.Context(), bearer, start); !errors.Is(err, ErrInvalid) {
		t.Errorf("after the audiences changed: %v, want ErrInvalid", err)
	}
}

func FuzzVerify(f *testing.F) {
	maker := newForge(f)
	v := newTestVerifier(f, maker.ownTrust(f), maker.foreignTrust(f))
	f.Add(maker.token(f, nil, nil))
	f.Add("a.b.c")
	f.Add(maker.token(f, map[string]any{"typ": "JWT"}, map[string]any{"iss": "https://idp.example/"}))
	f.Fuzz(func(t *testing.T, bearer string) {
		token, err := v.Verify(t.Context(), bearer, start)
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("own fault on %q: %v", bearer, err)
		}
		if err == nil && (token.Subject == "" || token.ID == "" || token.Expires.IsZero()) {
			t.Errorf("accepted %q as %+v", bearer, token)
		}
	})
}

// FuzzClaims signs what it is given, so that the claims reader is reached.
func FuzzClaims(f *testing.F) {
	maker := newForge(f)
	trust := maker.foreignTrust(f)
	f.Add([]byte(`{"iss":"https://idp.example/","sub":"s","exp":1772370000,"aud":"https://api.example","scp":"a b","azp":"x"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		v, err := parseObject("payload", payload)
		if err != nil {
			return
		}
		token, err := trust.readClaims(&v, start)
		if err == nil && (token.Subject == "" || token.ID == "" || hasControl(token.Subject+token.ClientID+strings.Join(token.Scopes, ""))) {
			t.Errorf("accepted %q as %+v", payload, token)
		}
	})
}

// BenchmarkFirstSight verifies an ES256 token never seen before, beside the
// bare signature check.
func BenchmarkFirstSight(b *testing.B) {
	f := newForge(b)
	v := newTestVerifier(b, f.ownTrust(b))
	v.cache = nil
	bearer := f.token(b, nil, nil)
	c, err := parseCompact(bearer)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("signature", func(b *testing.B) {
		h := crypto.SHA256.New()
		h.Write([]byte(c.signed))
		digest := h.Sum(nil)
		r, s := new(big.Int).SetBytes(c.signature[:32]), new(big.Int).SetBytes(c.signature[32:])
		for b.Loop() {
			if !ecdsa.Verify(&f.private.PublicKey, digest, r, s) {
				b.Fatal("bad signature")
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if _, err := v.Verify(b.Context(), bearer, start); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestB10_CacheWeighsWhatItHolds: the bound of the cache is one of real memory.
func TestB10_CacheWeighsWhatItHolds(t *testing.T) {
	f := newForge(t)
	v := newTestVerifier(t, f.ownTrust(t))
	cache, err := NewCache(64 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	v.cache = cache
	const n = 20_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var counted int64
	for i := range n {
		token, err := v.Verify(t.Context(), f.token(t, nil, map[string]any{"jti": fmt.Sprintf("token-%d", i)}), start)
		if err != nil {
			t.Fatal(err)
		}
		token.Identity()
		counted += token.cost()
	}
	cache.Wait()
	runtime.GC()
	runtime.ReadMemStats(&after)
	used := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	if used > counted*5/4 {
		t.Errorf("%d tokens take %d bytes and are counted as %d", n, used, counted)
	}
	runtime.KeepAlive(cache)
}
