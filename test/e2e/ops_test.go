package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tollgate-authz/tollgate/envoy"
	"github.com/tollgate-authz/tollgate/test/outside"
)

// TestB21_Reload: a good file takes hold and keeps what is counted, a bad one is
// refused, and no request fails meanwhile.
func TestB21_Reload(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newStack(t, envoy)
		bearer := s.token(s.client("--scope", "contacts:read"))
		slow := s.token(s.client("--scope", "contacts:read", "--plan", "slow"))
		s.fourth(slow)
		var failed atomic.Int64
		stop := make(chan struct{})
		var load sync.WaitGroup
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if a := s.get("/v1/free", bearer); a.status != http.StatusOK {
						failed.Add(1)
					}
				}
			}
		})
		reloads := func() int { return strings.Count(s.log.String(), "configuration was") }
		reload := func(config string) {
			before := reloads()
			s.writeConfig(config)
			if err := s.serve.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			s.until("the reload is done", func() bool { return reloads() > before })
		}
		for range 5 {
			reload(strings.Replace(commonConfig, "GET /v1/free", "GET /v1/gratis", 1))
			reload(commonConfig)
			reload("apis: [{name: broken")
			reload(commonConfig + "unknown_key: 1\n")
		}
		close(stop)
		load.Wait()
		if n := failed.Load(); n == 0 {
			t.Error("the renamed route was never in force") // the load must have met it
		}
		if a := s.get("/v1/free", bearer); a.status != http.StatusOK {
			t.Errorf("after bad files: %d, want the last good configuration", a.status)
		}
		if a := s.get("/v1/free", slow); a.header.Get("x-tollgate-code") != "R3" {
			t.Errorf("after reloads: %d, want what was counted to be kept", a.status)
		}
		metrics := s.fetch("http://" + s.ops + "/metrics")
		if !strings.Contains(metrics, `tollgate_config_reloads_total{result="refused"} 10`) || !strings.Contains(metrics, `tollgate_config_reloads_total{result="ok"} 10`) {
			t.Error("the metric of reloads does not say 10 and 10")
		}
	})
}

// TestSIGTERMDrains: requests under way finish, and the process ends with 0.
func TestSIGTERMDrains(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newStack(t, envoy)
		s.stopServe(syscall.SIGTERM)
		if code := s.serve.ProcessState.ExitCode(); code != 0 {
			t.Errorf("exit status %d, want 0; log:\n%s", code, s.log)
		}
		if !strings.Contains(s.log.String(), `"msg":"draining"`) || !strings.Contains(s.log.String(), `"msg":"stopped"`) {
			t.Errorf("log:\n%s", s.log)
		}
	})
}

// TestStopsAfterAReloadThatAddsAnIssuer: what a reload has started ends too.
func TestStopsAfterAReloadThatAddsAnIssuer(t *testing.T) {
	t.Parallel()
	s := newTollgate(t, commonConfig)
	s.writeConfig(commonConfig + fmt.Sprintf("trust: [{issuer: \"http://%s\", audiences: [a]}]\n", outside.FreeAddress(t)))
	if err := s.serve.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.until("the issuer is trusted", func() bool { return s.opsStatus("/readyz") == http.StatusServiceUnavailable })
	stopped := make(chan struct{})
	go func() { s.stopServe(syscall.SIGTERM); close(stopped) }()
	s.until("serve has ended", func() bool {
		select {
		case <-stopped:
			return true
		default:
			return false
		}
	})
	if code := s.serve.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d, want 0", code)
	}
}

// TestASecondServeTakesOverTheCommands: in a restart without a gap.
func TestASecondServeTakesOverTheCommands(t *testing.T) {
	t.Parallel()
	s := newTollgate(t, commonConfig)
	second := &stack{t: t, dir: s.dir, check: outside.FreeAddress(t), http: outside.FreeAddress(t), ops: outside.FreeAddress(t)}
	second.writeConfig(commonConfig)
	second.startServe()
	second.until("the second has met the first", func() bool { return strings.Contains(second.log.String(), "another serve") })
	s.stopServe(syscall.SIGTERM)
	second.until("it answers commands", func() bool {
		out, _, _ := second.tryTollgate("explain", "--url", "http://api.example.com/v1/free", "--output", "json")
		return strings.Contains(out, `"counters": "live"`)
	})
}

// TestMetricsCountDecisions: by code, route and step.
func TestMetricsCountDecisions(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newStack(t, envoy)
		bearer := s.token(s.client("--scope", "contacts:read"))
		s.get("/v1/contacts/7", bearer)
		s.get("/v1/contacts/7", "")
		metrics := s.fetch("http://" + s.ops + "/metrics")
		for _, line := range []string{
			`tollgate_decisions_total{api="contacts",code="allow",route="contacts.get"} 1`, `tollgate_decisions_total{api="contacts",code="R1",route="contacts.get"} 1`,
			`tollgate_refusals_total{step="credential"} 1`, `tollgate_refusals_total{step="limits"} 0`, `tollgate_panics_total 0`, `tollgate_clients 1`,
			`tollgate_token_requests_total{code="ok",endpoint="/oauth2/token"} 1`, `tollgate_decision_seconds_count 2`,
		} {
			if !strings.Contains(metrics, line) {
				t.Errorf("/metrics lacks %s", line)
			}
		}
	})
}

// TestExplain asks a running serve for its live counters, and judges alone
// without one.
func TestExplain(t *testing.T) {
	t.Parallel()
	s := newTollgate(t, commonConfig)
	bearer := s.token(s.client("--scope", "contacts:read", "--plan", "slow"))
	explain := func(args ...string) (e struct {
		Allowed  bool
		Code     string
		Counters string
		Source   string
		Status   int
		Steps    []struct{ Step, Result string }
		Limits   []struct{ Left any }
		Headers  map[string]string
	}) {
		t.Helper()
		out := s.tollgate(append([]string{"explain", "--output", "json", "--header", "Authorization: Bearer " + bearer, "--url"}, args...)...)
		if err := json.Unmarshal([]byte(out), &e); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return e
	}
	const url = "https://api.example.com/v1/contacts/7"
	for range 5 { // more often than the plan allows
		e := explain(url)
		if !e.Allowed || e.Counters != "live" || len(e.Steps) != 9 || e.Limits[0].Left != 3.0 || e.Headers["x-tollgate-scopes"] != "contacts:read" || !strings.Contains(e.Source, "tollgate.yaml:14:") {
			t.Errorf("explain: %+v", e)
		}
	}
	if e := explain(url, "--method", "DELETE"); e.Allowed || e.Code != "R6" || e.Status != 401 || e.Headers["x-tollgate-code"] != "R6" {
		t.Errorf("a refusal: %+v", e)
	}
	if e := explain("https://api.example.com/v1/a/../b"); e.Code != "R0" || e.Steps[0].Result == "ok" {
		t.Errorf("an ambiguous path: %+v", e)
	}
	if e := explain("https://api.example.com/v1/%zz"); e.Code != "R0" || e.Status != 400 {
		t.Errorf("a bad escape: %+v", e)
	}
	s.stopServe(syscall.SIGTERM)
	if e := explain(url); !e.Allowed || e.Counters != "unknown" || e.Limits[0].Left != "unknown" {
		t.Errorf("without serve: %+v", e)
	}
	text := s.tollgate("explain", "--url", url, "--header", "Authorization: Bearer "+bearer)
	if !strings.Contains(text, "left: unknown") || !strings.Contains(text, "allowed") {
		t.Errorf("as text:\n%s", text)
	}
}

// TestCommandLine: exit statuses and the words of errors.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	s := &stack{t: t, dir: t.TempDir(), check: "127.0.0.1:0", http: "127.0.0.1:0", ops: "127.0.0.1:0"}
	s.writeConfig(commonConfig)
	for _, tt := range []struct {
		args   string
		status int
		says   string
	}{
		{"config check", 0, ""}, {"version", 0, ""}, {"client list", 0, ""}, {"--help", 0, ""}, {"completion bash", 0, ""},
		{"", 0, ""}, {"nonsense", 2, "no command"}, {"serve extra", 2, "extra"}, {"client", 0, ""}, {"client creat", 2, "create"},
		{"client create", 2, "no scope"}, {"client create --name x --scope a --ip 10.0.0.1/8", 2, "10.0.0.0/8"}, {"client create --name x --scope a --plan none", 2, "slow"},
		{"client create --name x --scope a --format short", 2, "classic"},
		{"client create --name x --scope a --environment test", 2, "sandbox"}, {"client create --name x --scope a\\b", 2, "scope"}, {"client create --name x --scope a --token-ttl 1ms", 2, "whole seconds"},
		{"client update x", 2, "nothing to change"}, {"client update x --ip=", 2, "--anywhere"}, {"client create --name x --scope a --ip=", 2, "--ip is empty"}, {"version --output json", 0, ""}, {"config check --output json", 0, ""}, {"client update x --scope a", 1, "no store yet"}, {"client delete x", 1, "no store yet"}, {"client delete", 2, "arg"},
		{"client list --output xml", 2, "json"}, {"envoy bootstrap", 2, "pstream"}, {"explain", 2, "--url"}, {"explain --url /x", 2, "URL"}, {"serve --log-level loud", 2, "debug"},
		{"serve --unknown", 2, "unknown"}, {"demo --once=maybe", 2, "once"},
	} {
		_, complaint, status := s.tryTollgate(strings.Fields(tt.args)...)
		if status != tt.status || !strings.Contains(complaint, tt.says) {
			t.Errorf("tollgate %s: status %d, says %q; want %d and %q", tt.args, status, complaint, tt.status, tt.says)
		}
		if tt.status != 0 && !strings.HasPrefix(complaint, "tollgate: error: ") {
			t.Errorf("tollgate %s: says %q", tt.args, complaint)
		}
	}
	if err := os.WriteFile(s.configFile(), []byte("apis: [{name: a, hosts: [x], routes: [{match: GET x}]}]\nbogus: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"config", "check"}, {"serve"}} {
		_, complaint, status := s.tryTollgate(args...)
		if status != 1 || !strings.Contains(complaint, "tollgate.yaml:2:1") || !strings.Contains(complaint, "tollgate.yaml:1:") {
			t.Errorf("%v on a faulty file: status %d, says %q", args, status, complaint)
		}
	}
}

// TestDocsComposeFrontIsCurrent: the Envoy configuration of compose.yaml is what
// the command prints. UPDATE_GOLDEN=1 writes it.
func TestDocsComposeFrontIsCurrent(t *testing.T) {
	t.Parallel()
	const dir = "../../docs/compose/"
	out, err := exec.Command(binary, "envoy", "bootstrap", "--config", dir+"tollgate.yaml", "--upstream", "upstream:8000", "--check", "tollgate:9191", "--token-endpoint", "tollgate:8180").Output()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		if err := os.WriteFile(dir+"envoy.yaml", out, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(dir + "envoy.yaml")
	if err != nil || string(have) != string(out) {
		t.Errorf("docs/compose/envoy.yaml is not what the command prints (%v); make docs writes it", err)
	}
	for _, path := range envoys {
		if err := envoy.Validate(t.Context(), path, out); err != nil {
			t.Errorf("Envoy %s: %v", versionOf(path), err)
		}
	}
}

// TestStartErrorsNameTheCause: serve exits 1 and says what is wrong, and a
// mended cause lets it start.
func TestStartErrorsNameTheCause(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		damage func(s *stack) error
		says   string
	}{
		"another encryption key": {func(s *stack) error {
			return os.WriteFile(filepath.Join(s.dir, "data", "tollgate.db.encryption-key"), bytes.Repeat([]byte("A"), 43), 0o600)
		}, "keys.encryption_key"},
		"encryption key gone": {func(s *stack) error { return os.Remove(filepath.Join(s.dir, "data", "tollgate.db.encryption-key")) }, "missing beside the store"},
		"pepper gone":         {func(s *stack) error { return os.Remove(filepath.Join(s.dir, "data", "tollgate.db.pepper")) }, "missing beside the store"},
		"store damaged": {func(s *stack) error {
			return os.WriteFile(filepath.Join(s.dir, "data", "tollgate.db"), bytes.Repeat([]byte("garbage "), 1000), 0o600)
		}, "database"},
		"port taken": {func(s *stack) error {
			l, err := net.Listen("tcp", s.ops)
			if err == nil {
				s.t.Cleanup(func() { _ = l.Close() })
			}
			return err
		}, "listen.ops"},
	} {
		s := newTollgate(t, commonConfig)
		s.stopServe(syscall.SIGTERM)
		if err := tt.damage(s); err != nil {
			t.Fatal(err)
		}
		_, complaint, status := s.tryTollgate("serve")
		if status != 1 || !strings.Contains(complaint, "tollgate: error: ") || !strings.Contains(complaint, tt.says) {
			t.Errorf("%s: status %d, says %q; want 1 and %q", name, status, complaint, tt.says)
		}
	}
}
