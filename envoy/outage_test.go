package envoy

import (
	"context"
	"crypto/tls"
	"path/filepath"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// unavailable is the body of a refusal when there is no answer from tollgate.
const unavailable = `{"code":"R0","message":"Service Unavailable"}`

// Without an answer from tollgate there is a refusal of its kind, and never the
// upstream.
func TestWithoutTollgateIsR0(t *testing.T) {
	t.Parallel()
	forEachEnvoy(t, func(t *testing.T, binary string) {
		s := newStage(t, binary, Front{})
		refused := func(what string) {
			t.Helper()
			resp := s.send(t, "/a")
			want := map[string]string{"content-type": "application/json", "cache-control": "no-store", "x-tollgate-code": "R0"}
			for name, value := range want {
				if got := resp.Header.Get(name); got != value {
					t.Errorf("%s: got %s: %q, want %q", what, name, got, value)
				}
			}
			if resp.StatusCode != 503 || resp.body != unavailable {
				t.Errorf("%s: got %s %q, want 503 %s", what, resp.Status, resp.body, unavailable)
			}
			if s.lastRequest(t) != nil {
				t.Errorf("%s: the request reached the upstream", what)
			}
		}

		s.answer(allowWith(func(ok *authv3.OkHttpResponse) {
			ok.Headers = []*corev3.HeaderValueOption{overwrite("x-tollgate-client", "a\r\nx: y")}
		}))
		refused("a value that breaks out of its line")
		s.answer(deny(401, "x-tollgate-code: R1\r\nx: y"))
		refused("the same in a refusal")
		release := make(chan struct{})
		s.answer(func(context.Context) *authv3.CheckResponse { <-release; return allow() })
		refused("an answer that is late")
		close(release)

		// tollgate's own 503 passes as it is.
		s.answer(deny(503, "x-tollgate-decision: d1"))
		if resp := s.send(t, "/a"); resp.body != "refused" || resp.Header.Get("x-tollgate-decision") != "d1" {
			t.Errorf("our own 503: got %v %q", resp.Header, resp.body)
		}

		s.answer(nil)
		s.server.Stop()
		refused("nobody listens")
		resp := s.send(t, "/pkg.Service/Method", "Content-Type: application/grpc", "TE: trailers")
		if resp.StatusCode != 200 || resp.Header.Get("grpc-status") != "14" || resp.Header.Get("x-tollgate-code") != "R0" {
			t.Errorf("a gRPC caller: got %s %v, want UNAVAILABLE", resp.Status, resp.Header)
		}

		serveChecks(t, "tcp", s.checkService.addr)
		until(t, "the next tollgate is asked", func() bool { return s.send(t, "/a").StatusCode == 200 })
	})
}

// When every replica says that it is not well they are asked nevertheless, as
// one that has just come back would be.
func TestUnhealthyTollgateIsAsked(t *testing.T) {
	t.Parallel()
	forEachEnvoy(t, func(t *testing.T, binary string) {
		s := newStage(t, binary, Front{})
		healthy := func() bool { return s.healthy(t) }
		if !healthy() {
			t.Error("Envoy was ready before the first health check")
		}
		s.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
		until(t, "Envoy knows", func() bool { return !healthy() })
		if resp := s.send(t, "/a"); resp.StatusCode != 200 {
			t.Errorf("got %s, want the answer of the Check service", resp.Status)
		}
	})
}

func TestCheckOverUnixSocket(t *testing.T) {
	t.Parallel()
	forEachEnvoy(t, func(t *testing.T, binary string) {
		s := newStageWith(t, binary, Front{}, serveChecks(t, "unix", filepath.Join(t.TempDir(), "s")))
		if resp := s.send(t, "/a"); resp.StatusCode != 200 || s.lastCheck(t) == nil {
			t.Errorf("got %s", resp.Status)
		}
	})
}

// Both sides show a certificate, and Envoy asks nobody whose certificate holds
// another name.
func TestCheckOverTLS(t *testing.T) {
	t.Parallel()
	pki := newPKI(t)
	file := func(name string) string { return filepath.Join(pki.dir, name) }
	options := grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pki.server}, ClientCAs: pki.roots, ClientAuth: tls.RequireAndVerifyClientCert}))
	ours := TLS{CA: file("ca.pem"), Cert: file("envoy.pem"), Key: file("envoy-key.pem")}
	named, stranger, anonymous := ours, ours, ours
	named.Name, stranger.Name = "tollgate", "somebody-else"
	anonymous.Cert, anonymous.Key = "", ""
	forEachEnvoy(t, func(t *testing.T, binary string) {
		for _, test := range []struct {
			what string
			tls  TLS
			want int
		}{{"by address", ours, 200}, {"by name", named, 200}, {"another name", stranger, 503}, {"without a certificate", anonymous, 503}} {
			s := newStageWith(t, binary, Front{CheckTLS: &test.tls}, serveChecks(t, "tcp", "127.0.0.1:0", options))
			if resp := s.send(t, "/a"); resp.StatusCode != test.want {
				t.Errorf("%s: got %s, want %d", test.what, resp.Status, test.want)
			}
			if got := s.healthy(t); got != (test.want == 200) {
				t.Errorf("%s: got healthy %v", test.what, got)
			}
		}
	})
}
