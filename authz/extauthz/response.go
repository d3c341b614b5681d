package extauthz

import (
	"strconv"
	"time"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/authz/deny"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/tokens"
)

// Field numbers of envoy.service.auth.v3 and of the messages it uses.
const (
	responseStatus   = 1 // google.rpc.Status
	responseDenied   = 2
	responseOK       = 3
	responseMetadata = 4 // google.protobuf.Struct

	statusCode = 1

	deniedStatus, deniedHeaders, deniedBody = 1, 2, 3

	okHeaders, okRemove, okResponseHeaders, okRemoveQuery = 2, 5, 6, 8

	optionHeader, optionAppend, optionAction = 1, 2, 3

	// OVERWRITE_IF_EXISTS_OR_ADD: whatever the caller or the upstream sent goes.
	actionOverwrite = 2
)

// identityHeader is one header that tells the upstream whom it serves.
type identityHeader struct {
	name  string
	value func(*tokens.Identity) string
}

// identityHeaders are set on every allowed request; those without a value are
// removed, so that none can be forged (contract section 3).
var identityHeaders = []identityHeader{
	{"x-tollgate-client", func(id *tokens.Identity) string { return id.ClientID() }},
	{"x-tollgate-account", func(id *tokens.Identity) string { return id.Account() }},
	{"x-tollgate-scopes", func(id *tokens.Identity) string { return id.ScopeList }},
	{"x-tollgate-token-id", func(id *tokens.Identity) string { return id.TokenID() }},
	{"x-tollgate-environment", func(id *tokens.Identity) string { return string(id.Environment()) }},
	{"x-tollgate-issuer", func(id *tokens.Identity) string { return id.Issuer() }},
	{"x-tollgate-subject", func(id *tokens.Identity) string { return id.Subject() }},
}

// appendResponse writes the CheckResponse for a decision. It is the only code
// that makes one. An allow is written only here, only for a decision that says
// so; everything else has a status and a denied_response, because Envoy lets a
// response without them pass.
func appendResponse(dst []byte, req *authz.Request, d *authz.Decision) []byte {
	reason := d.Refusal()
	if reason == nil || d.Passed {
		dst = append(dst, tag(responseStatus, wireBytes), 0) // google.rpc.Status of code 0
		dst = appendOK(dst, req, d)
	} else {
		dst = appendLen(dst, responseStatus, 1+sizeVarint(uint64(reason.GRPC)))
		dst = appendVarint(append(dst, tag(statusCode, wireVarint)), uint64(reason.GRPC))
		dst = appendDenied(dst, req, d, reason)
	}
	return appendMetadata(dst, d, reason)
}

func appendOK(dst []byte, req *authz.Request, d *authz.Decision) []byte {
	dst, mark := begin(dst, responseOK)
	dst = appendIdentity(dst, d.Identity)
	if d.HideToken {
		dst = appendText(dst, okRemove, "authorization")
	}
	for _, source := range d.HideKeys {
		if source.Header != "" {
			dst = appendText(dst, okRemove, source.Header)
		}
		// Only if it was sent: Envoy writes a query anew from which it has to remove
		// something, with another order and another spelling.
		if source.Query != "" && req.HasQuery(source.Query) {
			dst = appendText(dst, okRemoveQuery, source.Query)
		}
	}
	dst = appendLimitHeaders(dst, okResponseHeaders, d)
	return end(dst, mark)
}

func appendDenied(dst []byte, req *authz.Request, d *authz.Decision, reason *deny.Reason) []byte {
	dst, mark := begin(dst, responseDenied)
	dst = appendLen(dst, deniedStatus, 1+sizeVarint(uint64(reason.Status)))
	dst = appendVarint(append(dst, tag(1, wireVarint)), uint64(reason.Status))
	dst = appendHeader(dst, deniedHeaders, "content-type", "application/json")
	dst = appendHeader(dst, deniedHeaders, "cache-control", "no-store")
	dst = appendHeader(dst, deniedHeaders, "x-tollgate-code", reason.Code)
	dst = appendHeader(dst, deniedHeaders, "x-tollgate-decision", string(d.ID[:]))
	switch reason.Status {
	case 401:
		dst = appendHeader(dst, deniedHeaders, "www-authenticate", challenge(d, reason))
	case 429:
		if !d.Limits.Never {
			seconds := max(1, ceilSeconds(d.Limits.RetryAfter))
			dst = appendHeader(dst, deniedHeaders, "retry-after", strconv.FormatInt(seconds, 10))
		}
		dst = appendLimitHeaders(dst, deniedHeaders, d)
	}
	if req.GRPC {
		dst = appendHeader(dst, deniedHeaders, "grpc-status", strconv.FormatUint(uint64(reason.GRPC), 10))
	}
	dst = appendText(dst, deniedBody, reason.Body)
	return end(dst, mark)
}

// challenge is the value of www-authenticate (RFC 6750 section 3). Scopes are
// made of characters that need no escape inside quotes.
func challenge(d *authz.Decision, reason *deny.Reason) string {
	const realm = `Bearer realm="tollgate"`
	switch {
	case d.KeysOnly:
		return `ApiKey realm="tollgate"`
	case d.ScopeWanted != "":
		return realm + `, error="insufficient_scope", scope="` + d.ScopeWanted + `"`
	case reason == deny.Unauthorized:
		return realm + `, error="insufficient_scope"`
	case d.TokenSent:
		return realm + `, error="invalid_token"`
	}
	return realm
}

// appendIdentity never sets and removes one name: the removal would win.
func appendIdentity(dst []byte, id *tokens.Identity) []byte {
	for i := range identityHeaders {
		h := &identityHeaders[i]
		value := ""
		if id != nil {
			value = h.value(id)
		}
		if value != "" {
			dst = appendHeader(dst, okHeaders, h.name, value)
		} else {
			dst = appendText(dst, okRemove, h.name)
		}
	}
	return dst
}

// appendHeader writes a HeaderValueOption that overwrites. The deprecated append
// field is written too, as false: before 1.37 it alone decided for request
// headers.
func appendHeader(dst []byte, num byte, name, value string) []byte {
	header := sizeLen(len(name)) + sizeLen(len(value))
	dst = appendLen(dst, num, sizeLen(header)+2+2)
	dst = appendLen(dst, optionHeader, header)
	dst = appendText(dst, headerKey, name)
	dst = appendText(dst, headerValue, value)
	return append(dst, tag(optionAppend, wireBytes), 0, tag(optionAction, wireVarint), actionOverwrite)
}

func ceilSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// appendLimitHeaders tells the caller where it stands (draft-ietf-httpapi-ratelimit-headers):
//
//	RateLimit-Policy: "burst";q=100;w=2, "per_minute";q=1000;w=60
//	RateLimit: "burst";r=99;t=1, "per_minute";r=917;t=12
//	x-tollgate-warning: "per_minute";used=83;limit=100
//
// A route's own plan, charged beside the client's, has its name before the limit's. A
// limit that never resets has no window and no time. Money is not listed, and callers
// are not told of limits that only watch.
func appendLimitHeaders(dst []byte, num byte, d *authz.Decision) []byte {
	var policyRoom, limitRoom, warningRoom [320]byte
	policy, limit, warning := policyRoom[:0], limitRoom[:0], warningRoom[:0]
	for i := range d.Limits.Count {
		s := &d.Limits.Standings[i]
		if s.InShadow() || s.Kind.IsMoney() {
			continue
		}
		policy = appendParam(appendLimitName(policy, s), ";q=", s.Limit)
		limit = appendParam(appendLimitName(limit, s), ";r=", s.Remaining)
		if s.Window > 0 {
			policy = appendParam(policy, ";w=", ceilSeconds(s.Window))
			limit = appendParam(limit, ";t=", ceilSeconds(s.Reset))
		}
		if s.IsNear() {
			warning = appendParam(appendParam(appendLimitName(warning, s), ";used=", s.Used()), ";limit=", s.Limit)
		}
	}
	for _, h := range []struct {
		name  string
		value []byte
	}{{"ratelimit-policy", policy}, {"ratelimit", limit}, {"x-tollgate-warning", warning}} {
		if len(h.value) > 0 {
			dst = appendHeaderBytes(dst, num, h.name, h.value)
		}
	}
	return dst
}

// appendLimitName writes one more limit's name to a list.
func appendLimitName(dst []byte, s *limiter.Standing) []byte {
	if len(dst) > 0 {
		dst = append(dst, ", "...)
	}
	dst = append(dst, '"')
	if s.Plan != nil && s.Plan.Label != "" {
		dst = append(append(dst, s.Plan.Label...), '.')
	}
	return append(append(dst, s.Kind.String()...), '"')
}

func appendParam(dst []byte, name string, v int64) []byte {
	return strconv.AppendInt(append(dst, name...), v, 10)
}

// appendHeaderBytes is appendHeader for a value made in a buffer.
func appendHeaderBytes(dst []byte, num byte, name string, value []byte) []byte {
	f := fields{data: value}
	return appendHeader(dst, num, name, f.text())
}
