package route

import (
	"strings"
	"testing"
)

func TestCanonicalHost(t *testing.T) {
	t.Parallel()
	tests := []struct{ host, want string }{
		{"api.example.com", "api.example.com"},
		{"API.Example.com.", "api.example.com"},
		{"localhost", "localhost"},
		{"my_service", "my_service"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"192.0.2.1", "192.0.2.1"},
		{"[::1]", "[::1]"},
		{"[2001:DB8::1]", "[2001:db8::1]"},
		{"*.example.com", "*.example.com"},
		{"*.Example.COM.", "*.example.com"},
		{"*", "*"},
		{strings.Repeat("a", maxHost), strings.Repeat("a", maxHost)},
	}
	for _, tt := range tests {
		if got, err := CanonicalHost(tt.host); got != tt.want || err != nil {
			t.Errorf("CanonicalHost(%q) = %q, %v, want %q", tt.host, got, err, tt.want)
		}
	}
}

func TestValidHostSaysWhatWouldBeRight(t *testing.T) {
	t.Parallel()
	tests := []struct{ host, want string }{
		{"", "the host is empty; write a name like api.example.com"},
		{"api.example.com:8443", `write "api.example.com"`},
		{"api.example.com:", `write "api.example.com"`},
		{"api.example.com:http", `write "api.example.com"`},
		{"*.example.com:80", `write "*.example.com"`},
		{"*:80", `write "*"`},
		{"[::1]:8080", `write "[::1]"`},
		{"::1", `write "[::1]"`},
		{"[::1", `write "[::1]"`},
		{"*.[::1]", `write "[::1]"`},
		{"[fe80::1%eth0]", `write "[fe80::1]"`},
		{"[example.com]", "brackets hold an IPv6 address"},
		{"[192.0.2.1]", "brackets hold an IPv6 address"},
		{"[zz::1]", "brackets hold an IPv6 address"},
		{"https://api.example.com", `write "api.example.com"`},
		{"api.example.com/v1", `write "api.example.com"`},
		{"*api.example.com", "write *.example.com"},
		{"api.*", "write *.example.com"},
		{"*.*.example.com", "write *.example.com"},
		{"bücher.example", "xn--"},
		{"*.", "is not a host"},
		{".", "is not a host"},
		{".example.com", "is not a host"},
		{"*..example.com", "is not a host"},
		{"a..b", "is not a host"},
		{"a.b..", "is not a host"},
		{"a b", "is not a host"},
		{"me@example.com", "is not a host"},
		{"a%2eb", "is not a host"},
		{strings.Repeat("a", maxHost+1), "is not a host"},
	}
	for _, tt := range tests {
		err := ValidHost(tt.host)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ValidHost(%q) = %v, want it to say %q", tt.host, err, tt.want)
		}
	}
}

func TestMatchHost(t *testing.T) {
	t.Parallel()
	table := mustNew(t, []string{
		"api.example.com", "*.example.com", "*.eu.example.com", "[::1]", "192.0.2.1", "*.a_b.internal",
	}, nil)
	withEvery := mustNew(t, append(table.Hosts(), "*"), nil)
	const none, every = "", "*"
	tests := []struct{ host, want string }{
		{"api.example.com", "api.example.com"},
		{"API.EXAMPLE.COM", "api.example.com"},
		{"api.example.com.", "api.example.com"},
		{"api.example.com:8443", "api.example.com"},
		{"api.example.com.:8443", "api.example.com"},
		{"api.example.com:", "api.example.com"},
		{"x.example.com", "*.example.com"},
		{"x.y.example.com", "*.example.com"},
		{"x.api.example.com:80", "*.example.com"},
		{"X.EU.example.com.", "*.eu.example.com"},
		{"a.x.eu.example.com", "*.eu.example.com"},
		{"eu.example.com", "*.example.com"},
		{"-x.a_b.internal", "*.a_b.internal"},
		{"[::1]", "[::1]"},
		{"[::1]:8080", "[::1]"},
		{"192.0.2.1:80", "192.0.2.1"},
		{"example.com", every}, // the apex is not part of *.example.com
		{"notexample.com", every},
		{"api.example.com.evil.test", every},
		{"[::2]:80", every},
		{"[2001:DB8::a.example.com]", none},
		{"", every},
		{":80", every},

		// Spellings that no client has a reason for: not even "*" takes them.
		{"api.example.com:80:90", none},
		{"api.example.com:x", none},
		{"api.example.com:80x", none},
		{"api.example.com..", none},
		{".example.com", none},
		{"a..example.com", none},
		{".", none},
		{"a@api.example.com", none},
		{"api%2eexample.com", none},
		{"api.example.com\x00", none},
		{" api.example.com", none},
		{"api.example.com/", none},
		{"api.example.com,x", none},
		{"*.example.com", none},
		{"*", none},
		{"bücher.example", none},
		{"::1", none},
		{"[::1", none},
		{"[::1]x", none},
		{"[::1]80", none},
		{"[]", none},
		{"[::1%25eth0]", none},
		{strings.Repeat("a.", 127) + "com", none},
	}
	for _, tt := range tests {
		want := tt.want
		if got := hostOf(withEvery, tt.host); got != want {
			t.Errorf("host %q: got %q, want %q", tt.host, got, want)
		}
		if want == every {
			want = none
		}
		if got := hostOf(table, tt.host); got != want {
			t.Errorf("host %q without *: got %q, want %q", tt.host, got, want)
		}
	}
}

// hostOf returns the host that a request matches, or "".
func hostOf(table *Table, host string) string {
	m := table.Match("GET", host, "/")
	if m.Host < 0 {
		return ""
	}
	return table.Hosts()[m.Host]
}
