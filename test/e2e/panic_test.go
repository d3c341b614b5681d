package e2e

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/authz/extauthz"
	"github.com/tollgate-authz/tollgate/envoy"
)

// panicking is a gate with a fault in every step.
type panicking struct{}

func (panicking) KeyHeaders() []string { return nil }

func (panicking) Check(context.Context, authz.Request) authz.Decision { panic("a fault") }

// TestB4_APanicIsADenyBehindFailureModeAllow: where Envoy would let an RPC error
// pass, a panic is still a refusal.
func TestB4_APanicIsADenyBehindFailureModeAllow(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, binary string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := extauthz.New(extauthz.Config{Judge: panicking{}})
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			server.Stop(ctx)
		})
		s := &stack{t: t, upstream: newUpstream(t)}
		front, err := envoy.YAML(envoy.Front{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Upstream: s.upstream.Listener.Addr().String(), Check: l.Addr().String()})
		if err != nil {
			t.Fatal(err)
		}
		lenient := strings.Replace(string(front), "status_on_error:", "failure_mode_allow: true\n              status_on_error:", 1)
		if lenient == string(front) {
			t.Fatal("the front could not be made lenient")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		process, err := envoy.Start(ctx, envoy.StartConfig{Binary: binary, Config: []byte(lenient), Concurrency: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(process.Stop)
		if s.front, err = process.ListenerAddr(ctx); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			a := s.request(http.MethodGet, "api.example.com", "/v1/free", "")
			if a.status != 503 || a.body != `{"code":"R0","message":"Service Unavailable"}` || a.header.Get("x-tollgate-decision") == "" {
				t.Errorf("got %d %q %v, want tollgate's own 503 R0", a.status, a.body, a.header)
			}
		}
		if s.upstream.last() != nil {
			t.Error("a request reached the upstream")
		}
	})
}
