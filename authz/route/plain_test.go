package route

import (
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path"
	"strings"
	"testing"
	"unicode/utf8"
)

var (
	nothing   = Allow{}
	semicolon = Allow{Semicolon: true}
	slash     = Allow{EncodedSlash: true}
	both      = Allow{Semicolon: true, EncodedSlash: true}
)

func TestPlain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		path  string
		allow Allow
		want  error
	}{
		{"/", nothing, nil},
		{"/v1/contacts/42", nothing, nil},
		{"/v1/contacts/", nothing, nil},
		{"/a..b", nothing, nil},
		{"/a../b", nothing, nil},
		{"/..a/b", nothing, nil},
		{"/.well-known/jwks.json", nothing, nil},
		{"/...", nothing, nil},
		{"/%2e%2e%2e/x", nothing, nil},
		{"/a%20b", nothing, nil},
		{"/a%3fb", nothing, nil},
		{"/a%23b", nothing, nil},
		{"/100%25", nothing, nil},
		{"/100%25/x", nothing, nil},
		{"/a%25zz", nothing, nil},
		{"/a%252", nothing, nil},
		{"/b%c3%bccher", nothing, nil},
		{"/bücher", nothing, nil},
		{"/b\xc3%bccher", nothing, nil},
		{"/%e2%82%ac%f0%9f%98%80%ed%9f%bf%f4%8f%bf%bf", nothing, nil},
		{`/!"$&'()*+,-:<=>@[]^_{|}~` + "`", nothing, nil},

		{"", nothing, errNotRooted}, // CONNECT has no path
		{"*", nothing, errNotRooted},
		{"a/b", nothing, errNotRooted},
		{"%2fa", slash, errNotRooted},
		{"http://h.example/a", nothing, errNotRooted},

		{"/.", nothing, errDotSegment},
		{"/..", nothing, errDotSegment},
		{"/./", nothing, errDotSegment},
		{"/a/./b", nothing, errDotSegment},
		{"/a/../admin", nothing, errDotSegment},
		{"/a/..", nothing, errDotSegment},
		{"/a/%2e%2e/admin", nothing, errDotSegment},
		{"/a/%2E%2E/admin", nothing, errDotSegment},
		{"/a/.%2e/admin", nothing, errDotSegment},
		{"/a/%2E./admin", nothing, errDotSegment},
		{"/a/%2e", nothing, errDotSegment},

		{"//", nothing, errEmptySegment},
		{"//admin", nothing, errEmptySegment},
		{"/a//b", nothing, errEmptySegment},
		{"/a//", nothing, errEmptySegment},

		{"/a%2fb", nothing, errEncodedSlash},
		{"/a%2Fb", nothing, errEncodedSlash},
		{"/a%2f", semicolon, errEncodedSlash},
		{"/a%2fb", slash, nil},
		{"/a%2f", slash, nil},
		{"/a%2fb%2Fc/d", slash, nil},
		{"/a%2f..%2fb", slash, errDotSegment},
		{"/a%2f%2e", slash, errDotSegment},
		{"/..%2fb", slash, errDotSegment},
		{"/a%2f../b", slash, errDotSegment},
		{"/a%2f%2fb", slash, errEmptySegment},
		{"/a/%2fb", slash, errEmptySegment},
		{"/a%2f/b", slash, errEmptySegment},
		{"/%2fb", slash, errEmptySegment},
		{"/%2f", slash, errEmptySegment},

		{"/a;b", nothing, errSemicolon},
		{"/a%3bb", nothing, errSemicolon},
		{"/a%3Bb", slash, errSemicolon},
		{"/a/..;/admin", nothing, errSemicolon},
		{"/a;b=1;c/d", semicolon, nil},
		{"/a%3bb/d", semicolon, nil},
		{"/a;../d", semicolon, nil},
		{"/a/..;/admin", semicolon, errDotSegment},
		{"/a/..;x/admin", semicolon, errDotSegment},
		{"/a/..%3bx/admin", semicolon, errDotSegment},
		{"/a/%2e%2e;x", semicolon, errDotSegment},
		{"/a/.;", semicolon, errDotSegment},
		{"/a/;x/b", semicolon, errNamelessSegment},
		{"/a/;", semicolon, errNamelessSegment},
		{"/a%2f..;x%2fb", both, errDotSegment},
		{"/a;x%2f..%2fb", both, errDotSegment},
		{"/a;x%2fb", both, nil},

		{`/a\b`, both, errBackslash},
		{"/a%5cb", both, errBackslash},
		{"/a%5Cb", both, errBackslash},

		{"/a/%252e%252e/admin", both, errDoubleEncoding},
		{"/a%25%32%65b", both, errDoubleEncoding},
		{"/a%252%66b", both, errDoubleEncoding},
		{"/a%2541", both, errDoubleEncoding},
		{"/a;%2541", both, errDoubleEncoding},
		{"/%25%2541", both, errDoubleEncoding},

		{"/a%00b", both, errControl},
		{"/a%1fb", both, errControl},
		{"/a%7Fb", both, errControl},
		{"/a%0d%0ab", both, errControl},
		{"/a\x00b", both, errControl},
		{"/a\tb", both, errControl},
		{"/a\x7fb", both, errControl},
		{"/a b", both, errSpace},
		{"/a#b", both, errDelimiter},
		{"/a?b", both, errDelimiter},

		{"/%", both, errBadEscape},
		{"/a%1", both, errBadEscape},
		{"/a%z1", both, errBadEscape},
		{"/a%1z", both, errBadEscape},
		{"/a%%2e", both, errBadEscape},
		{"/a%u002e", both, errBadEscape},

		{"/a%c0%afb", both, errNotUTF8}, // "/" in two bytes
		{"/a%c2%85b", both, errControl}, // U+0085, a line end for some
		{"/a%C2%9F", both, errControl},
		{"/a\u0080b", both, errControl},
		{"/a%c2%a0b", both, nil},
		{"/a%c1%9cb", both, errNotUTF8},
		{"/%c0%ae%c0%ae/b", both, errNotUTF8},
		{"/a%e0%80%afb", both, errNotUTF8},
		{"/a%f0%80%80%afb", both, errNotUTF8},
		{"/a%ed%a0%80b", both, errNotUTF8}, // a surrogate
		{"/a%f4%90%80%80", both, errNotUTF8},
		{"/a%f5%80%80%80", both, errNotUTF8},
		{"/a%ff", both, errNotUTF8},
		{"/a%80", both, errNotUTF8},
		{"/a\xffb", both, errNotUTF8},
		{"/a%c3", both, errNotUTF8},
		{"/a%e2%82", both, errNotUTF8},
		{"/a%c3/b", both, errNotUTF8},
		{"/a%c3xx", both, errNotUTF8},
		{"/a%c3x%bc", both, errNotUTF8},
	}
	for _, tt := range tests {
		if got := Plain(tt.path, tt.allow); !errors.Is(got, tt.want) {
			t.Errorf("Plain(%q, %+v) = %v, want %v", tt.path, tt.allow, got, tt.want)
		}
	}
}

// TestPlainEveryByte asks for each byte, plain and encoded, in the middle of a
// segment, so that no byte is let through by omission.
func TestPlainEveryByte(t *testing.T) {
	t.Parallel()
	const hex = "0123456789abcdef"
	for b := range 256 {
		c := byte(b)
		isASCII := c < 0x80
		control := c < ' ' || c == 0x7f
		wantRaw := isASCII && !control && !strings.ContainsRune(` #?%;\`, rune(c))
		wantEncoded := isASCII && !control && !strings.ContainsRune(`;\/`, rune(c))
		if got := Plain("/x"+string([]byte{c})+"x", nothing) == nil; got != wantRaw {
			t.Errorf("byte %q plain: accepted %v, want %v", c, got, wantRaw)
		}
		encoded := "%" + string([]byte{hex[c>>4], hex[c&15]})
		if got := Plain("/x"+encoded+"x", nothing) == nil; got != wantEncoded {
			t.Errorf("byte %q as %s: accepted %v, want %v", c, encoded, got, wantEncoded)
		}
	}
}

// TestB24_PathFacts judges what Envoy has really put into a CheckRequest, under
// its defaults and under four path options.
func TestB24_PathFacts(t *testing.T) {
	t.Parallel()
	verdicts := map[string]error{
		"/a/b":                nil,
		"/admin":              nil,
		"/a/":                 nil,
		"/a":                  nil,
		"/a%23frag":           nil,
		"/a%3fx=1":            nil,
		"/a%2fb":              errEncodedSlash,
		"/a%2Fb":              errEncodedSlash,
		"/a%5cb":              errBackslash,
		`/a\b`:                errBackslash,
		"/a/../admin":         errDotSegment,
		"/a/%2e%2e/admin":     errDotSegment,
		"/a/.":                errDotSegment,
		"/a/%252e%252e/admin": errDoubleEncoding,
		"//admin":             errEmptySegment,
		"/a//b":               errEmptySegment,
		"/a;x=1/../admin":     errSemicolon,
		"/a/..;/admin":        errSemicolon,
		"/a%00b":              errControl,
		"/a%zzb":              errBadEscape,
		"/a%c0%afb":           errNotUTF8,
	}
	seen := map[string]bool{}
	for _, row := range pathFacts(t) {
		asked, _, _ := strings.Cut(row.CheckPath, "?")
		want, known := verdicts[asked]
		if !known {
			t.Errorf("%s under %s: no verdict for %q", row.Target, row.Config, asked)
			continue
		}
		seen[asked] = true
		if got := Plain(asked, nothing); !errors.Is(got, want) {
			t.Errorf("%s under %s: Plain(%q) = %v, want %v", row.Target, row.Config, asked, got, want)
		}
		for _, allow := range []Allow{nothing, semicolon, slash, both} {
			if Plain(asked, allow) != nil {
				continue
			}
			requireOneReading(t, asked)
			for _, upstream := range row.Upstream {
				if upstream != row.CheckPath {
					t.Errorf("%s under %s: checked %q, but the upstream got %q", row.Target, row.Config, row.CheckPath, upstream)
				}
			}
		}
	}
	for p := range verdicts {
		if !seen[p] {
			t.Errorf("no row has the path %q", p)
		}
	}
}

type pathFact struct {
	Config    string   `json:"config"`
	Target    string   `json:"target"`
	CheckPath string   `json:"check_path"`
	Upstream  []string `json:"upstream"`
}

func pathFacts(t testing.TB) []pathFact {
	t.Helper()
	data, err := os.ReadFile("testdata/path-facts.json")
	if err != nil {
		t.Fatal(err)
	}
	var facts struct{ Rows []pathFact }
	if err := json.Unmarshal(data, &facts); err != nil {
		t.Fatal(err)
	}
	if len(facts.Rows) == 0 {
		t.Fatal("path-facts.json has no rows")
	}
	return facts.Rows
}

// requireOneReading fails unless all that an upstream may do to a path leads to
// the path that was matched: decoding, as Go's net/http does it, decoding again,
// taking "\" for "/", cutting parameters off before or after decoding, cleaning.
func requireOneReading(t testing.TB, asked string) {
	t.Helper()
	u, err := url.ParseRequestURI(asked)
	if err != nil {
		t.Errorf("%q was accepted, and net/http refuses it: %v", asked, err)
		return
	}
	once := u.Path
	if !utf8.ValidString(once) {
		t.Errorf("%q was accepted, and is not UTF-8 decoded", asked)
	}
	if u.Host != "" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		t.Errorf("%q was accepted, and net/http takes more than a path from it: %+v", asked, u)
	}
	readings := map[string]string{
		"decoded": once,
		"cut":     cutParameters(once),
	}
	if cutFirst, err := url.PathUnescape(cutParameters(asked)); err != nil {
		t.Errorf("%q was accepted, and without parameters it cannot be decoded: %v", asked, err)
	} else {
		readings["cut, decoded"] = cutFirst
	}
	for name, p := range readings {
		if got := cleaned(p); got != p {
			t.Errorf("%q was accepted; %s it is %q, cleaned %q", asked, name, p, got)
		}
		if got := cleaned(strings.ReplaceAll(p, `\`, "/")); got != p {
			t.Errorf(`%q was accepted; %s it is %q, with "\" for "/" and cleaned %q`, asked, name, p, got)
		}
		if twice, err := url.PathUnescape(p); err == nil && twice != p {
			t.Errorf("%q was accepted; %s it is %q, decoded again %q", asked, name, p, twice)
		}
	}
}

// cleaned is path.Clean with the trailing slash kept.
func cleaned(p string) string {
	c := path.Clean(p)
	if strings.HasSuffix(p, "/") && c != "/" {
		c += "/"
	}
	return c
}

func cutParameters(p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}

func FuzzPlain(f *testing.F) {
	for _, row := range pathFacts(f) {
		f.Add(row.CheckPath, true, true)
		f.Add(row.Target, false, true)
	}
	for _, p := range []string{"/a;x%2f..%2fb", "/%25%32%65", "/a%25%2541", "/b%c3%bccher/%e2%82%ac", "/;%2f", "/a%3b/..;"} {
		f.Add(p, true, true)
	}
	f.Fuzz(func(t *testing.T, asked string, semicolon, encodedSlash bool) {
		allow := Allow{Semicolon: semicolon, EncodedSlash: encodedSlash}
		if Plain(asked, allow) != nil {
			if Plain(asked, nothing) == nil {
				t.Errorf("%q is plain, but not where more is allowed: %+v", asked, allow)
			}
			return
		}
		requireOneReading(t, asked)
		once, _ := url.PathUnescape(asked)
		if !semicolon && strings.Contains(once, ";") {
			t.Errorf("%q was accepted with a semicolon", asked)
		}
		if !encodedSlash && strings.Count(once, "/") != strings.Count(asked, "/") {
			t.Errorf("%q was accepted with an encoded slash", asked)
		}
	})
}

func TestPlainDoesNotAllocate(t *testing.T) {
	for _, p := range []string{"/v1/contacts/42", "/b%c3%bccher/%e2%82%ac/a..b", "/a/%2e%2e/b", "/a%"} {
		if n := testing.AllocsPerRun(100, func() { _ = Plain(p, nothing) }); n != 0 {
			t.Errorf("Plain(%q) allocates %v times", p, n)
		}
	}
}

func BenchmarkPlain(b *testing.B) {
	for _, p := range []string{"/v1/contacts/018f3c1e-7b1d-7a52", "/v1/b%c3%bccher/a.b"} {
		b.Run(p[1:], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := Plain(p, nothing); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
