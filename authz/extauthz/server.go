// Package extauthz is the gRPC side of the gate: it reads Envoy's CheckRequest,
// asks the gate, and writes the CheckResponse. It is the only code that makes
// either, and it decides nothing itself.
//
// An RPC error, however honest, is never the answer to a Check: with
// failure_mode_allow Envoy would let the request pass.
package extauthz

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"runtime/debug"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/authz/deny"
)

// Judge decides about requests; *authz.Gate does. Check must not keep req's
// strings: they share the memory of the message.
type Judge interface {
	Check(ctx context.Context, req authz.Request) authz.Decision
	// KeyHeaders names the headers, in lower case, that Check wants to see as
	// Request.APIKeys.
	KeyHeaders() []string
}

// Observer is told of every answer, after it was made and before it is sent. It
// must not keep req's strings.
type Observer interface {
	Observe(req *authz.Request, d *authz.Decision, took time.Duration)
}

// Config is what a Server needs.
type Config struct {
	Judge    Judge
	Observer Observer         // may be nil
	Now      func() time.Time // for the time a decision took; nil: time.Now
	Options  []grpc.ServerOption
}

// Server is the Check service with health and reflection beside it.
type Server struct {
	Config
	grpc   *grpc.Server
	health *health.Server
}

// Bounds of the gRPC server.
const (
	maxStreams      = 4096             // on one connection; Envoy sends one stream a request
	maxRequestBytes = 16 << 20         // a few KiB without the body; beyond, grpc-go answers with an error before we are asked
	connectionAge   = 10 * time.Minute // one HTTP/2 connection pins one replica: let Envoy spread anew
	connectionGrace = 30 * time.Second
)

// New makes a server.
func New(c Config) *Server {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Server{Config: c, health: health.NewServer()}
	// Sidecars that started together must not all reconnect together.
	age := connectionAge + rand.N(connectionAge/5)
	s.grpc = grpc.NewServer(append([]grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.MaxConcurrentStreams(maxStreams),
		// Workers keep their grown stacks: growing one anew for every request was
		// over a quarter of the cost.
		grpc.NumStreamWorkers(uint32(64 * runtime.GOMAXPROCS(0))),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: age, MaxConnectionAgeGrace: connectionGrace,
			Time: time.Minute, Timeout: 10 * time.Second,
		}),
	}, c.Options...)...)
	s.grpc.RegisterService(&description, s)
	healthv1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	s.health.SetServingStatus(serviceName, healthv1.HealthCheckResponse_SERVING)
	return s
}

const serviceName = "envoy.service.auth.v3.Authorization"

// description is the service with messages as bytes; its Metadata names the
// proto file, which reflection serves.
var description = grpc.ServiceDesc{
	ServiceName: serviceName,
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Check", Handler: handleCheck}},
	Metadata:    authv3.Authorization_ServiceDesc.Metadata,
}

func handleCheck(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var in incoming
	if err := decode(&in); err != nil {
		return nil, err // the message never arrived: there is no one to answer
	}
	defer in.data.Free()
	s := srv.(*Server)
	return write(func(dst []byte) []byte { return s.answer(ctx, dst, in.bytes()) }), nil
}

// answer appends the CheckResponse for a serialized CheckRequest.
func (s *Server) answer(ctx context.Context, dst, message []byte) (out []byte) {
	began := s.Now()
	var req authz.Request
	var d authz.Decision // refuses
	defer func() {
		if p := recover(); p != nil { // the gate recovers its own; this is the reader or writer
			d = authz.Decision{ID: authz.NewID(), Step: "panic", Cause: fmt.Errorf("%w: %v\n%s", authz.ErrPanic, p, debug.Stack())}
			out = appendResponse(dst, &req, &d)
		}
		s.observe(&req, &d, s.Now().Sub(began))
	}()
	if err := readRequest(message, &req, s.Judge.KeyHeaders()); err != nil {
		d = authz.Decision{ID: authz.NewID(), Step: "read", Reason: deny.Internal, Cause: fmt.Errorf("read the CheckRequest: %w", err)}
	} else {
		d = s.Judge.Check(ctx, req)
	}
	return appendResponse(dst, &req, &d)
}

// observe tells of an answer that stands: a fault in the telling must not end the
// process.
func (s *Server) observe(req *authz.Request, d *authz.Decision, took time.Duration) {
	defer func() { _ = recover() }()
	if s.Observer != nil {
		s.Observer.Observe(req, d, took)
	}
}

// Serve answers on l until Stop. It may be called for several listeners.
func (s *Server) Serve(l net.Listener) error { return s.grpc.Serve(l) }

// Drain tells health checks that this process goes away, so that Envoy looks for
// another; requests are still answered.
func (s *Server) Drain() { s.health.Shutdown() }

// Stop ends the service: running checks finish unless ctx ends first.
func (s *Server) Stop(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.grpc.Stop()
		<-done
	}
}
