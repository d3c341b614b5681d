package decisions

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

var (
	epoch = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	steps = []string{"path", "token", "limits"}
)

func newRing(size int) *Ring { return New(Config{Steps: steps, Start: epoch, Size: size}) }

// first is the sequence number of the first decision.
var first = uint64(epoch.UnixMicro()) + 1

func refusal() Entry {
	return Entry{
		ID: [20]byte([]byte("0123456789abcdefghij")), At: epoch, Took: 12345 * time.Nanosecond, Status: 429, Code: "R3", Step: "limits",
		Cause: "R3: per_minute is used up", Method: "GET", Host: "api.example.com", Path: "/v1/contacts/7?token=secret", RequestID: "req-1",
		API: "contacts", Route: "contacts.get", Account: "acme", Client: "client1", Token: "token1", Environment: "production",
		Source: netip.MustParseAddr("192.0.2.7"), Limits: []string{"per_minute", "strict.per_day"}, Shadowed: []string{"watch.burst"},
	}
}

func allowed() Entry {
	e := refusal()
	e.Status, e.Code, e.Step, e.Cause, e.Limits, e.Shadowed = 200, "allow", "", "", nil, nil
	return e
}

func only(t *testing.T, r *Ring) Record {
	t.Helper()
	records := r.Latest(&Filter{}, 0, 10)
	if len(records) != 1 {
		t.Fatalf("%d records, want one", len(records))
	}
	return records[0]
}

func TestRecordTellsTheDecision(t *testing.T) {
	t.Parallel()
	r := newRing(4)
	e := refusal()
	r.Add(&e)
	want := Record{
		Seq: first, Time: epoch.Truncate(time.Microsecond), ID: "0123456789abcdefghij", Code: "R3", Status: 429, Step: "limits",
		Cause: "R3: per_minute is used up", Method: "GET", Host: "api.example.com", Path: "/v1/contacts/7", API: "contacts", Route: "contacts.get",
		Account: "acme", Client: "client1", Token: "token1", Environment: "production", Source: "192.0.2.7", RequestID: "req-1",
		Limits: []string{"per_minute", "strict.per_day"}, Shadowed: []string{"watch.burst"}, TookMicros: 12,
		Steps: []Step{{"path", "passed"}, {"token", "passed"}, {"limits", "refused"}},
	}
	got := only(t, r)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	text, err := json.Marshal(got)
	if err != nil || !strings.Contains(string(text), `"time":"2026-03-01T12:00:00.123456Z"`) || !strings.Contains(string(text), `"took_us":12`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestStepsOfARequest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*Entry)
		want   []Step
	}{
		{"allowed", func(*Entry) {}, []Step{{"path", "passed"}, {"token", "passed"}, {"limits", "passed"}}},
		{"refused early", func(e *Entry) { e.Step = "path" }, []Step{{"path", "refused"}}},
		{"open", func(e *Entry) { e.Open = true }, []Step{{"path", "passed"}}},
		{"open and refused", func(e *Entry) { e.Open, e.Step = true, "path" }, []Step{{"path", "refused"}}},
		{"no step of the gate", func(e *Entry) { e.Step = "panic" }, []Step{{"panic", "refused"}}},
	} {
		r, e := newRing(1), allowed()
		tt.change(&e)
		r.Add(&e)
		if diff := cmp.Diff(tt.want, only(t, r).Steps); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// TestNothingIsShared: the strings of a request are gone when Add returns.
func TestNothingIsShared(t *testing.T) {
	t.Parallel()
	message := []byte("GET api.example.com /v1/contacts/7 req-1")
	text := unsafe.String(&message[0], len(message))
	part := strings.Fields(text)
	r, e := newRing(1), allowed()
	e.Method, e.Host, e.Path, e.RequestID = part[0], part[1], part[2], part[3]
	r.Add(&e)
	for i := range message {
		message[i] = 'x'
	}
	if got := only(t, r); got.Method != "GET" || got.Host != "api.example.com" || got.Path != "/v1/contacts/7" || got.RequestID != "req-1" {
		t.Errorf("%+v shares the message's memory", got)
	}
}

func TestLongTextsAreClipped(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 1000)
	r := newRing(1)
	e := Entry{
		Code: "R0", Step: long, Cause: long, Method: long, Host: "h" + long, Path: "/" + long, RequestID: long, API: long, Route: long,
		Account: long, Client: long, Token: long, Environment: long, Limits: []string{long, long}, Shadowed: []string{long},
	}
	r.Add(&e)
	got := only(t, r)
	for name, text := range map[string]string{"method": got.Method, "host": got.Host, "path": got.Path, "route": got.Route, "account": got.Account, "client": got.Client, "request id": got.RequestID} {
		if !utf8.ValidString(text) || !strings.HasSuffix(text, "ä…") || len(text) > 300 {
			t.Errorf("%s: %q", name, text)
		}
	}
	if records := r.Latest(&Filter{Account: strings.TrimSuffix(got.Account, "…")}, 0, 1); records != nil {
		t.Error("an account was found by the beginning of its name")
	}
	e = Entry{Host: "a\xff\xfeb", Path: "/\x00\xc3"}
	r.Add(&e)
	if got := only(t, r); !utf8.ValidString(got.Host) || !utf8.ValidString(got.Path) || !strings.HasPrefix(got.Host, "a") {
		t.Errorf("%q %q", got.Host, got.Path)
	}
	// An account and a client with the longest names that there are leave room for all
	// that a filter asks for.
	name := strings.Repeat("n", 128)
	e = refusal()
	e.Host, e.Path, e.Account, e.Client = strings.Repeat("h", 96), strings.Repeat("/p", 500), name, name
	r.Add(&e)
	if got := r.Latest(&Filter{Account: name, Client: name, Token: "token1", API: "contacts", Route: "contacts.get"}, 0, 1); len(got) != 1 || got[0].RequestID != "req-1" {
		t.Errorf("got %+v, want it to be found", got)
	}
}

// TestNoCredentialIsKept, neither in what is shown nor in the slot itself.
func TestNoCredentialIsKept(t *testing.T) {
	t.Parallel()
	const canary = "CANARY"
	jwt := "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0." + canary
	long := "eyJ" + strings.Repeat("x", 5000) + ".y." + canary
	for _, e := range []Entry{
		{Path: "/v1?token=" + canary}, {Path: "/v1#" + canary}, {Path: "/v1#a?" + canary}, {Path: "/v1/" + jwt}, {Path: "/v1/" + jwt + "/x"}, {Path: "/v1/" + long},
		{Path: "/v1/tga_" + canary}, {Path: "/v1/tgr_" + canary + "/x"}, {Path: "/tgk_" + canary + "?x=tgk_1"}, {Path: "/v1/x;token=tga_" + canary + "/y"},
		{Path: "/v1/x:" + jwt}, {Path: "/a%2ftga_" + canary}, {Host: "tgk_" + canary + ".example.com"}, {RequestID: jwt},
		{Cause: "panic: bad token \"tga_" + canary + "\""}, {Cause: "panic: x\n" + canary}, {Cause: "no: " + jwt},
	} {
		r := newRing(1)
		r.Add(&e)
		rec := only(t, r)
		text, err := json.Marshal(rec)
		if err != nil || strings.Contains(string(text), canary) || strings.Contains(fmt.Sprintf("%+v %#v", rec, rec), canary) || strings.Contains(string(r.slots[0].text[:]), canary) {
			t.Errorf("%+v: %s, %v; want no %s", e, text, err, canary)
		}
	}
	for path, want := range map[string]string{
		"/v1/" + jwt + "/x": "/v1/<hidden>/x", "/tga_1": "/<hidden>", "/a/tgtg/eyJ.b/": "/a/tgtg/eyJ.b/", "/a//b": "/a//b", "": "", "/tgk_x/": "/<hidden>/", "/v1/tga": "/v1/tga",
	} {
		r := newRing(1)
		r.Add(&Entry{Path: path})
		if got := only(t, r).Path; got != want {
			t.Errorf("%q is shown as %q, want %q", path, got, want)
		}
	}
}

func TestRingKeepsTheLatest(t *testing.T) {
	t.Parallel()
	r := newRing(4)
	if got := r.Latest(&Filter{}, 0, 10); got != nil {
		t.Errorf("an empty ring has %+v", got)
	}
	for i := range 11 {
		e := allowed()
		e.Path = fmt.Sprint("/", i)
		r.Add(&e)
	}
	got := r.Latest(&Filter{}, 0, 10)
	if len(got) != 4 || got[0].Path != "/10" || got[3].Path != "/7" || got[0].Seq != first+10 {
		t.Errorf("got %+v, want the latest four", got)
	}
	page := r.Latest(&Filter{}, 0, 3)
	if len(page) != 3 {
		t.Fatalf("%d records, want 3", len(page))
	}
	if page = r.Latest(&Filter{}, page[2].Seq, 3); len(page) != 1 || page[0].Path != "/7" {
		t.Errorf("the second page is %+v, want /7 alone", page)
	}
	if page = r.Latest(&Filter{}, page[0].Seq, 3); page != nil {
		t.Errorf("after the last page: %+v", page)
	}
	if page = r.Latest(&Filter{}, 1, 3); page != nil {
		t.Errorf("before a number of an older process: %+v", page)
	}
}

// TestALateWriterIsDropped: one that was held up for a whole turn does not put an old
// decision over a newer one.
func TestALateWriterIsDropped(t *testing.T) {
	t.Parallel()
	r, e := newRing(2), allowed()
	r.Add(&e)
	r.Add(&e)
	r.Add(&e)
	r.last.Store(first - 1) // as the late writer has seen it
	e.Path = "/late"
	r.Add(&e)
	r.last.Store(first + 2)
	if got := r.Latest(&Filter{}, 0, 9); len(got) != 2 || got[0].Seq != first+2 || got[1].Seq != first+1 {
		t.Errorf("got %+v, want the two latest", got)
	}
}

// TestRecordsAreNeverTorn: whatever is read was written by one Add.
func TestRecordsAreNeverTorn(t *testing.T) {
	t.Parallel()
	r := newRing(8)
	stop := make(chan struct{})
	var writers, readers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 3000 {
				n := strings.Repeat(fmt.Sprint(w), 1+i%40)
				r.Add(&Entry{Status: len(n), Method: n, Host: n, Path: n, RequestID: n, Account: n, Client: n, Cause: n, Took: time.Duration(len(n)) * time.Microsecond})
			}
		})
	}
	check := func(rec *Record) {
		n := rec.Path
		if rec.Host != n || rec.RequestID != n || rec.Account != n || rec.Client != n || rec.Cause != n || rec.Status != len(n) || int(rec.TookMicros) != len(n) {
			t.Errorf("torn: %+v", rec)
		}
	}
	readers.Go(func() {
		for {
			for _, rec := range r.Latest(&Filter{}, 0, 8) {
				check(&rec)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	var seen, missed uint64
	readers.Go(func() {
		var after uint64
		for last := false; ; {
			b := r.Since(after, &Filter{}, 100)
			for i := range b.Records {
				check(&b.Records[i])
				if i > 0 && b.Records[i].Seq <= b.Records[i-1].Seq {
					t.Error("not in order")
				}
			}
			seen, missed, after = seen+uint64(len(b.Records)), missed+b.Missed, b.Next
			if last {
				return
			}
			select {
			case <-stop:
				last = true
			default:
			}
		}
	})
	writers.Wait()
	close(stop)
	readers.Wait()
	if seen+missed != 4*3000 {
		t.Errorf("a follower saw %d and missed %d, want 12000 together", seen, missed)
	}
}

func TestAddDoesNotAllocate(t *testing.T) {
	r, e := newRing(100), allowed()
	e.Path = "/v1/contacts/tgtg_/eyJ.x?x=1" // nearly
	if n := testing.AllocsPerRun(1000, func() { r.Add(&e) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	if size := unsafe.Sizeof(kept{}); size != slotBytes || size*Size > 12<<20 {
		t.Errorf("a slot has %d bytes, the ring %d; want %d and at most 12 MiB", size, size*Size, slotBytes)
	}
	sum := 0
	for f := range fieldLimits {
		sum += room[f]
	}
	if most := len(kept{}.text); sum > most {
		t.Errorf("what filters ask for may have %d bytes, and there is room for %d", sum, most)
	}
}

func BenchmarkAdd(b *testing.B) {
	for _, bb := range []struct {
		name  string
		entry Entry
	}{{"allowed", allowed()}, {"refused", refusal()}} {
		b.Run(bb.name, func(b *testing.B) {
			r := newRing(0)
			b.ReportAllocs()
			for b.Loop() {
				r.Add(&bb.entry)
			}
		})
	}
	b.Run("parallel", func(b *testing.B) {
		r := newRing(0)
		b.RunParallel(func(pb *testing.PB) {
			e := allowed()
			for pb.Next() {
				r.Add(&e)
			}
		})
	})
}
