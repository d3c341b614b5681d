package extauthz

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/authz/deny"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/tokens"
)

// recorded returns CheckRequests that a real Envoy 1.40 sent.
func recorded(t testing.TB) []*authv3.CheckRequest {
	t.Helper()
	f, err := os.Open("testdata/checkrequests.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var checks []*authv3.CheckRequest
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line struct{ Check json.RawMessage }
		check := &authv3.CheckRequest{}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if err := protojson.Unmarshal(line.Check, check); err != nil {
			t.Fatal(err)
		}
		checks = append(checks, check)
	}
	if len(checks) < 90 {
		t.Fatalf("%d recordings, want at least 90", len(checks))
	}
	return checks
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// compareRead holds readRequest against the reference on one message.
func compareRead(t *testing.T, message []byte) {
	t.Helper()
	var got authz.Request
	err := readRequest(message, &got, keyHeaders)
	var check authv3.CheckRequest
	if proto.Unmarshal(message, &check) != nil {
		return // what protobuf refuses may be refused here or read in part
	}
	if err != nil {
		t.Fatalf("readRequest(%x): %v, but protobuf reads it", message, err)
	}
	want := referenceRead(&check)
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("readRequest differs (-protobuf +ours):\n%s", diff)
	}
}

func TestC1_ReadsWhatEnvoySends(t *testing.T) {
	t.Parallel()
	withToken := 0
	for _, check := range recorded(t) {
		message := marshal(t, check)
		compareRead(t, message)
		var req authz.Request
		if err := readRequest(message, &req, keyHeaders); err != nil || req.Method == "" || !req.Peer.IsValid() {
			t.Errorf("read %+v, %v from a recording", req, err)
		}
		withToken += req.Authorizations
	}
	if withToken == 0 {
		t.Error("no recording with an Authorization header was read")
	}
}

func TestReadMergesAndSkipsAsProtobufDoes(t *testing.T) {
	t.Parallel()
	first := marshal(t, recorded(t)[0])
	second := marshal(t, recorded(t)[1])
	unknown := protowire.AppendTag(nil, 900, protowire.StartGroupType)
	unknown = protowire.AppendVarint(protowire.AppendTag(unknown, 3, protowire.VarintType), 7)
	unknown = protowire.AppendTag(unknown, 900, protowire.EndGroupType)
	unknown = protowire.AppendFixed32(protowire.AppendTag(unknown, 77, protowire.Fixed32Type), 1)
	unknown = protowire.AppendFixed64(protowire.AppendTag(unknown, 78, protowire.Fixed64Type), 1)
	for _, message := range [][]byte{
		nil,
		bytes.Join([][]byte{first, second}, nil),
		bytes.Join([][]byte{unknown, first, unknown}, nil),
	} {
		compareRead(t, message)
	}
	for _, broken := range [][]byte{{0x80}, {0x0a, 0x05, 1}, {0x0c}, {0x03, 0x0b}, {0x00, 0x00}, first[:len(first)-1]} {
		if err := readRequest(broken, &authz.Request{}, keyHeaders); err == nil {
			t.Errorf("readRequest(%x) succeeded", broken)
		}
	}
}

func FuzzReadRequest(f *testing.F) {
	for _, check := range recorded(f) {
		f.Add(marshal(f, check))
	}
	f.Fuzz(compareRead)
}

func TestHeaderListReadsEveryHeader(t *testing.T) {
	t.Parallel()
	check := &authv3.CheckRequest{}
	err := protojson.Unmarshal([]byte(`{"attributes":{"request":{"http":{"headerMap":{"headers":[
		{"key":"authorization","rawValue":"QmVhcmVyIG9uZQ=="},{"key":"authorization","value":"Bearer two"},
		{"key":"x-forwarded-for","value":"192.0.2.1"},{"key":"x-forwarded-for","value":"192.0.2.2"},
		{"key":"content-type","value":"application/grpc+proto"}]}}},
		"contextExtensions":{"tollgate.scopes":"","tollgate.route":"r","other":"x"}}}`), check)
	if err != nil {
		t.Fatal(err)
	}
	var got authz.Request
	if err := readRequest(marshal(t, check), &got, keyHeaders); err != nil {
		t.Fatal(err)
	}
	want := authz.Request{Authorization: "Bearer two", Authorizations: 2, ForwardedFor: "192.0.2.1,192.0.2.2", GRPC: true, RouteName: "r"}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// randomDecision draws decisions of every shape, with texts of lengths around
// the steps of a length prefix.
func randomDecision(r *rand.Rand) (*authz.Request, *authz.Decision) {
	text := func() string {
		return strings.Repeat("x", [...]int{0, 1, 5, 60, 120, 126, 127, 128, 130, 300, 17000}[r.IntN(11)])
	}
	d := &authz.Decision{ID: authz.NewID(), Allowed: r.IntN(2) == 0, Passed: r.IntN(6) == 0, HideToken: r.IntN(3) == 0, TokenSent: r.IntN(2) == 0, KeysOnly: r.IntN(4) == 0}
	if r.IntN(3) == 0 {
		d.HideKeys = []authz.KeySource{{Header: "x-api-key", Query: "api_key"}, {Header: "x-other-key"}, {Query: "key"}}[:1+r.IntN(3)]
	}
	if r.IntN(8) > 0 {
		d.Reason = deny.Reasons[r.IntN(len(deny.Reasons))]
	}
	if r.IntN(4) > 0 {
		trust := &tokens.Trust{Issuer: text(), Account: text(), Environment: tokens.Sandbox}
		d.Identity = &tokens.Identity{Token: &tokens.Token{Trust: trust, ID: text(), ClientID: text(), Subject: text()}, ScopeList: text()}
		if r.IntN(2) == 0 {
			d.Identity.Client = &tokens.Client{Account: text(), Environment: tokens.Production}
		}
		for range r.IntN(4) {
			d.Identity.Scopes = append(d.Identity.Scopes, text())
		}
	}
	plan, _ := limiter.NewPlan(limiter.Plan{Name: "default", Burst: limiter.Burst{Rate: 50, Size: 100}, PerMinute: 1000, WarnAt: r.Float64(), Shadow: r.IntN(4) == 0})
	strict, _ := limiter.NewPlan(limiter.Plan{Name: "route:strict", Label: "strict", PerMinute: 5, WarnAt: r.Float64(), Shadow: r.IntN(4) == 0})
	if r.IntN(4) > 0 {
		d.Route = &authz.Route{Name: text(), Pattern: "GET /x", API: &authz.API{Name: text(), Open: r.IntN(4) == 0, ForwardToken: r.IntN(2) == 0}}
		if r.IntN(2) == 0 {
			d.Route.Plan = &authz.Plan{Name: "strict", Table: strict}
		}
	}
	if r.IntN(2) == 0 {
		d.ScopeWanted = "a:read b"
	}
	plans := []*limiter.Plan{plan, strict}[:r.IntN(3)]
	if len(plans) > 0 {
		now := time.Unix(1e9, 0)
		table, _ := limiter.New(limiter.Config{MaxBytes: 1 << 20, Epoch: now})
		for range r.IntN(8) {
			table.Take(now, table.Subject("s"), plans, &d.Limits)
		}
	}
	for _, kind := range limiter.Kinds[2:] {
		if r.IntN(4) > 0 {
			continue
		}
		s := limiter.Standing{Kind: kind, Limit: 1000, Remaining: r.Int64N(1001), Near: int64(r.IntN(3) * 400), Refused: r.IntN(3) == 0}
		if r.IntN(2) == 0 {
			s.Plan = strict
		}
		if r.IntN(2) == 0 {
			s.Window, s.Reset = 24*time.Hour, time.Duration(r.Int64N(int64(24*time.Hour)))
		}
		d.Limits.Add(s)
		d.Limits.Never = d.Limits.Never || s.Refused && s.Window == 0
	}
	path := []string{"/x", "/x?", "/x?api_key=1", "/x?a=1&key=2", "/x?api_key", "/api_key=1?keys=1", "/x?key=1&api_key=2"}[r.IntN(7)]
	return &authz.Request{Path: path, GRPC: r.IntN(2) == 0}, d
}

// compareWrite holds appendResponse against the reference.
func compareWrite(t *testing.T, req *authz.Request, d *authz.Decision) {
	t.Helper()
	var got authv3.CheckResponse
	if err := proto.Unmarshal(appendResponse([]byte("kept")[:0], req, d), &got); err != nil {
		t.Fatalf("protobuf cannot read the answer: %v", err)
	}
	if diff := cmp.Diff(referenceWrite(req, d), &got, protocmp.Transform()); diff != "" {
		t.Fatalf("appendResponse differs (-protobuf +ours):\n%s", diff)
	}
	// Bar B3: whatever the decision was, the answer is an allow only if it said so.
	allows := got.GetOkResponse() != nil
	if allows != (d.Allowed || d.Passed) || !allows && (got.GetStatus().GetCode() == 0 || got.GetDeniedResponse().GetStatus().GetCode() < 400) {
		t.Fatalf("decision %+v became %v", d, &got)
	}
}

func TestC5_WritesWhatProtobufWouldWrite(t *testing.T) {
	t.Parallel()
	compareWrite(t, &authz.Request{}, &authz.Decision{}) // the zero Decision refuses
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		req, d := randomDecision(r)
		compareWrite(t, req, d)
	}
}

func TestLimitsInShadowAreNotToldOf(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	plan := func(name string, shadow bool) *limiter.Plan {
		p, err := limiter.NewPlan(limiter.Plan{Name: name, PerMinute: 1, Shadow: shadow})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, tt := range []struct {
		plans []*limiter.Plan
		want  string
	}{
		{[]*limiter.Plan{plan("a", true), plan("b", false)}, `"per_minute";q=1;w=60`},
		{[]*limiter.Plan{plan("a", false), plan("b", true)}, `"per_minute";q=1;w=60`},
		{[]*limiter.Plan{plan("a", true), plan("b", true)}, ""},
	} {
		table, err := limiter.New(limiter.Config{MaxBytes: 1 << 20, Epoch: now})
		if err != nil {
			t.Fatal(err)
		}
		d := &authz.Decision{Allowed: true}
		table.Take(now, 1, tt.plans, &d.Limits)
		var got authv3.CheckResponse
		if err := proto.Unmarshal(appendResponse(nil, &authz.Request{}, d), &got); err != nil {
			t.Fatal(err)
		}
		policy := ""
		for _, h := range got.GetOkResponse().GetResponseHeadersToAdd() {
			if h.GetHeader().GetKey() == "ratelimit-policy" {
				policy = h.GetHeader().GetValue()
			}
		}
		if policy != tt.want {
			t.Errorf("%v, %v: got %s, want %s", tt.plans[0].Shadow, tt.plans[1].Shadow, policy, tt.want)
		}
	}
}

func FuzzWriteResponse(f *testing.F) {
	f.Add(uint64(1), "client", "scope")
	f.Fuzz(func(t *testing.T, seed uint64, client, scope string) {
		req, d := randomDecision(rand.New(rand.NewPCG(seed, 0)))
		client, scope = strings.ToValidUTF8(client, "?"), strings.ToValidUTF8(scope, "?")
		if d.Identity != nil {
			d.Identity.Token.ClientID, d.Identity.Scopes = client, append(d.Identity.Scopes, scope)
		}
		compareWrite(t, req, d)
	})
}
