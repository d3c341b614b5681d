package extauthz

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/authz/deny"
)

// judgeFunc is a gate for tests.
type judgeFunc func(context.Context, authz.Request) authz.Decision

func (f judgeFunc) Check(ctx context.Context, req authz.Request) authz.Decision { return f(ctx, req) }
func (judgeFunc) KeyHeaders() []string                                          { return keyHeaders }

// dial serves a judge on a real socket and connects to it.
func dial(t *testing.T, network string, c Config) (*Server, *grpc.ClientConn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "check.sock")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := New(c)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	target := l.Addr().String()
	if network == "unix" {
		target = "unix:" + target
	}
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.Stop(ctx)
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s, conn
}

func TestC1_AnswersOverTCPAndUnixSocket(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		judge := judgeFunc(func(_ context.Context, req authz.Request) authz.Decision {
			return authz.Decision{ID: authz.NewID(), Allowed: req.Path == "/a/b?x=1&y=2"}
		})
		_, conn := dial(t, network, Config{Judge: judge})
		client := authv3.NewAuthorizationClient(conn)
		resp, err := client.Check(t.Context(), recorded(t)[0])
		if err != nil || resp.GetOkResponse() == nil {
			t.Errorf("%s: %v, %v; want an allow", network, resp, err)
		}
		// A message that comes in several buffers is read all the same.
		large := proto.Clone(recorded(t)[0]).(*authv3.CheckRequest)
		large.Attributes.Request.Http.Body = strings.Repeat("x", 200_000)
		if resp, err = client.Check(t.Context(), large); err != nil || resp.GetOkResponse() == nil {
			t.Errorf("%s, large: %v, %v; want an allow", network, resp, err)
		}
	}
}

// TestB4_APanicIsADeny: not an RPC error, which Envoy could be told to let pass.
func TestB4_APanicIsADeny(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)
	var text bytes.Buffer
	calls := 0
	judge := judgeFunc(func(context.Context, authz.Request) authz.Decision {
		if calls++; calls == 1 {
			panic("a step that panics")
		}
		return authz.Decision{Allowed: true}
	})
	_, conn := dial(t, "tcp", Config{Judge: judge, Observer: Observers{metrics, Log{slog.New(slog.NewTextHandler(&text, nil))}}})
	client := authv3.NewAuthorizationClient(conn)
	resp, err := client.Check(t.Context(), recorded(t)[0])
	if err != nil || resp.GetDeniedResponse().GetStatus().GetCode() != 503 || resp.GetDeniedResponse().GetBody() != deny.Internal.Body || resp.GetStatus().GetCode() == 0 {
		t.Errorf("got %v, %v; want a 503 deny", resp, err)
	}
	if n := testutil.ToFloat64(metrics.panics); n != 1 {
		t.Errorf("tollgate_panics_total is %v, want 1", n)
	}
	if !strings.Contains(text.String(), "a step that panics") || !strings.Contains(text.String(), "level=ERROR") {
		t.Errorf("the log says %q", text.String())
	}
	if resp, err = client.Check(t.Context(), recorded(t)[0]); err != nil || resp.GetOkResponse() == nil {
		t.Errorf("after the panic: %v, %v; want the service to live on", resp, err)
	}
}

// TestB3_NoResponseWithoutStatus: broken messages and random ones get a deny or
// an honest allow, never an error and never an empty answer.
func TestB3_NoResponseWithoutStatus(t *testing.T) {
	t.Parallel()
	s := New(Config{Judge: judgeFunc(func(_ context.Context, req authz.Request) authz.Decision {
		if req.Method == "" {
			panic("no method")
		}
		return authz.Decision{Allowed: req.Authorizations == 1, Reason: deny.InvalidToken}
	})})
	r := rand.New(rand.NewPCG(3, 3))
	seeds := recorded(t)
	for range 20_000 {
		message := marshal(t, seeds[r.IntN(len(seeds))])
		for range r.IntN(4) {
			if len(message) > 0 {
				message[r.IntN(len(message))] = byte(r.Uint32())
			}
		}
		message = message[:r.IntN(len(message)+1)]
		var resp authv3.CheckResponse
		if err := proto.Unmarshal(s.answer(t.Context(), nil, message), &resp); err != nil {
			t.Fatalf("the answer to %x: %v", message, err)
		}
		var req authz.Request
		readErr := readRequest(message, &req, keyHeaders)
		if allowed := resp.GetOkResponse() != nil; allowed != (readErr == nil && req.Authorizations == 1 && req.Method != "") {
			t.Fatalf("%x: allowed %v, request %+v, %v", message, allowed, req, readErr)
		} else if !allowed && (resp.GetStatus().GetCode() == 0 || resp.GetDeniedResponse().GetStatus().GetCode() < 400) {
			t.Fatalf("%x: a refusal that Envoy would let pass: %v", message, &resp)
		}
	}
}

// TestC1_GarbageOnTheWire: a client that sends no CheckRequest at all gets a
// deny, and the connection lives.
func TestC1_GarbageOnTheWire(t *testing.T) {
	t.Parallel()
	_, conn := dial(t, "tcp", Config{Judge: judgeFunc(func(context.Context, authz.Request) authz.Decision { return authz.Decision{Allowed: true} })})
	var resp authv3.CheckResponse
	// HealthCheckRequest's service is a string in field 1: no message of attributes.
	if err := conn.Invoke(t.Context(), "/envoy.service.auth.v3.Authorization/Check", &healthv1.HealthCheckRequest{Service: "\xff\x01"[1:] + "garbage"}, &resp); err != nil {
		t.Fatal(err)
	}
	if resp.GetDeniedResponse().GetStatus().GetCode() != 503 {
		t.Errorf("got %v, want a 503 deny", &resp)
	}
}

func TestHealthAndReflection(t *testing.T) {
	t.Parallel()
	s, conn := dial(t, "tcp", Config{Judge: judgeFunc(func(context.Context, authz.Request) authz.Decision { return authz.Decision{} })})
	health := healthv1.NewHealthClient(conn)
	for _, service := range []string{"", serviceName} {
		resp, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
		if err != nil || resp.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: %v, %v", service, resp, err)
		}
	}
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: serviceName}}); err != nil {
		t.Fatal(err)
	}
	if resp, err := stream.Recv(); err != nil || len(resp.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("reflection: %v, %v", resp, err)
	}
	_ = stream.CloseSend()
	s.Drain()
	resp, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || resp.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health while draining: %v, %v", resp, err)
	}
}

// TestDeadlineReachesTheJudge: what Envoy no longer waits for is not decided.
func TestDeadlineReachesTheJudge(t *testing.T) {
	t.Parallel()
	seen := make(chan error, 1)
	_, conn := dial(t, "tcp", Config{Judge: judgeFunc(func(ctx context.Context, _ authz.Request) authz.Decision {
		<-ctx.Done()
		seen <- ctx.Err()
		return authz.Decision{}
	})})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := authv3.NewAuthorizationClient(conn).Check(ctx, &authv3.CheckRequest{})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the caller sees %v", err)
	}
	if err := <-seen; !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		t.Errorf("the judge sees %v", err)
	}
}

func TestLogTellsOfARefusalOnce(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	log := Log{slog.New(slog.NewJSONHandler(&text, nil))}
	req := &authz.Request{Method: "GET", Host: "api.example.com", Path: "/v1?secret=x", Authorization: "Bearer topsecret", Peer: netip.MustParseAddr("192.0.2.1"), RequestID: strings.Repeat("r", 1000)}
	log.Observe(req, &authz.Decision{Allowed: true}, time.Millisecond)
	if text.Len() != 0 {
		t.Errorf("an allow was logged: %s", text.String())
	}
	d := &authz.Decision{ID: authz.NewID(), Reason: deny.InvalidToken, Step: "token", Cause: errors.New("why")}
	log.Observe(req, d, time.Millisecond)
	line := text.String()
	for _, want := range []string{`"code":"R1"`, `"step":"token"`, string(d.ID[:]), `"cause":"why"`, `"path":"/v1"`, `"peer":"192.0.2.1"`} {
		if !strings.Contains(line, want) {
			t.Errorf("the line lacks %s: %s", want, line)
		}
	}
	if strings.Contains(line, "secret") || strings.Count(line, "\n") != 1 || len(line) > 1500 {
		t.Errorf("the line shows too much: %s", line)
	}
}

func TestAnswerShowsWhatEnvoyGets(t *testing.T) {
	t.Parallel()
	shown, err := Answer(&authz.Request{}, &authz.Decision{ID: authz.NewID(), Reason: deny.InvalidToken})
	if err != nil || shown["x-tollgate-code"] != "R1" || shown["www-authenticate"] == "" {
		t.Errorf("a refusal: %+v, %v", shown, err)
	}
	shown, err = Answer(&authz.Request{}, &authz.Decision{Allowed: true})
	if value, ok := shown["x-tollgate-client"]; err != nil || !ok || value != "" {
		t.Errorf("an open API: %+v, %v; want x-tollgate-client removed", shown, err)
	}
}

// BenchmarkAnswer is everything between the bytes of a request and those of its
// answer, but the gate.
func BenchmarkAnswer(b *testing.B) {
	message := marshal(b, recorded(b)[0])
	_, d := randomDecision(rand.New(rand.NewPCG(9, 9)))
	d.Allowed, d.Passed = true, false
	s := New(Config{Judge: judgeFunc(func(context.Context, authz.Request) authz.Decision { return *d })})
	dst := make([]byte, 0, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		s.answer(b.Context(), dst, message)
	}
}
