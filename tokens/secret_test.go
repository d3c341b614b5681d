package tokens

import (
	"bytes"
	"crypto/rand"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestD2_CredentialFormats(t *testing.T) {
	t.Parallel()
	for format, forms := range map[Format][2]string{
		"":      {`^[A-Za-z0-9_][A-Za-z0-9_-]{21}$`, `^[A-Za-z0-9_-]{43}$`},
		JWT:     {`^[A-Za-z0-9_][A-Za-z0-9_-]{21}$`, `^[A-Za-z0-9_-]{43}$`},
		Opaque:  {`^[A-Za-z0-9_][A-Za-z0-9_-]{21}$`, `^[A-Za-z0-9_-]{43}$`},
		Classic: {`^[A-Za-z0-9]{24}$`, `^[A-Za-z0-9]{10}$`},
	} {
		for range 50 {
			id, secret, err := NewCredential(format, rand.Reader)
			if err != nil || !regexp.MustCompile(forms[0]).MatchString(id) || !regexp.MustCompile(forms[1]).MatchString(secret.Reveal()) {
				t.Errorf("%q: ID %q, secret %q, %v; want %v", format, id, secret.Reveal(), err, forms)
			}
		}
		if _, _, err := NewCredential(format, strings.NewReader("dry")); err == nil {
			t.Errorf("%q: drawn from a source that ran dry", format)
		}
	}
}

// TestDrawTextIsFair: bytes that would make some characters likelier are passed over.
func TestDrawTextIsFair(t *testing.T) {
	t.Parallel()
	all := make([]byte, 256)
	for i := range all { // 248 to 255 come first
		all[i] = byte(i + 4*len(alphanumeric))
	}
	text, err := drawText(4*len(alphanumeric), io.MultiReader(bytes.NewReader(all), bytes.NewReader(make([]byte, 1000))))
	if err != nil || text != strings.Repeat(alphanumeric, 4) {
		t.Errorf("got %q, %v; want each character as often as any other", text, err)
	}
}

func TestIDsAreNoFlags(t *testing.T) {
	t.Parallel()
	id, err := newID(io.MultiReader(bytes.NewReader(bytes.Repeat([]byte{0xfb}, idBytes)), bytes.NewReader(make([]byte, idBytes))))
	if err != nil || id != strings.Repeat("A", 22) {
		t.Errorf("got %q, %v; want the second one drawn, the first begins with a hyphen", id, err)
	}
}

func TestV2_SecretsOverlap(t *testing.T) {
	t.Parallel()
	p := testPepper
	c := &Client{Generation: 4, Secrets: []ClientSecret{
		{Generation: 4, Hash: p.Hash("fourth")}, {Generation: 3, Hash: p.Hash("third"), Until: start.Add(time.Hour)}, {Generation: 2, Hash: p.Hash("second"), Until: start},
		{Generation: 1, Hash: []byte("short")},
	}}
	for _, tt := range []struct {
		secret Secret
		at     time.Time
		want   int64
	}{
		{"fourth", start, 4}, {"fourth", start.Add(1000 * time.Hour), 4},
		{"third", start, 3}, {"third", start.Add(time.Hour - 1), 3}, {"third", start.Add(time.Hour), 0},
		{"second", start.Add(-1), 2}, {"second", start, 0},
		{"short", start, 0}, {"", start, 0}, {"Fourth", start, 0}, {"fourth ", start, 0},
	} {
		if got := c.Secret(p, tt.secret, tt.at); got != tt.want {
			t.Errorf("%q at %s has generation %d, want %d", tt.secret.Reveal(), tt.at, got, tt.want)
		}
	}
	other := *p
	other[0] ^= 1
	for name, got := range map[string]int64{
		"another pepper": c.Secret(&other, "fourth", start), "no client": (*Client)(nil).Secret(p, "fourth", start), "no secrets": (&Client{}).Secret(p, "", start),
		"an empty hash": (&Client{Secrets: []ClientSecret{{Generation: 1}}}).Secret(p, "", start),
	} {
		if got != 0 {
			t.Errorf("%s: generation %d, want none", name, got)
		}
	}
}

// TestUnknownClientsCostTheSame: the work is in the hash, which is made in every case.
// How long that takes tells nobody which clients there are.
func TestUnknownClientsCostTheSame(t *testing.T) {
	known := &Client{Secrets: []ClientSecret{{Generation: 1, Hash: testPepper.Hash("secret")}}}
	work := func(c *Client, secret Secret) float64 {
		return testing.AllocsPerRun(100, func() { c.Secret(testPepper, secret, start) })
	}
	want := work(known, "secret")
	if want == 0 {
		t.Fatal("a hash allocates nothing any more: this test sees no work")
	}
	for name, got := range map[string]float64{"a wrong secret": work(known, "SECRET"), "no client": work(nil, "secret"), "no secrets": work(&Client{}, "secret")} {
		if got != want {
			t.Errorf("%s: %v allocations, want %v", name, got, want)
		}
	}
}
