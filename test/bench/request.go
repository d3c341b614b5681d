package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// What every call asks for; the configuration of the tollgate under test has a
// route for it.
const (
	callHost  = "api.example.com"
	callPath  = "/v1/contacts/018f3c1e-7b1d-7a52-9d3c?fields=name,email"
	callScope = "contacts:read"
)

// usualHeaders bring a recorded request of curl to what a browser application's
// look like, and the message to 1.8 KB.
var usualHeaders = map[string]string{
	"user-agent":         "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
	"accept":             "application/json, text/plain, */*",
	"accept-encoding":    "gzip, deflate, br, zstd",
	"accept-language":    "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7",
	"cache-control":      "no-cache",
	"cookie":             "session=1f0c9a4e-5b7d-4c3a-9e21-6f2b8d0a7c54; theme=dark; consent=2026-01-15T09%3A30%3A00Z; _ga=GA1.2.1203948576.1735689600; locale=de-DE; experiment=checkout-b%2Csearch-a",
	"origin":             "https://app.example.com",
	"referer":            "https://app.example.com/contacts/018f3c1e-7b1d-7a52-9d3c",
	"sec-fetch-dest":     "empty",
	"sec-fetch-mode":     "cors",
	"sec-fetch-site":     "same-site",
	"traceparent":        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	"x-forwarded-for":    "198.51.100.23",
	"sec-ch-ua":          `"Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"`,
	"sec-ch-ua-platform": `"Linux"`,
}

// recordedRequest returns the first CheckRequest of those that were recorded
// from Envoy, with the usual headers and without a token.
func recordedRequest(root string) (*authv3.CheckRequest, error) {
	file := filepath.Join(root, "authz", "extauthz", "testdata", "checkrequests.jsonl")
	all, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the recorded requests: %w", err)
	}
	line, _, _ := bytes.Cut(all, []byte("\n"))
	var record struct{ Check json.RawMessage }
	if err := json.Unmarshal(line, &record); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	check := &authv3.CheckRequest{}
	if err := protojson.Unmarshal(record.Check, check); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	http := check.GetAttributes().GetRequest().GetHttp()
	if http.GetHeaders() == nil {
		return nil, fmt.Errorf("%s: the first record has no headers", file)
	}
	http.Method, http.Path, http.Host = "GET", callPath, callHost
	http.Headers[":method"], http.Headers[":path"], http.Headers[":authority"] = "GET", callPath, callHost
	for name, value := range usualHeaders {
		http.Headers[name] = value
	}
	return check, nil
}

// calls makes the messages of calls that differ in nothing but the token.
type calls struct {
	framed []byte // with the first token in its place
	at     int    // where the token stands
	tokens []string
}

// newCalls makes calls with those tokens in turn. All must have one length, as
// tokens of one issuer have: only then does a token fit into another's place.
func newCalls(check *authv3.CheckRequest, tokens []string) (*calls, error) {
	if len(tokens) == 0 {
		return nil, errors.New("no token to call with")
	}
	for _, t := range tokens {
		if len(t) != len(tokens[0]) {
			return nil, fmt.Errorf("tokens of %d and %d bytes in one load", len(tokens[0]), len(t))
		}
	}
	check = proto.CloneOf(check)
	check.GetAttributes().GetRequest().GetHttp().Headers["authorization"] = "Bearer " + tokens[0]
	message, err := proto.MarshalOptions{Deterministic: true}.Marshal(check)
	if err != nil {
		return nil, fmt.Errorf("write the CheckRequest: %w", err)
	}
	c := &calls{framed: frameMessage(message), tokens: tokens}
	c.at = bytes.Index(c.framed, []byte(tokens[0]))
	return c, nil
}

// size is that of the CheckRequest.
func (c *calls) size() int { return len(c.framed) - prefixBytes }

// message is the call's gRPC message; it is good until the next.
func (c *calls) message(call int) []byte {
	if len(c.tokens) > 1 {
		copy(c.framed[c.at:], c.token(call))
	}
	return c.framed
}

func (c *calls) token(call int) string { return c.tokens[call%len(c.tokens)] }
