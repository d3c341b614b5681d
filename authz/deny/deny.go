// Package deny is the table of refusals: the only words that a refused caller
// may read. It owns R-codes, statuses, messages and bodies (contract section 3).
// Who is refused, and why, is decided in package authz.
package deny

import "fmt"

// Reason is one row of the table. The rows below are all there are.
type Reason struct {
	Code    string // R0 … R7
	Status  int    // HTTP status
	GRPC    uint32 // grpc-status for gRPC callers
	Message string
	Body    string // the whole answer, JSON
}

// The rows. R2 belongs to the token endpoint, see package tokens/endpoint.
var (
	BadRequest   = reason("R0", 400, 3, "Bad Request")
	InvalidToken = reason("R1", 401, 16, "Invalid Token")
	Expired      = reason("R5", 401, 16, "Invalid Token")
	Restricted   = reason("R4", 403, 7, "IP Restricted")
	Unauthorized = reason("R6", 401, 7, "Unauthorized Request")
	BurstLimited = reason("R7", 429, 8, "Rate Limited")
	RateLimited  = reason("R3", 429, 8, "Rate Limited")

	// Internal is our own fault: tollgate cannot decide, so it refuses.
	Internal = reason("R0", 503, 14, "Service Unavailable")
)

// Reasons lists every row, in the order of the steps that use them.
var Reasons = []*Reason{BadRequest, InvalidToken, Expired, Restricted, Unauthorized, BurstLimited, RateLimited, Internal}

func reason(code string, status int, grpc uint32, message string) *Reason {
	return &Reason{
		Code: code, Status: status, GRPC: grpc, Message: message,
		Body: fmt.Sprintf(`{"code":%q,"message":%q}`, code, message),
	}
}

// Error makes a Reason an error, so that a step of the gate can return it.
func (r *Reason) Error() string { return fmt.Sprintf("%s %s", r.Code, r.Message) }

// Because adds what the operator may know: it is shown by `explain` and logged,
// and never sent to the caller.
func (r *Reason) Because(format string, args ...any) error {
	return &Refusal{Reason: r, Cause: fmt.Errorf(format, args...)}
}

// Refusal is a Reason with its cause.
type Refusal struct {
	Reason *Reason
	Cause  error
}

func (r *Refusal) Error() string { return r.Reason.Code + ": " + r.Cause.Error() }

// Unwrap gives errors.As the reason and the cause.
func (r *Refusal) Unwrap() []error { return []error{r.Reason, r.Cause} }
