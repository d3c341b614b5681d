package deny

import (
	"encoding/json"
	"errors"
	"testing"

	"google.golang.org/grpc/codes"
)

// TestC5_TheTableIsTheContract holds every row against contract section 3.
func TestC5_TheTableIsTheContract(t *testing.T) {
	t.Parallel()
	want := []struct {
		reason  *Reason
		code    string
		status  int
		grpc    codes.Code
		message string
	}{
		{BadRequest, "R0", 400, codes.InvalidArgument, "Bad Request"},
		{InvalidToken, "R1", 401, codes.Unauthenticated, "Invalid Token"},
		{Expired, "R5", 401, codes.Unauthenticated, "Invalid Token"},
		{Restricted, "R4", 403, codes.PermissionDenied, "IP Restricted"},
		{Unauthorized, "R6", 401, codes.PermissionDenied, "Unauthorized Request"},
		{BurstLimited, "R7", 429, codes.ResourceExhausted, "Rate Limited"},
		{RateLimited, "R3", 429, codes.ResourceExhausted, "Rate Limited"},
		{Internal, "R0", 503, codes.Unavailable, "Service Unavailable"},
	}
	if len(want) != len(Reasons) {
		t.Fatalf("%d reasons, want %d", len(Reasons), len(want))
	}
	for i, w := range want {
		r := Reasons[i]
		if r != w.reason || r.Code != w.code || r.Status != w.status || codes.Code(r.GRPC) != w.grpc || r.Message != w.message {
			t.Errorf("row %d: got %+v, want %+v", i, *r, w)
		}
		var body map[string]string
		if err := json.Unmarshal([]byte(r.Body), &body); err != nil || len(body) != 2 || body["code"] != w.code || body["message"] != w.message {
			t.Errorf("row %d: body %s", i, r.Body)
		}
	}
}

func TestBecauseKeepsReasonAndCause(t *testing.T) {
	t.Parallel()
	err := Restricted.Because("address %s", "203.0.113.7")
	var reason *Reason
	if !errors.As(err, &reason) || reason != Restricted {
		t.Errorf("errors.As found %v, want %v", reason, Restricted)
	}
	if got, want := err.Error(), "R4: address 203.0.113.7"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
