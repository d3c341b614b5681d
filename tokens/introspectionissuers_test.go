package tokens

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// knows is an issuer that knows the tokens with its prefix.
func knows(prefix string) issuerFunc {
	return func(r *http.Request) (*http.Response, error) {
		if strings.HasPrefix(asked(r), prefix) {
			return says(activeAnswer)
		}
		return says(`{"active":false}`)
	}
}

// newTestIssuers makes issuers https://0.example/, https://1.example/, and so on,
// without keys.
func newTestIssuers(t testing.TB, issuers ...issuerFunc) *Introspectors {
	t.Helper()
	var list []*Introspector
	for n, issuer := range issuers {
		list = append(list, newTestIntrospector(t, issuer, func(c *IntrospectionConfig) { c.Trust.Issuer = "https://" + string(rune('0'+n)) + ".example/" }))
	}
	s, err := NewIntrospectors(list...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestV7_IssuersAreAskedInTurn(t *testing.T) {
	t.Parallel()
	s := newTestIssuers(t, knows("a-"), knows("b-"), knows("b-"))
	calls := func() [3]uint64 { return [3]uint64{s.list[0].Calls(), s.list[1].Calls(), s.list[2].Calls()} }
	for _, tt := range []struct {
		bearer string
		now    time.Time
		issuer string // "": nobody's
		calls  [3]uint64
	}{
		{"a-1", start, "https://0.example/", [3]uint64{1, 0, 0}},
		{"b-1", start, "https://1.example/", [3]uint64{2, 1, 0}},
		{"c-1", start, "", [3]uint64{3, 2, 1}},
		{"c-1", start, "", [3]uint64{3, 2, 1}},
		// The first issuer's denial is forgotten, but the second's word is not.
		{"b-1", start.Add(2 * refusalCache), "https://1.example/", [3]uint64{3, 2, 1}},
	} {
		token, err := s.Introspect(t.Context(), tt.bearer, tt.now)
		switch {
		case tt.issuer == "" && !errors.Is(err, ErrInvalid):
			t.Errorf("%s: %v, want ErrInvalid", tt.bearer, err)
		case tt.issuer != "" && (err != nil || token.Identity().Issuer() != tt.issuer):
			t.Errorf("%s: token %+v, error %v; want one of %s", tt.bearer, token, err, tt.issuer)
		}
		if got := calls(); got != tt.calls {
			t.Errorf("%s: calls %v, want %v", tt.bearer, got, tt.calls)
		}
	}
}

// TestV7_ASilentIssuerAmongOthers does not hide the next one's tokens; what the
// others deny may be its own.
func TestV7_ASilentIssuerAmongOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestIssuers(t, blocked, knows("b-"))
		began := time.Now()
		if token, err := s.Introspect(t.Context(), "b-1", began); err != nil || token.Trust.Issuer != "https://1.example/" {
			t.Errorf("token %+v, error %v", token, err)
		}
		if took := time.Since(began); took > 150*time.Millisecond {
			t.Errorf("took %v", took)
		}
		for range 3 {
			asked := time.Now()
			_, err := s.Introspect(t.Context(), "c-1", asked)
			if took := time.Since(asked); !errors.Is(err, ErrUnanswered) || errors.Is(err, ErrInvalid) || took > 150*time.Millisecond {
				t.Errorf("%v after %v, want ErrUnanswered within 150 ms", err, took)
			}
			time.Sleep(silencePause)
		}
		all, asked := newTestIssuers(t, blocked, blocked, blocked, blocked), time.Now()
		if _, err := all.Introspect(t.Context(), "a-1", asked); !errors.Is(err, ErrUnanswered) || time.Since(asked) > 150*time.Millisecond || all.list[3].Calls() != 1 {
			t.Errorf("of four silent issuers: %v after %v, %d calls to the last", err, time.Since(asked), all.list[3].Calls())
		}
	})
}

func TestV7_WhichTokensAreIntrospected(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	jwt := func(iss any) string { return f.token(t, nil, map[string]any{"iss": iss}) }
	s := newTestIssuers(t, knows(""), knows(""))
	s.list[1].Trust.Keys = FixedKeys{f.key(t)}
	withKeys, err := NewIntrospectors(s.list[1])
	if err != nil {
		t.Fatal(err)
	}
	own := jwt("https://0.example/")
	for name, tt := range map[string]struct {
		bearer    string
		some, not bool // with an issuer without keys, and with none
	}{
		"opaque": {"2YotnFZFEjr1zCsicMWpAA", true, true}, "opaque with a dot": {"ya29.a0Af", true, true}, "five parts": {"a.b.c.d.e", true, true},
		"padded": {"abc==", true, true}, "slashes": {"a/b+c~d", true, true},
		"JWT of the issuer without keys": {own, true, false},
		"JWT of the issuer with keys":    {jwt("https://1.example/"), false, false},
		"JWT of a stranger":              {jwt("https://evil.example/"), false, false},
		"JWT without iss":                {jwt(nil), false, false},
		"JWT with a list as iss":         {jwt([]string{"https://0.example/"}), false, false},
		"three parts that are no JWT":    {"a.b.c", false, false},
		// An issuer may take these for the token that they are spelled after.
		"padded JWT":        {own + "=", false, false},
		"JWT spelled anew":  {nonCanonical(own), false, false},
		"claim twice":       {f.sign(t, `{}`, `{"iss":"https://0.example/","iss":"https://0.example/"}`), false, false},
		"no b64token":       {"a b", false, false},
		"empty":             {"", false, false},
		"over 8 KiB":        {strings.Repeat("a", 9000), false, false},
		"header of spaces":  {" ." + own[strings.IndexByte(own, '.')+1:], false, false},
		"no characters":     {"..", false, false},
		"JWT without parts": {"." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://0.example/"}`)) + ".", false, false},
	} {
		if got := s.Takes(tt.bearer); got != tt.some {
			t.Errorf("%s: taken %v, want %v", name, got, tt.some)
		}
		if got := withKeys.Takes(tt.bearer); got != tt.not {
			t.Errorf("%s: taken %v where every issuer has keys, want %v", name, got, tt.not)
		}
		if _, err := s.Introspect(t.Context(), tt.bearer, start); (err == nil) != tt.some || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want accepted %v or ErrInvalid", name, err, tt.some)
		}
	}
	if token, err := s.Introspect(t.Context(), own, start); err != nil || token.Trust.Issuer != "https://0.example/" || s.list[1].Calls() != 0 {
		t.Errorf("token %+v, error %v, %d calls to an issuer that was not named", token, err, s.list[1].Calls())
	}
}

func TestNoIntrospectors(t *testing.T) {
	t.Parallel()
	empty, err := NewIntrospectors()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Introspectors{nil, empty} {
		if _, err := s.Introspect(t.Context(), "opaque-1", start); s.Any() || s.Takes("opaque-1") || len(s.All()) != 0 || !errors.Is(err, ErrInvalid) {
			t.Errorf("any %v, takes %v, all %v, error %v", s.Any(), s.Takes("opaque-1"), s.All(), err)
		}
	}
	if _, err := NewIntrospectors(make([]*Introspector, MaxIntrospectors+1)...); err == nil {
		t.Error("too many issuers were accepted")
	}
}
