package envoy

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

func TestAccessLog(t *testing.T) {
	t.Parallel()
	const secret = "eyJhbGciOiJFUzI1NiJ9.c2VjcmV0.c2lnbmF0dXJl"
	forEachEnvoy(t, func(t *testing.T, binary string) {
		s := newStage(t, binary, Front{APIKeyHeaders: []string{"x-api-key"}})
		s.answer(func(ctx context.Context) *authv3.CheckResponse {
			r := deny(401)(ctx)
			r.DynamicMetadata = &structpb.Struct{Fields: map[string]*structpb.Value{
				"code": structpb.NewStringValue("R5"), "decision_id": structpb.NewStringValue("d-17"), "client": structpb.NewStringValue("c-1"),
			}}
			return r
		})
		s.send(t, "/a/b?access_token="+secret, "Authorization: Bearer "+secret, "X-Api-Key: "+secret, "Cookie: t="+secret, "Referer: http://x/?t="+secret)
		s.answer(nil)
		s.send(t, "/ok?access_token="+secret)
		s.proc.Stop()
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log has a token:\n%s", s.log)
		}
		var lines []map[string]any
		for line := range strings.Lines(s.log.String()) {
			var fields map[string]any
			if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &fields) == nil {
				lines = append(lines, fields)
			}
		}
		if len(lines) != 2 {
			t.Fatalf("got %d lines of JSON, want 2:\n%s", len(lines), s.log)
		}
		for name, want := range map[string]any{"code": "R5", "decision_id": "d-17", "client": "c-1", "path": "/a/b", "status": 401.0, "method": "GET", "host": "api.example.com", "client_ip": "127.0.0.1"} {
			if got := lines[0][name]; got != want {
				t.Errorf("got %s: %v, want %v", name, got, want)
			}
		}
		if lines[1]["code"] != nil || lines[1]["status"] != 200.0 {
			t.Errorf("an allowed request: got %v", lines[1])
		}
	})
}
