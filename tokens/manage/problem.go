package manage

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollgate-authz/tollgate/tokens"
)

// problem is an error answer (RFC 9457). Nothing in it was a value of the caller's,
// which may well be a secret in the wrong place.
type problem struct {
	Title  string  `json:"title" doc:"The status in words." example:"Unprocessable Entity"`
	Status int     `json:"status" doc:"The HTTP status." example:"422" minimum:"400" maximum:"599"`
	Detail string  `json:"detail" doc:"What is wrong." example:"the request is not as it must be"`
	Code   string  `json:"code,omitempty" doc:"R-code, where there is one." enum:"R0,R1,R3,R4,R5,R6"`
	Error_ string  `json:"error,omitempty" doc:"Error code of OAuth 2.0, where there is one." enum:"invalid_token,insufficient_scope,invalid_grant"`
	Scopes []scope `json:"missing_scopes,omitempty" doc:"Scopes that are missing."`
	Errors []fault `json:"errors,omitempty" doc:"Every field that is wrong."`

	header http.Header
	cause  error // our own fault, for the log
}

// scope is one scope.
type scope = string

// fault is one field that is wrong.
type fault struct {
	Location string `json:"location" doc:"Where it is." example:"body.limits.per_day"`
	Message  string `json:"message" doc:"What would be right." example:"expected number >= 1"`
}

// Error implements error.
func (p *problem) Error() string { return strconv.Itoa(p.Status) + ": " + p.Detail }

// Unwrap gives the log the cause.
func (p *problem) Unwrap() error { return p.cause }

// GetStatus implements huma.StatusError.
func (p *problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *problem) GetHeaders() http.Header { return p.header }

// ContentType implements huma.ContentTypeFilter.
func (p *problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

func newProblem(status int, detail string) *problem {
	return &problem{Title: http.StatusText(status), Status: status, Detail: detail, header: http.Header{}}
}

// notFound does not tell what is another's from what is nobody's.
func notFound(what string) *problem { return newProblem(http.StatusNotFound, "there is no such "+what) }

func conflict(detail string) *problem { return newProblem(http.StatusConflict, detail) }

func unauthorized(code, detail string) *problem {
	p := newProblem(http.StatusUnauthorized, detail)
	p.Code, p.Error_ = code, "invalid_token"
	p.header.Set("WWW-Authenticate", `Bearer realm="tollgate", error="invalid_token"`)
	return p
}

// lacking names the scopes that are missing.
func lacking(detail string, scopes ...string) *problem {
	p := newProblem(http.StatusForbidden, detail)
	p.Code, p.Error_, p.Scopes = "R6", "insufficient_scope", scopes
	p.header.Set("WWW-Authenticate", `Bearer realm="tollgate", error="insufficient_scope", scope="`+strings.Join(scopes, " ")+`"`)
	return p
}

func rateLimited(wait time.Duration, detail string) *problem {
	p := newProblem(http.StatusTooManyRequests, detail)
	p.Code = "R3"
	p.header.Set("Retry-After", strconv.FormatInt(max(1, int64((wait+time.Second-1)/time.Second)), 10))
	return p
}

func unavailable(cause error) *problem {
	p := newProblem(http.StatusServiceUnavailable, "the service cannot answer now")
	p.Code, p.cause = "R0", cause
	p.header.Set("Retry-After", "5")
	return p
}

// faulty says which fields are wrong.
func faulty(faults ...fault) *problem {
	p := newProblem(http.StatusUnprocessableEntity, "the request is not as it must be")
	p.Errors = faults
	return p
}

// problemOf is what an error is answered with.
func problemOf(err error) *problem {
	var p *problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, tokens.ErrNotFound):
		return notFound("record")
	}
	return unavailable(err)
}

// humaProblem is what the library's own complaints become.
func humaProblem(status int, detail string, errs ...error) huma.StatusError {
	switch status {
	case http.StatusUnprocessableEntity:
		detail = "the request is not as it must be"
	case http.StatusInternalServerError:
		return unavailable(errors.Join(append(errs, errors.New(detail))...))
	case http.StatusUnsupportedMediaType:
		return newProblem(status, "the body must be application/json")
	case http.StatusRequestEntityTooLarge:
		return newProblem(status, "the body is larger than "+strconv.Itoa(maxBody>>10)+" KiB")
	}
	p := newProblem(status, detail)
	for _, err := range errs {
		p.Errors = append(p.Errors, faultOf(err))
	}
	slices.SortStableFunc(p.Errors, func(a, b fault) int { return strings.Compare(a.Location, b.Location) })
	return p
}

// faultOf leaves the value out that was wrong, and messages that quote it.
func faultOf(err error) fault {
	var detail *huma.ErrorDetail
	if !errors.As(err, &detail) {
		return fault{"body", "is not what the operation takes"}
	}
	message := detail.Message
	if strings.HasPrefix(message, "json:") || strings.Contains(message, "unmarshal") || strings.HasPrefix(message, "invalid character") {
		message = "is not of the type that is asked for"
	}
	return fault{detail.Location, message}
}

// writeProblem answers where no operation does.
func writeProblem(w http.ResponseWriter, r *http.Request, p *problem) {
	body, err := json.Marshal(p)
	if err != nil { // a struct of texts and numbers
		body = nil
	}
	for name, values := range p.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", problemType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the caller has gone: nobody is left to tell
	}
}
