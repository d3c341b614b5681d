package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// FuzzParse holds for every file: the reader does not panic, says one line for
// each fault, never shows what a variable stands for, and reads the same twice.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/faults/*.yaml")
	for _, path := range append(files, "testdata/full.yaml", "testdata/contract.yaml") {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "secret")
	}
	for _, text := range []string{
		"issuer: ${A}", "listen: {http: \"${A}:80\"}", "store: ${A}", "enforce: ${A}", "tokens: {access_ttl: \"${A}\"}",
		"limits: {max_memory: \"${A}\"}", "plans: {a: {per_minute: \"${A}\", warn_at: \"${A}\"}}",
		"apis: [{name: \"${A}\", hosts: [\"${A}.example.com\"], routes: [{match: \"GET /${A}\", plan: \"${A}\", price: \"${A}\"}]}]",
		"trust: [{issuer: \"https://${A}@x\", audiences: [\"${A}\", \"${A}\"], jwks_uri: \"https://${A}/\"}]",
		"apis: [{name: a, hosts: [a:b:c, *x, &y z], allow_in_path: [\"${A}\"]}]",
	} {
		f.Add([]byte(text), "https://a:b@c:d/e?f")
		f.Add([]byte(text), "1_000")
		f.Add([]byte(text), "\n")
	}
	f.Fuzz(func(t *testing.T, data []byte, value string) {
		if strings.Contains(string(data), "file:") {
			t.Skip("files of this machine")
		}
		// The marks make the value one that no reason says of itself.
		value = "zq7" + value + "7qz"
		getenv := func(name string) (string, bool) { return value, name != "NONE" }
		c, faults := Parse("tollgate.yaml", data, "/etc/tollgate", getenv)
		if (c == nil) != (len(faults) > 0) {
			t.Fatalf("a configuration and faults, or neither: %v %v", c, faults)
		}
		text := faults.Error()
		if len(faults) > 0 && strings.Count(text, "\n") != len(faults)-1 {
			t.Errorf("%d faults on other than as many lines: %q", len(faults), text)
		}
		written := strings.Contains(string(data), "zq7") || strings.Contains(string(data), "7qz")
		if !written && (strings.Contains(text, "zq7") || strings.Contains(text, "7qz")) {
			t.Errorf("a fault shows what a variable stands for: %s", text)
		}
		again, faultsAgain := Parse("tollgate.yaml", data, "/etc/tollgate", getenv)
		if !reflect.DeepEqual(c, again) || !reflect.DeepEqual(faults, faultsAgain) {
			t.Errorf("read twice: %v %v, then %v %v", c, faults, again, faultsAgain)
		}
	})
}

// FuzzNumbers holds for every variable that stands for a number: what is wrong
// with it is said without it.
func FuzzNumbers(f *testing.F) {
	for _, n := range []string{"0", "-1", "0777", "1_000", "99999999999999999999", "1e999", "256MB", "30d", "-5s", "true"} {
		f.Add(n)
	}
	const file = `
enforce: ${A}
tokens: {access_ttl: "${A}", generations_per_minute: "${A}"}
client_ip: {trusted_hops: "${A}"}
plans: {a: {burst: {rate: "${A}", size: "${A}"}, per_minute: "${A}", warn_at: "${A}"}}
limits: {max_memory: "${A}"}
`
	f.Fuzz(func(t *testing.T, value string) {
		_, faults := Parse("tollgate.yaml", []byte(file), ".", func(string) (string, bool) { return value, true })
		// Every reason is the one that any other value would get.
		_, other := Parse("tollgate.yaml", []byte(file), ".", func(string) (string, bool) { return "no", true })
		said := map[Fault]bool{}
		for _, fault := range other {
			said[fault] = true
		}
		for _, fault := range faults {
			if !said[fault] && fault.Path != "tokens.access_ttl" && fault.Path != "plans.a.burst.size" {
				t.Errorf("%q: %v differs from what is said of other values", value, fault)
			}
		}
	})
}
