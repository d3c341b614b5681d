package endpoint

import (
	"fmt"
	"net/http"
	"time"
)

// reason is one row of the table of refusals (contract section 4, row I7).
type reason struct {
	code    string
	message string
	oauth   string // error of RFC 6749 section 5.2
	detail  string // error_description, where it can say more than the message
	status  int    // at /oauth2/token
	plain   int    // at /auth/token, where it differs
}

// The rows. R5 to R7 belong to the Check service, see package authz/deny.
var (
	malformed        = &reason{code: "R0", oauth: "invalid_request", status: http.StatusBadRequest} // always says what is malformed
	tooLarge         = &reason{code: "R0", oauth: "invalid_request", status: http.StatusRequestEntityTooLarge, message: "the body is larger than 64 KiB"}
	methodNotAllowed = &reason{code: "R0", oauth: "invalid_request", status: http.StatusMethodNotAllowed, message: "Method Not Allowed"}
	notFound         = &reason{code: "R0", oauth: "invalid_request", status: http.StatusNotFound, message: "Not Found"}
	unsupportedGrant = &reason{code: "R0", oauth: "unsupported_grant_type", status: http.StatusBadRequest, message: "grant_type must be client_credentials or refresh_token"}
	invalidTarget    = &reason{code: "R0", oauth: "invalid_target", status: http.StatusBadRequest, message: "resource must be the audience of an API"}
	anotherTarget    = &reason{code: "R0", oauth: "invalid_target", status: http.StatusBadRequest, message: "resource must be the one that the refresh token was given for"}
	unauthorized     = &reason{code: "R0", oauth: "unauthorized_client", status: http.StatusBadRequest, message: "this client has no refresh tokens"}
	invalidGrant     = &reason{code: "R1", oauth: "invalid_grant", status: http.StatusBadRequest, message: "Invalid refresh token"}
	invalidClient    = &reason{code: "R1", oauth: "invalid_client", status: http.StatusUnauthorized, message: "Invalid key or secret"}
	invalidScope     = &reason{code: "R2", oauth: "invalid_scope", status: http.StatusBadRequest, plain: http.StatusUnauthorized, message: "Invalid key or secret",
		detail: "not every scope that was asked for can be given"}
	rateLimited = &reason{code: "R3", oauth: "temporarily_unavailable", status: http.StatusTooManyRequests, message: "Rate Limited"}
	restricted  = &reason{code: "R4", oauth: "access_denied", status: http.StatusForbidden, message: "IP Restricted"}
	unavailable = &reason{code: "R0", oauth: "temporarily_unavailable", status: http.StatusServiceUnavailable, message: "Service Unavailable"}
)

// refusal is a reason and what belongs to this one request.
type refusal struct {
	reason
	cause      string // for the operator, in fixed words: nothing that the caller wrote
	retryAfter time.Duration
	allow      string
}

func (r *refusal) Error() string { return r.code + ": " + r.cause }

func (r *reason) because(cause string) *refusal { return &refusal{reason: *r, cause: cause} }

// later is because for refusals that end by themselves.
func (r *reason) later(wait time.Duration, cause string) *refusal {
	no := r.because(cause)
	no.retryAfter = max(wait, time.Second)
	return no
}

// fault refuses a malformed request and says what is wrong with it. The words go
// to the caller and must hold nothing that he sent, which may well be a secret in
// the wrong place; nor quotes or backslashes (RFC 6749 section 5.2, error_description).
func fault(format string, args ...any) *refusal {
	no := malformed.because("malformed")
	no.message = fmt.Sprintf(format, args...)
	return no
}

// retryUnavailable is when to come back after a fault of ours: soon, since most
// are over soon.
const retryUnavailable = 5 * time.Second
