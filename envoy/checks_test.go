package envoy

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	statusv3 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
)

// checkService is a Check service that answers as it is told, and allows when
// it is told nothing.
type checkService struct {
	authv3.UnimplementedAuthorizationServer
	addr   string // as Front.Check takes it
	server *grpc.Server
	health *health.Server

	mu     sync.Mutex // guards what follows
	checks []*authv3.CheckRequest
	reply  func(context.Context) *authv3.CheckResponse
}

func newCheckService(t *testing.T) *checkService {
	t.Helper()
	return serveChecks(t, "tcp", "127.0.0.1:0")
}

func serveChecks(t *testing.T, network, addr string, options ...grpc.ServerOption) *checkService {
	t.Helper()
	listener, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	// As tollgate's own server: the front pings every five seconds.
	options = append(options, grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}))
	c := &checkService{server: grpc.NewServer(options...), health: health.NewServer(), addr: listener.Addr().String()}
	if network == "unix" {
		c.addr = "unix:" + c.addr
	}
	authv3.RegisterAuthorizationServer(c.server, c)
	grpc_health_v1.RegisterHealthServer(c.server, c.health)
	go c.server.Serve(listener)
	t.Cleanup(c.server.Stop)
	return c
}

func allow() *authv3.CheckResponse {
	return &authv3.CheckResponse{
		Status:       &statusv3.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}},
	}
}

func (c *checkService) Check(ctx context.Context, req *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	c.mu.Lock()
	c.checks = append(c.checks, req)
	reply := c.reply
	c.mu.Unlock()
	if reply == nil {
		return allow(), nil
	}
	return reply(ctx), nil
}

// answer has later checks answered by reply.
func (c *checkService) answer(reply func(context.Context) *authv3.CheckResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reply = reply
}

// lastCheck returns what was asked since the last call, at most one check.
func (c *checkService) lastCheck(t *testing.T) *authv3.AttributeContext_HttpRequest {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.checks = nil }()
	switch len(c.checks) {
	case 0:
		return nil
	case 1:
		return c.checks[0].GetAttributes().GetRequest().GetHttp()
	}
	t.Fatalf("got %d checks, want one", len(c.checks))
	return nil
}

// sent are the values of a header in a check, whichever way Envoy has put them.
func sent(h *authv3.AttributeContext_HttpRequest, name string) []string {
	var values []string
	if v, ok := h.GetHeaders()[name]; ok {
		values = append(values, v)
	}
	for _, header := range h.GetHeaderMap().GetHeaders() {
		if header.GetKey() == name {
			values = append(values, header.GetValue()+string(header.GetRawValue()))
		}
	}
	return values
}

// deny refuses as tollgate does.
func deny(status int, headers ...string) func(context.Context) *authv3.CheckResponse {
	denied := &authv3.DeniedHttpResponse{Status: &typev3.HttpStatus{Code: typev3.StatusCode(status)}, Body: "refused"}
	for _, h := range headers {
		denied.Headers = append(denied.Headers, header(h))
	}
	return func(context.Context) *authv3.CheckResponse {
		return &authv3.CheckResponse{
			Status:       &statusv3.Status{Code: int32(codes.PermissionDenied)},
			HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: denied},
		}
	}
}

// allowWith allows and changes the request.
func allowWith(change func(*authv3.OkHttpResponse)) func(context.Context) *authv3.CheckResponse {
	return func(context.Context) *authv3.CheckResponse {
		r := allow()
		change(r.GetOkResponse())
		return r
	}
}

func header(line string) *corev3.HeaderValueOption {
	name, value, _ := strings.Cut(line, ": ")
	return overwrite(name, value)
}
