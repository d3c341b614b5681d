package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseResident(t *testing.T) {
	t.Parallel()
	const status = "Name:\ttollgate\nVmHWM:\t   99999 kB\nVmRSS:\t   28160 kB\nRssAnon:\t 1 kB\n"
	if got, err := parseResident([]byte(status)); err != nil || got != 28160 {
		t.Errorf("got %d, %v; want 28160", got, err)
	}
	for _, bad := range []string{"", "VmHWM: 1 kB\n", "VmRSS:\t12 MB\n", "VmRSS:\tmuch kB\n"} {
		if got, err := parseResident([]byte(bad)); err == nil {
			t.Errorf("%q: got %d, want an error", bad, got)
		}
	}
}

func TestParseMicros(t *testing.T) {
	t.Parallel()
	const out = `goos: linux
cpu: some
BenchmarkMatch/exact-2         	 3110494	        76.68 ns/op	       0 B/op	       0 allocs/op
BenchmarkMatch/exact-2         	 3087824	        74.00 ns/op	       0 B/op	       2 allocs/op
BenchmarkMatch/exact-2         	 3087824	        99.00 ns/op	       8 B/op	       2 allocs/op
BenchmarkTake_MillionSubjects-2  762100	       332.7 ns/op	        59.12 B/entry	       0 B/op	       0 allocs/op
PASS
`
	got, err := parseMicros("./p", []byte(out))
	if err != nil {
		t.Fatal(err)
	}
	want := []micro{{"./p", "Match/exact", 76.68, 0, 2}, {"./p", "Take_MillionSubjects", 332.7, 0, 0}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(micro{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, bad := range []string{"PASS\n", "BenchmarkX-2 10 much ns/op\n"} {
		if got, err := parseMicros("./p", []byte(bad)); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
}

func TestListening(t *testing.T) {
	t.Parallel()
	const log = `{"level":"INFO","msg":"listening","service":"check","address":"127.0.0.1:1"}
not JSON
{"level":"INFO","msg":"listening","service":"admin","address":"/x.sock"}
{"level":"INFO","msg":"ready","service":"ops","address":"127.0.0.1:9"}
{"level":"INFO","msg":"listening","service":"http","address":"127.0.0.1:2"}
{"level":"INFO","msg":"listening","service":"ops","addr`
	want := map[string]string{"check": "127.0.0.1:1", "http": "127.0.0.1:2"}
	if diff := cmp.Diff(want, listening(log)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseMetric(t *testing.T) {
	t.Parallel()
	const page = "# HELP misses_total x\nmisses_total_other 3\nmisses_total 1.5e+06\n"
	if got, err := parseMetric([]byte(page), "misses_total"); err != nil || got != 1.5e6 {
		t.Errorf("got %v, %v; want 1.5e6", got, err)
	}
	if got, err := parseMetric([]byte(page), "hits_total"); err == nil {
		t.Errorf("got %v for a metric that is not there, want an error", got)
	}
}

func TestParseOptions(t *testing.T) {
	t.Parallel()
	o, err := parseOptions(nil)
	if err != nil || o.output != "docs/benchmarks.md" || !o.wants(decision) || !o.wants(micros) {
		t.Errorf("got %+v, %v; want everything, and the page written", o, err)
	}
	if o, err = parseOptions([]string{"-only", "start,micro"}); err != nil || o.output != "" || o.wants(decision) || !o.wants(micros) {
		t.Errorf("-only: got %+v, %v; want the two, and no page", o, err)
	}
	if o, err = parseOptions([]string{"-only", "start", "-o", "x.md"}); err != nil || o.output != "x.md" {
		t.Errorf("-only -o: got %+v, %v; want the page that was asked for", o, err)
	}
	for _, bad := range [][]string{{"-only", "speed"}, {"-rounds", "0"}, {"-requests", "9"}, {"more"}, {"-x"}} {
		if _, err := parseOptions(bad); err == nil {
			t.Errorf("%v: want an error", bad)
		}
	}
}

func TestTail_KeepsTheEnd(t *testing.T) {
	t.Parallel()
	var kept tail
	for range tailBytes {
		_, _ = kept.Write([]byte("abc"))
	}
	if s := kept.String(); len(s) != tailBytes || s[len(s)-3:] != "abc" {
		t.Errorf("kept %d bytes that end in %q; want %d that end in abc", len(s), s[len(s)-3:], tailBytes)
	}
}
