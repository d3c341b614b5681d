package envoy

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"
)

var update = flag.Bool("update", false, "write the files in testdata anew")

// certificates is where the golden files have their certificates.
const certificates = "/etc/tollgate/"

var fronts = map[string]Front{
	"plain": complete(),
	"token-endpoint": {
		Listen: "0.0.0.0:8080", Upstream: "127.0.0.1:3000", Check: "127.0.0.1:9191",
		TokenEndpoint: "127.0.0.1:8180",
	},
	"unix-socket": {
		Node: "edge-1", Listen: "[::]:8080", Admin: "[::1]:9901", Upstream: "app:3000", UpstreamHTTP2: true,
		Check: "unix:/run/tollgate.sock",
	},
	"cors": {
		Listen: "0.0.0.0:8080", Upstream: "127.0.0.1:3000", Check: "127.0.0.1:9191",
		TokenEndpoint: "127.0.0.1:8180",
		CORS: []CORS{
			{Hosts: []string{"*.example.com", "example.com"}, AllowOrigins: []string{"https://app.example.com", "https://other.example"}, AllowHeaders: []string{"idempotency-key"}},
			{Hosts: []string{"internal.example.com"}},
		},
	},
	"api-keys": {
		Listen: "0.0.0.0:8080", Upstream: "127.0.0.1:3000", Check: "127.0.0.1:9191",
		APIKeyHeaders: []string{"X-API-Key", "apikey"},
		CORS:          []CORS{{Hosts: []string{"*"}, AllowOrigins: []string{"*"}}},
	},
	"hops": {
		Listen: "0.0.0.0:8080", Upstream: "127.0.0.1:3000", Check: "127.0.0.1:9191",
		TokenEndpoint: "127.0.0.1:8180", TrustedHops: 2, KeepEscapedSlashes: true,
	},
	"tls": {
		Listen: "0.0.0.0:8080", Upstream: "127.0.0.1:3000", Check: "tollgate:9191",
		CheckTLS:      &TLS{CA: certificates + "ca.pem", Cert: certificates + "envoy.pem", Key: certificates + "envoy-key.pem"},
		TokenEndpoint: "127.0.0.1:8180", TokenEndpointTLS: &TLS{CA: certificates + "ca.pem"},
	},
}

func TestGoldenFronts(t *testing.T) {
	t.Parallel()
	for name, front := range fronts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := YAML(front)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".yaml", got)
			// A second time everything stands in the same order.
			again, err := YAML(front)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(got), string(again)); diff != "" {
				t.Errorf("the second run differs:\n%s", diff)
			}
		})
	}
}

func TestGoldenFilter(t *testing.T) {
	t.Parallel()
	got, err := FilterYAML(filterFront)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "filter.yaml", got)
}

var filterFront = Front{Check: "127.0.0.1:9191", APIKeyHeaders: []string{"x-api-key"}, TrustedHops: 1}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update || os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (go test ./envoy -update writes it anew), -want +got:\n%s", file, diff)
	}
}

// What is in the file is what Bootstrap says, to a parser that is not ours.
func TestYAMLSaysWhatBootstrapSays(t *testing.T) {
	t.Parallel()
	for name, front := range fronts {
		want, err := Bootstrap(front)
		if err != nil {
			t.Fatal(err)
		}
		text, err := YAML(front)
		if err != nil {
			t.Fatal(err)
		}
		json, err := yaml.YAMLToJSON(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got bootstrapv3.Bootstrap
		if err := protojson.Unmarshal(json, &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, &got, protocmp.Transform()); diff != "" {
			t.Errorf("%s: -bootstrap +file:\n%s", name, diff)
		}
	}
}

func TestToYAMLNests(t *testing.T) {
	t.Parallel()
	value, err := structpb.NewValue(map[string]any{
		"a": []any{[]any{"x", []any{}}, map[string]any{}, map[string]any{"k": []any{1, nil}, "l": true}},
		"b": map[string]any{"c": []any{}, "d": map[string]any{"e": "yes"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := toYAML(value)
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := yaml.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	want := map[string]any{
		"a": []any{[]any{"x", []any{}}, map[string]any{}, map[string]any{"k": []any{uint64(1), nil}, "l": true}},
		"b": map[string]any{"c": []any{}, "d": map[string]any{"e": "yes"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s\nin\n%s", diff, text)
	}
}

// A string of the configuration is that string to Envoy, and never a number, a
// boolean or a piece of YAML.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "plain", "on", "No", "1e3", "0x10", ".inf", "nan", "10s", "0.200s", "127.0.0.1", "::1", "a: b", "a #b", "#", "- a", "*", "&a", "!a", "@type",
		`{"code":"R0"}`, `\.`, `it's "x"\`, "a\nb", "\x00\x7f\u0085\u2028é😀", "x-tollgate-", "y", "~", "<<", "=", "null", "2020-01-01", "12:30:45", "a:", "/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "")
		var got map[string]any
		if err := yaml.Unmarshal([]byte("k: "+quote(s)+"\n"), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if got["k"] != s {
			t.Errorf("got %T %q, want string %q", got["k"], got["k"], s)
		}
	})
}

func TestEnvoyAcceptsFronts(t *testing.T) {
	t.Parallel()
	// Envoy reads the certificates when it checks a configuration.
	pki := newPKI(t)
	for name := range fronts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEachEnvoy(t, func(t *testing.T, binary string) {
				config, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
				if err != nil {
					t.Fatal(err)
				}
				validate(t, binary, strings.ReplaceAll(string(config), certificates, pki.dir+"/"))
			})
		})
	}
}

// Envoy takes as many API key headers as we let through, however they are spelled.
func TestEnvoyAcceptsManyKeyHeaders(t *testing.T) {
	t.Parallel()
	for name, spell := range map[string]func(int) string{
		"long":  func(i int) string { return fmt.Sprintf("x-%d-api-key", i) },
		"short": func(i int) string { return string(rune('a' + i)) },
		"alike": func(i int) string { return "x-api-key" + strings.Repeat("-x", i) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := Front{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Upstream: "127.0.0.1:1", Check: "127.0.0.1:1"}
			text := ""
			for i := range 26 {
				f.APIKeyHeaders = append(f.APIKeyHeaders, spell(i))
				next, err := YAML(f)
				if err != nil {
					break
				}
				text = string(next)
			}
			forEachEnvoy(t, func(t *testing.T, binary string) { validate(t, binary, text) })
		})
	}
}

// What stands in the comments above the filter is a configuration too: with it
// pasted where it belongs, Envoy accepts the whole.
func TestEnvoyAcceptsFilter(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("testdata", "filter.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, settings, _ := strings.Cut(string(text), "reach:\n#\n")
	settings, body, found := strings.Cut(settings, "\n\n")
	if !found {
		t.Fatal("there are no comments")
	}
	settings = strings.ReplaceAll("\n"+settings, "\n#   ", "\n            ")
	filters, clusters, _ := strings.Cut(body, "clusters:\n")
	config := `
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
            stat_prefix: theirs
            route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}]}` +
		settings + "\n            " + strings.ReplaceAll(strings.TrimSpace(filters), "\n", "\n            ") + `
            - name: envoy.filters.http.router
              typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  ` + strings.ReplaceAll(strings.TrimSpace(clusters), "\n", "\n  ") + "\n"
	forEachEnvoy(t, func(t *testing.T, binary string) {
		validate(t, binary, config)
	})
}

func TestValidateTellsWhatEnvoySays(t *testing.T) {
	t.Parallel()
	forEachEnvoy(t, func(t *testing.T, binary string) {
		err := Validate(t.Context(), binary, []byte("no_such_field: 1\n"))
		if err == nil || !strings.Contains(err.Error(), "no_such_field") {
			t.Errorf("got %v, want an error that names no_such_field", err)
		}
	})
}

func validate(t *testing.T, binary, config string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := Validate(ctx, binary, []byte(config)); err != nil {
		t.Errorf("%v\nin\n%s", err, config)
	}
}
