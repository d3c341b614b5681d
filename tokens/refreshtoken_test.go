package tokens

import (
	"crypto/rand"
	"encoding/base64"
	"math"
	"regexp"
	"strings"
	"testing"
)

var testPepper = &Pepper{1, 2, 3}

func newFamilyID(t testing.TB, format Format) string {
	t.Helper()
	id, err := NewFamilyID(format, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func refreshToken(t testing.TB, family string, counter uint32) Secret {
	t.Helper()
	token, err := testPepper.RefreshToken(family, counter)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestD4_RefreshTokenRoundTrip(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		format Format
		form   *regexp.Regexp
		last   uint32
	}{
		{JWT, regexp.MustCompile(`^tgr_[A-Za-z0-9_-]{48}$`), math.MaxUint32},
		{Opaque, regexp.MustCompile(`^tgr_[A-Za-z0-9_-]{48}$`), math.MaxUint32},
		{Classic, regexp.MustCompile(`^[A-Za-z0-9]{24}$`), math.MaxUint16}, // row D2
	} {
		for range 20 {
			id := newFamilyID(t, tt.format)
			for _, counter := range []uint32{1, 2, 255, 256, 65534, 65535, tt.last - 1, tt.last} {
				token := refreshToken(t, id, counter)
				if !tt.form.MatchString(token.Reveal()) {
					t.Errorf("%s: %q does not look like %s", tt.format, token.Reveal(), tt.form)
				}
				family, n, ok := testPepper.ReadRefreshToken(token)
				if !ok || family != id || n != counter {
					t.Errorf("%s: number %d of %s reads as %d of %s, %t", tt.format, counter, id, n, family, ok)
				}
				if last := LastRefresh(id, counter); last != (counter == tt.last) {
					t.Errorf("%s: number %d is the last: %t", tt.format, counter, last)
				}
			}
			if _, err := testPepper.RefreshToken(id, 0); err == nil {
				t.Errorf("%s: there is a token number 0", tt.format)
			}
			if _, err := testPepper.RefreshToken(id, tt.last+1); err == nil { // of the long format, 0 again
				t.Errorf("%s: there is a token after the last", tt.format)
			}
		}
	}
	for _, id := range []string{"", "x", "not base64url!", newFamilyID(t, JWT) + "A", newFamilyID(t, JWT)[1:], strings.Repeat("A", 20)} {
		if token, err := testPepper.RefreshToken(id, 1); err == nil {
			t.Errorf("the family %q has the token %q", id, token.Reveal())
		}
		if !LastRefresh(id, 1) {
			t.Errorf("the family %q goes on", id)
		}
	}
}

// TestD4_ForgedRefreshTokens changes every character of a token to every other, and
// its length.
func TestD4_ForgedRefreshTokens(t *testing.T) {
	t.Parallel()
	const alphabet = alphanumeric + "-_+/=. \n\x00\xff"
	for _, format := range []Format{JWT, Classic} {
		good := refreshToken(t, newFamilyID(t, format), 7).Reveal()
		refuse := func(token string) {
			if family, n, ok := testPepper.ReadRefreshToken(Secret(token)); ok {
				t.Errorf("%s: %q, made of %q, is taken for number %d of %s", format, token, good, n, family)
			}
		}
		for i := range len(good) {
			for _, c := range []byte(alphabet) {
				if c != good[i] {
					refuse(good[:i] + string(rune(c)) + good[i+1:])
					refuse(good[:i] + string([]byte{c}) + good[i+1:])
				}
			}
			refuse(good[:i] + good[i+1:])
			refuse(good[:i] + "A" + good[i:])
			refuse(good[:i] + "\n" + good[i:])
			refuse(good[:i] + "\r" + good[i:])
		}
		for _, token := range []string{"", "A", good + "A", good + "=", good + "\n", " " + good, good + good, strings.ToLower(good), strings.ToUpper(good), strings.Repeat("z", classicToken),
			strings.TrimPrefix(good, refreshPrefix) + "A", refreshPrefix + refreshPrefix + strings.TrimPrefix(good, refreshPrefix)} {
			refuse(token)
		}
	}
	other := *testPepper
	other[31] ^= 1
	if _, _, ok := other.ReadRefreshToken(refreshToken(t, newFamilyID(t, JWT), 1)); ok {
		t.Error("another pepper takes the token")
	}
	// A MAC of another purpose under the same pepper is none of this.
	raw := make([]byte, 20)
	raw[19] = 1
	forged := append(raw, testPepper.Hash(Secret(raw))[:16]...)
	if _, _, ok := testPepper.ReadRefreshToken(Secret(refreshPrefix + base64.RawURLEncoding.EncodeToString(forged))); ok {
		t.Error("the hash of a secret is taken for the MAC of a refresh token")
	}
}

// FuzzReadRefreshToken: whatever is taken is what RefreshToken makes, to the letter.
func FuzzReadRefreshToken(f *testing.F) {
	for _, format := range []Format{JWT, Classic} {
		f.Add(refreshToken(f, newFamilyID(f, format), 1).Reveal())
	}
	f.Add(refreshPrefix)
	f.Add(strings.Repeat("z", classicToken))
	f.Add(strings.Repeat("0", classicToken))
	f.Fuzz(func(t *testing.T, token string) {
		family, counter, ok := testPepper.ReadRefreshToken(Secret(token))
		if !ok {
			if family != "" || counter != 0 {
				t.Errorf("%q is refused as number %d of %q", token, counter, family)
			}
			return
		}
		if again, err := testPepper.RefreshToken(family, counter); err != nil || again.Reveal() != token {
			t.Errorf("%q is taken for number %d of %s, which is %q, %v", token, counter, family, again.Reveal(), err)
		}
	})
}

// FuzzClassicDigits: the two directions are each other's inverse, so that a token has
// one spelling.
func FuzzClassicDigits(f *testing.F) {
	f.Add(strings.Repeat("z", classicToken))
	f.Add(encodeClassic(make([]byte, classicBytes)))
	f.Fuzz(func(t *testing.T, token string) {
		if raw := decodeClassic(token); raw != nil && (len(raw) != classicBytes || encodeClassic(raw) != token) {
			t.Errorf("%q reads as %x, which is %q", token, raw, encodeClassic(raw))
		}
	})
}
