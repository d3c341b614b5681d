package extauthz

import (
	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/authz/deny"
	"github.com/tollgate-authz/tollgate/limiter"
)

// Field numbers of google.protobuf.Struct and Value.
const (
	structFields = 1
	valueString  = 3
	valueList    = 6
	listValues   = 1
)

// appendMetadata writes the dynamic metadata that Envoy keeps under
// envoy.filters.http.ext_authz, for its access log and later filters:
// proto/tollgate/v1 describes it. It is given on allow and on deny.
func appendMetadata(dst []byte, d *authz.Decision, reason *deny.Reason) []byte {
	dst, mark := begin(dst, responseMetadata)
	if id := d.Identity; id != nil {
		dst = appendTextEntry(dst, "client", id.ClientID())
		dst = appendTextEntry(dst, "account", id.Account())
		dst = appendListEntry(dst, "scopes", id.Scopes)
	}
	if d.Route != nil {
		dst = appendTextEntry(dst, "api", d.Route.API.Name)
		dst = appendTextEntry(dst, "route", d.Route.Label())
	}
	dst = appendTextEntry(dst, "environment", string(d.Environment()))
	dst = appendTextEntry(dst, "decision_id", string(d.ID[:]))
	if reason != nil {
		dst = appendTextEntry(dst, "code", reason.Code)
	}
	if d.Limits.Shadowed {
		dst = appendListEntry(dst, "shadow", shadowed(d))
	}
	return end(dst, mark)
}

// appendTextEntry writes one entry of Struct.fields; nothing for an empty text.
func appendTextEntry(dst []byte, key, text string) []byte {
	if text == "" {
		return dst
	}
	value := sizeLen(len(text))
	dst = appendLen(dst, structFields, sizeLen(len(key))+sizeLen(value))
	dst = appendText(dst, entryKey, key)
	dst = appendLen(dst, entryValue, value)
	return appendText(dst, valueString, text)
}

func appendListEntry(dst []byte, key string, list []string) []byte {
	dst, entry := begin(dst, structFields)
	dst = appendText(dst, entryKey, key)
	dst, value := begin(dst, entryValue)
	dst, values := begin(dst, valueList)
	for _, text := range list {
		dst = appendLen(dst, listValues, sizeLen(len(text)))
		dst = appendText(dst, valueString, text)
	}
	return end(end(end(dst, values), value), entry)
}

// shadowed names the limits that would have refused, were their plans not in shadow.
func shadowed(d *authz.Decision) []string {
	return limitNames(d, func(s *limiter.Standing) bool { return s.Refused && s.InShadow() })
}
