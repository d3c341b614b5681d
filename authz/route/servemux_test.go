package route

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// The tests of this file hold the table against a real net/http.ServeMux.

// comparison counts what was really compared, so that a generator gone
// wrong does not pass for agreement.
type comparison struct {
	accepted, invalid, conflicts int // patterns
	matched, unmatched, skipped  int // requests
}

// numbered is the handler of an entry.
type numbered int

func (numbered) ServeHTTP(http.ResponseWriter, *http.Request) {}

// compareWithServeMux registers the patterns one by one with both, which must
// accept the same, and sends the requests to both.
func compareWithServeMux(t *testing.T, c *comparison, patterns []string, requests [][2]string) {
	t.Helper()
	mux := http.NewServeMux()
	var entries []Entry
	for _, p := range patterns {
		more := append(slices.Clip(entries), Entry{Host: "h.example", Pattern: p})
		_, err := New(nil, more)
		refusal := any("the table is stricter on purpose")
		if !stricter(p) {
			refusal = register(mux, p, numbered(len(entries)))
		}
		if (err == nil) != (refusal == nil) {
			t.Fatalf("%q after %q: the table says %v, ServeMux %v", p, patterns, err, refusal)
		}
		switch {
		case err == nil:
			entries = more
			c.accepted++
		case ValidPattern(p) == nil:
			c.conflicts++
		default:
			c.invalid++
		}
	}
	table := mustNew(t, nil, entries)
	for _, r := range requests {
		method, path := r[0], r[1]
		got := table.Match(method, "h.example", path).Entry
		if want := reference(t, entries, method, path); got != want {
			t.Fatalf("%s %q among %v: got entry %d, by definition it is %d", method, path, entries, got, want)
		}
		want, comparable := ask(mux, method, path)
		if !comparable {
			c.skipped++
			continue
		}
		if got != want {
			t.Fatalf("%s %q among %v: got entry %d, ServeMux has %d", method, path, entries, got, want)
		}
		if got < 0 {
			c.unmatched++
		} else {
			c.matched++
		}
	}
}

// register returns what ServeMux panics with.
func register(mux *http.ServeMux, pattern string, h http.Handler) (refusal any) {
	defer func() { refusal = recover() }()
	mux.Handle(pattern, h)
	return nil
}

// stricter tells the patterns that ServeMux knows and ValidPattern refuses.
func stricter(pattern string) bool {
	method, route := "", pattern
	if i := strings.IndexAny(pattern, " \t"); i >= 0 {
		method, route = pattern[:i], strings.TrimLeft(pattern[i:], " \t")
	}
	standard := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}
	if upper := strings.ToUpper(method); upper != method && slices.Contains(standard, upper) {
		return true
	}
	if !strings.HasPrefix(route, "/") || strings.ContainsAny(route, "?#") {
		return true
	}
	segments := strings.Split(route[1:], "/")
	for i, s := range segments {
		if strings.HasPrefix(s, "{") {
			s = strings.TrimFunc(s, func(r rune) bool { return strings.ContainsRune("{}.$", r) })
		}
		segments[i] = url.PathEscape(decoded(s))
	}
	return Plain("/"+strings.Join(segments, "/"), both) != nil
}

// ask returns the entry that ServeMux serves a request with, or -1, and whether
// the question means the same to both.
func ask(mux *http.ServeMux, method, path string) (entry int, comparable bool) {
	if path == "" || path[0] != '/' || cleaned(path) != path {
		return 0, false // it would be cleaned
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i] = decoded(s)
	}
	if slices.Contains(segments, "/") {
		return 0, false // ServeMux takes the segment "%2f" for the end of a path
	}
	u := &url.URL{Path: strings.Join(segments, "/"), RawPath: path}
	seen := strings.Split(u.EscapedPath(), "/")
	for i, s := range seen {
		seen[i] = decoded(s)
	}
	if !slices.Equal(seen, segments) || cleaned(u.EscapedPath()) != u.EscapedPath() {
		return 0, false // url.URL has lost a "%2f", because of other bytes in the path
	}
	h, pattern := mux.Handler(&http.Request{Method: method, Host: "h.example", URL: u})
	if entry, ours := h.(numbered); ours {
		return int(entry), true
	}
	return -1, pattern == "" // with a pattern it is a redirect to the trailing slash
}

// reference finds the entry by the definition: of the patterns that match, the
// one that is more specific than all others.
func reference(t *testing.T, entries []Entry, method, path string) int {
	t.Helper()
	best, bestEntry := (*pattern)(nil), -1
	for i, e := range entries {
		p, err := parse(e.Pattern)
		if err != nil {
			t.Fatal(err)
		}
		served := p.method == "" || p.method == method || p.method == "GET" && method == "HEAD"
		if !served || !matches(p.segments, path) {
			continue
		}
		if best == nil || p.compare(best) == narrower {
			best, bestEntry = p, i
		}
	}
	return bestEntry
}

func matches(segments []segment, path string) bool {
	if path == "" || len(segments) == 0 {
		return path == "" && len(segments) == 0
	}
	if path[0] != '/' {
		return false
	}
	s := segments[0]
	if s.kind == rest || path == "/" {
		return s.kind == rest || s.kind == end
	}
	text, remaining, more := strings.Cut(path[1:], "/")
	if more {
		remaining = "/" + remaining
	}
	return (s.kind == single || s.kind == literal && s.text == decoded(text)) && matches(segments[1:], remaining)
}

// generator makes patterns and requests of few different parts, so that they
// meet often.
type generator struct{ *rand.Rand }

func (g generator) of(choices ...string) string { return choices[g.IntN(len(choices))] }

func (g generator) pattern() string {
	var b strings.Builder
	b.WriteString(g.of("", "", "GET ", "GET ", "GET ", "GET  ", "HEAD ", "POST\t", "CONNECT ", "OPTIONS ", "get ", "QUERY "))
	if g.IntN(40) == 0 {
		return b.String() + g.of("", "a", "h.example/", "%", "{x}", " /", "G@T /", "/a{x}", "/{x", "/{}", "/{1}", "/{é}", "/{x}/{x}", "/{$}/", "/{x...}/", "/{x...}/a", "/?", "/a#")
	}
	names := []string{"{x}", "{y}", "{z}"}
	for i := range 1 + g.IntN(3) {
		b.WriteString("/" + g.of("a", "a", "a", "a", "b", "b", "%61", "a b", "c;d", "é", "%C3%A9", "a%2fb", names[i], names[i], names[i], names[i]))
	}
	switch g.IntN(12) {
	case 0, 1:
		b.WriteString("/")
	case 2, 3:
		b.WriteString("/{$}")
	case 4:
		b.WriteString("/{rest...}")
	case 5:
		b.WriteString(g.of("//", "/..", "/.", "/%2e%2e", "/%zz", "/%2f", "/{$}/", "/\xff"))
	}
	return b.String()
}

// request makes a request, half of the time one that a pattern is known to match.
func (g generator) request(patterns []string) [2]string {
	method := g.of("GET", "GET", "HEAD", "POST", "CONNECT", "OPTIONS", "QUERY", "PUT", "get")
	if g.IntN(2) == 0 {
		if p, err := parse(g.of(patterns...)); err == nil {
			if p.method != "" {
				method = p.method
			}
			return [2]string{method, example(p.segments)}
		}
	}
	var b strings.Builder
	for range 1 + g.IntN(4) {
		b.WriteString("/" + g.of("a", "a", "a", "a", "a", "b", "b", "b", "%61", "%62", "a%20b", "c;d", "é", "%c3%a9", "a%2Fb", "a%2fb", "q", "%zz", "%", "%6"))
	}
	if g.IntN(3) == 0 {
		b.WriteString("/")
	}
	if g.IntN(30) == 0 {
		b.WriteString(g.of("//", "/..", "/%2e%2e", "/.", "/%2f"))
	}
	return [2]string{method, b.String()}
}

func TestMatchAgainstServeMux(t *testing.T) {
	t.Parallel()
	g := generator{rand.New(rand.NewPCG(1, 2))}
	var c comparison
	for range 3000 {
		var patterns []string
		for range 2 + g.IntN(16) {
			patterns = append(patterns, g.pattern())
		}
		var requests [][2]string
		for range 20 {
			requests = append(requests, g.request(patterns))
		}
		compareWithServeMux(t, &c, patterns, requests)
	}
	t.Logf("%+v", c)
	if c.accepted < 5000 || c.invalid < 1000 || c.conflicts < 1000 || c.matched < 10000 || c.unmatched < 10000 {
		t.Errorf("too little was compared: %+v", c)
	}
}

// Conflicts are looked for only among patterns that the tree names; none may be
// left out, and none be named for nothing.
func TestOverlappingFindsWhatShareAPath(t *testing.T) {
	t.Parallel()
	g := generator{rand.New(rand.NewPCG(3, 4))}
	overlaps := 0
	for range 1000 {
		root, known, place := &node{}, map[int]*pattern{}, map[string]bool{}
		for i := range 20 {
			p, err := parse(g.pattern())
			if err != nil || place[placeOf(p)] {
				continue
			}
			place[placeOf(p)] = true
			var want []int
			for j, q := range known {
				if compareSegments(p.segments, q.segments) != disjoint {
					want = append(want, j)
				}
			}
			got := root.overlapping(p.segments, nil)
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("%q among %v: got %v, want %v", p.written, known, got, want)
			}
			overlaps += len(got)
			root.add(p.segments, i)
			known[i] = p
		}
	}
	if overlaps < 1000 {
		t.Errorf("only %d overlaps", overlaps)
	}
}

// placeOf names the place of a pattern in the tree: methods and names of
// wildcards do not count.
func placeOf(p *pattern) string {
	var b strings.Builder
	for _, s := range p.segments {
		if s.kind == literal {
			b.WriteString("/" + s.text)
		} else {
			b.WriteString("/{" + string(rune('0'+s.kind)))
		}
	}
	return b.String()
}

func FuzzMatchAgainstServeMux(f *testing.F) {
	f.Add("GET /a/{x}\n/a/\nPOST /a/{$}\n/{y}/b", "GET", "/a/b")
	f.Add("/a/{x...}\n/a/b\nHEAD /a/\nGET /a/{z}", "HEAD", "/a/%62")
	f.Add("/é/{x}\n/%C3%A9/y\n/a%2fb/{$}", "CONNECT", "/a%2Fb/")
	f.Add("/{x}/b/{y}\n/a/{x}/c\n/a/b/c", "GET", "/a/b/c")
	f.Add("/a%zz\n/a/{x}/\n/a/%41", "QUERY", "/a%25zz")
	f.Add("get /\nGET h/\n/a//b\n/{$", "get", "//")
	f.Fuzz(func(t *testing.T, patterns, method, path string) {
		if len(patterns) > 400 || len(path) > 200 || method == "" {
			t.Skip() // the method "" means GET to net/http
		}
		compareWithServeMux(t, &comparison{}, strings.Split(patterns, "\n"), [][2]string{{method, path}})
	})
}

// FuzzMatchGenerated lets the fuzzer choose among tables that make sense.
func FuzzMatchGenerated(f *testing.F) {
	f.Add(uint64(1), uint8(5))
	f.Fuzz(func(t *testing.T, seed uint64, n uint8) {
		g := generator{rand.New(rand.NewPCG(seed, 0))}
		var patterns []string
		var requests [][2]string
		for range 1 + n%32 {
			patterns = append(patterns, g.pattern())
			requests = append(requests, g.request(patterns), g.request(patterns))
		}
		compareWithServeMux(t, &comparison{}, patterns, requests)
	})
}
