package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

const testClient = "client1"

// testToken looks like a token: no one verifies it here.
func testToken(id string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"jti":%q}`, id)) + ".c2ln"
}

// answer is what tollgate answers to a call with the token of that ID.
func answer(id string) *authv3.CheckResponse {
	header := func(name, value string) *corev3.HeaderValueOption {
		return &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: name, Value: value}}
	}
	const limits = `"burst";r=1;t=1, "per_minute";r=1;t=1`
	return &authv3.CheckResponse{Status: &status.Status{}, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
		Headers: []*corev3.HeaderValueOption{
			header("x-tollgate-client", testClient), header("x-tollgate-token-id", id),
			header("x-tollgate-scopes", callScope), header("x-tollgate-environment", "production"),
		},
		ResponseHeadersToAdd: []*corev3.HeaderValueOption{header("ratelimit-policy", limits), header("ratelimit", limits)},
	}}}
}

// fakeServer answers a call.
type fakeServer func(token string, call int) (*authv3.CheckResponse, error)

type fakeAuthorization struct {
	answer fakeServer
	calls  *atomic.Int64
}

func (f fakeAuthorization) Check(_ context.Context, check *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	http := check.GetAttributes().GetRequest().GetHttp()
	if http.GetHost() != callHost || http.GetPath() != callPath {
		return nil, fmt.Errorf("asked for %s%s", http.GetHost(), http.GetPath())
	}
	return f.answer(strings.TrimPrefix(http.GetHeaders()["authorization"], "Bearer "), int(f.calls.Add(1))-1)
}

// drive makes calls to a server and returns what came of it, and how many calls
// the server saw.
func drive(t *testing.T, f fakeServer, calls, flight int, tokens ...string) (tally, int64, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var seen atomic.Int64
	s := grpc.NewServer()
	authv3.RegisterAuthorizationServer(s, fakeAuthorization{f, &seen})
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	loader, err := newLoader(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = loader.close() })
	check, err := recordedRequest(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCalls(check, tokens)
	if err != nil {
		t.Fatal(err)
	}
	if size := c.size(); size < 1300 || size > 2000 {
		t.Errorf("the request has %d bytes; want about what Envoy sends", size)
	}
	done, err := loader.run(load{calls: calls, flight: flight, message: c.message, judge: judgeTollgate(c, testClient)})
	return done, seen.Load(), err
}

func TestLoader_MakesAllCallsWithAllTokens(t *testing.T) {
	t.Parallel()
	for _, flight := range []int{1, 32} {
		var tokens [2]atomic.Int64
		const calls = 3000
		got, seen, err := drive(t, func(token string, _ int) (*authv3.CheckResponse, error) {
			for i, id := range []string{"id-a", "id-b"} {
				if token == testToken(id) {
					tokens[i].Add(1)
					return answer(id), nil
				}
			}
			return nil, fmt.Errorf("a token that nobody made: %q", token)
		}, calls, flight, testToken("id-a"), testToken("id-b"))
		if err != nil {
			t.Fatalf("%d in flight: %v", flight, err)
		}
		if seen != calls || tokens[0].Load() != calls/2 || tokens[1].Load() != calls/2 {
			t.Errorf("%d in flight: the server saw %d calls, %d and %d with the tokens; want %d, half each", flight, seen, tokens[0].Load(), tokens[1].Load(), calls)
		}
		if got.wall <= 0 || got.p50 <= 0 || got.p99 < got.p50 {
			t.Errorf("%d in flight: got %+v; want every figure", flight, got)
		}
	}
}

// TestLoader_WrongAnswerEndsTheRun: whatever is not the full allow must not pass
// for a fast answer.
func TestLoader_WrongAnswerEndsTheRun(t *testing.T) {
	t.Parallel()
	denied := &authv3.CheckResponse{
		Status:       &status.Status{Code: 16},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{Body: "no"}},
	}
	change := func(f func(*authv3.OkHttpResponse)) *authv3.CheckResponse {
		a := answer("id")
		f(a.GetOkResponse())
		return a
	}
	for name, tt := range map[string]struct {
		resp *authv3.CheckResponse
		err  error
		call int // the one that goes wrong
		want string
	}{
		"denied":             {resp: denied, call: 700, want: "not allowed"},
		"denied as client":   {resp: &authv3.CheckResponse{HttpResponse: answer("id").HttpResponse, Status: &status.Status{Code: 7}}, call: 700, want: "not allowed"},
		"no answer":          {resp: &authv3.CheckResponse{}, call: 700, want: "not allowed"},
		"RPC error":          {err: errors.New("broken"), call: 700, want: "grpc-status"},
		"another client":     {resp: change(func(ok *authv3.OkHttpResponse) { ok.Headers[0].Header.Value = "client2" }), call: 700, want: "allowed as client"},
		"client removed":     {resp: change(func(ok *authv3.OkHttpResponse) { ok.Headers, ok.HeadersToRemove = nil, []string{"x-tollgate-client"} }), call: 700, want: "allowed as client"},
		"another token":      {resp: answer("other"), want: "x-tollgate-token-id"},
		"no limits":          {resp: change(func(ok *authv3.OkHttpResponse) { ok.ResponseHeadersToAdd = nil }), want: "ratelimit"},
		"another scope":      {resp: change(func(ok *authv3.OkHttpResponse) { ok.Headers[2].Header.Value = "all" }), want: "x-tollgate-scopes"},
		"per minute missing": {resp: change(func(ok *authv3.OkHttpResponse) { ok.ResponseHeadersToAdd[1].Header.Value = `"burst";r=1;t=1` }), want: "both limits"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := drive(t, func(_ string, call int) (*authv3.CheckResponse, error) {
				if call == tt.call {
					return tt.resp, tt.err
				}
				return answer("id"), nil
			}, 1000, 1, testToken("id"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestJudgeFloor(t *testing.T) {
	t.Parallel()
	good, err := proto.Marshal(answer("id"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := proto.Marshal(answer("id2"))
	if err != nil {
		t.Fatal(err)
	}
	judge := judgeFloor()
	if err := errors.Join(judge(0, good), judge(1, good)); err != nil {
		t.Error(err)
	}
	if judge(2, other) == nil || judge(3, nil) == nil || judgeFloor()(0, nil) == nil {
		t.Error("another answer, or an empty one, must not pass")
	}
}

func TestNewCalls_TokensOfOneLength(t *testing.T) {
	t.Parallel()
	check := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Headers: map[string]string{}},
	}}}
	for _, tokens := range [][]string{nil, {"one", "three"}} {
		if _, err := newCalls(check, tokens); err == nil {
			t.Errorf("%q: want an error", tokens)
		}
	}
}
