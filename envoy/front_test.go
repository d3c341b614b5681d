package envoy

import (
	"fmt"
	"strings"
	"testing"
)

// complete is a Front without mistakes.
func complete() Front {
	return Front{Listen: "0.0.0.0:8080", Upstream: "127.0.0.1:3000", Check: "127.0.0.1:9191"}
}

func TestFrontValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*Front)
		want   []string // parts of the message, a line each; none: valid
	}{
		{"complete", func(f *Front) {}, nil},
		{"nothing at all", func(f *Front) { *f = Front{} }, []string{"check: missing", "listen: missing", "upstream: missing"}},
		{"names and IPv6", func(f *Front) { f.Listen, f.Upstream, f.Check = "[::]:0", "my_app:3000", "[::1]:9191" }, nil},
		{"listen on a name", func(f *Front) { f.Listen = "localhost:8080" }, []string{`listen "localhost:8080": want an IP address and a port`}},
		{"listen without address", func(f *Front) { f.Listen = ":8080" }, []string{"like 0.0.0.0:8080"}},
		{"listen with zone", func(f *Front) { f.Listen = "[fe80::1%eth0]:80" }, []string{"want an IP address"}},
		{"admin for everybody", func(f *Front) { f.Admin = "0.0.0.0:9901" }, []string{"use a loopback address like 127.0.0.1:9901"}},
		{"admin of IPv6", func(f *Front) { f.Admin = "[::1]:0" }, nil},
		{"admin where listen is", func(f *Front) { f.Listen = "127.0.0.1:9901" }, []string{"is the address that listen has: use another port"}},
		{"both on any port", func(f *Front) { f.Listen, f.Admin = "127.0.0.1:0", "127.0.0.1:0" }, nil},
		{"upstream is the front", func(f *Front) { f.Listen, f.Upstream = "127.0.0.1:8080", "127.0.0.1:8080" }, []string{"Envoy would call itself"}},
		{"upstream without port", func(f *Front) { f.Upstream = "app" }, []string{`upstream "app": want host:port`}},
		{"upstream with port 0", func(f *Front) { f.Upstream = "app:0" }, []string{"from 1 to 65535"}},
		{"upstream with named port", func(f *Front) { f.Upstream = "app:http" }, []string{"from 1 to 65535"}},
		{"upstream is a URL", func(f *Front) { f.Upstream = "http://app:3000" }, []string{"want host:port"}},
		{"upstream not dialable", func(f *Front) { f.Upstream = "0.0.0.0:3000" }, []string{"cannot connect to this address"}},
		{"upstream misspelt", func(f *Front) { f.Upstream = "127.0.0.256:3000" }, []string{"neither an IP address nor a DNS name"}},
		{"upstream with a blank", func(f *Front) { f.Upstream = "my app:3000" }, []string{"neither an IP address nor a DNS name"}},
		{"socket", func(f *Front) { f.Check = "unix:/run/tollgate.sock" }, nil},
		{"socket, relative", func(f *Front) { f.Check = "unix:run/tollgate.sock" }, []string{"want an absolute path"}},
		{"socket, dots", func(f *Front) { f.Check = "unix:/run/../tmp/x" }, []string{"want an absolute path without . or .."}},
		{"socket, too long", func(f *Front) { f.Check = "unix:/" + strings.Repeat("x", 103) }, []string{"104 bytes long"}},
		{"TLS", func(f *Front) { f.CheckTLS = &TLS{CA: "/ca.pem", Cert: "/c.pem", Key: "/k.pem"} }, nil},
		{"TLS without CA", func(f *Front) { f.CheckTLS = &TLS{} }, []string{"check TLS: a CA file is needed"}},
		{"TLS, half a pair", func(f *Front) { f.CheckTLS = &TLS{CA: "/ca.pem", Key: "/k.pem"} }, []string{"certificate and key go together"}},
		{"TLS, nameless socket", func(f *Front) { f.Check, f.CheckTLS = "unix:/s", &TLS{CA: "/ca.pem"} }, []string{"say which name the certificate holds"}},
		{"TLS of no endpoint", func(f *Front) { f.TokenEndpointTLS = &TLS{CA: "/ca.pem"} }, []string{"there is no token endpoint"}},
		{"token endpoint", func(f *Front) { f.TokenEndpoint = "tollgate:8180" }, nil},
		{"token endpoint, bad", func(f *Front) { f.TokenEndpoint = "tollgate" }, []string{`token endpoint "tollgate": want host:port`}},
		{"API keys", func(f *Front) { f.APIKeyHeaders = []string{"X-API-Key", "x-api-key", "apikey"} }, nil},
		{"API keys, several", func(f *Front) { f.APIKeyHeaders = []string{"x-api-key", "x-billing-key", "x-legacy-key", "apikey"} }, nil},
		{"API keys, too many", func(f *Front) {
			for i := range 20 {
				f.APIKeyHeaders = append(f.APIKeyHeaders, fmt.Sprintf("x-%d-api-key", i))
			}
		}, []string{"too many for one Envoy"}},
		{"API keys, bad", func(f *Front) {
			f.APIKeyHeaders = []string{"x_api_key", "Authorization", "x-tollgate-key", "x-envoy-key", "a b", ":path", ""}
		}, []string{`"x_api_key": Envoy refuses headers with underscores`, `"Authorization": has a meaning of its own`, `"x-tollgate-key": callers cannot send`,
			`"x-envoy-key": callers cannot send`, `"a b": is not a header name`, `":path": is not a header name`, `"": is not a header name`}},
		{"CORS", func(f *Front) {
			f.CORS = []CORS{
				{Hosts: []string{"API.example.com", "*.example.com"}, AllowOrigins: []string{"https://app.example.com", "http://localhost:5173"}},
				{Hosts: []string{"*", "192.0.2.1", "[2001:db8::1]"}, AllowOrigins: []string{"*"}, AllowHeaders: []string{"Idempotency-Key"}},
				{Hosts: []string{"internal.example.com"}},
			}
		}, nil},
		{"CORS, bad hosts", func(f *Front) {
			f.CORS = []CORS{{Hosts: []string{"a.example", "api.example.com:443", "a.*.example", "x.example."}}, {Hosts: []string{"A.example"}}, {}}
		}, []string{`host "api.example.com:443": want a name without port`, `host "a.*.example": want`, `host "x.example.": want`, `host "A.example": stands twice`, "for which hosts?"}},
		{"CORS, bad origins", func(f *Front) {
			f.CORS = []CORS{{Hosts: []string{"*"}, AllowHeaders: []string{"a_b"},
				AllowOrigins: []string{"app.example.com", "https://app.example.com/", "https://*.example.com", "https://App.example.com", "https://a.example:443", "http://a.example:80", "null", ""}}}
		}, []string{`origin "app.example.com": want scheme and host`, `origin "https://app.example.com/": an origin has no path, no user and no capital letters: https://app.example.com`,
			`origin "https://*.example.com": patterns are not supported`, "https://app.example.com", "leave the default port out: https://a.example",
			"leave the default port out: http://a.example", `origin "null": want`, `origin "": want`, `header "a_b"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := complete()
			test.change(&f)
			err := f.Validate()
			if err == nil {
				if len(test.want) > 0 {
					t.Fatalf("got no error, want %q", test.want)
				}
				return
			}
			if lines := strings.Count(err.Error(), "\n") + 1; lines != len(test.want) {
				t.Errorf("got %d faults, want %d:\n%v", lines, len(test.want), err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got\n%v\nwant in it %q", err, want)
				}
			}
		})
	}
}

// A front that is wrong makes no configuration, and one for the filter alone
// needs no more than the filter does.
func TestWrongFrontMakesNothing(t *testing.T) {
	t.Parallel()
	if _, err := Bootstrap(Front{Check: "127.0.0.1:9191"}); err == nil {
		t.Error("Bootstrap: got no error")
	}
	if _, err := YAML(Front{Check: "127.0.0.1:9191"}); err == nil {
		t.Error("YAML: got no error")
	}
	if _, _, err := Filter(Front{Check: "127.0.0.1:9191"}); err != nil {
		t.Errorf("Filter: %v", err)
	}
	if _, err := FilterYAML(Front{Upstream: "127.0.0.1:3000"}); err == nil {
		t.Error("FilterYAML: got no error")
	}
}
