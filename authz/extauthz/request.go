package extauthz

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/tollgate-authz/tollgate/authz"
)

// Field numbers of envoy.service.auth.v3. The differential fuzz test holds this
// reader against go-control-plane's types.
const (
	checkRequestAttributes = 1

	attributesSource     = 1
	attributesRequest    = 4
	attributesExtensions = 10

	peerAddress          = 1
	addressSocket        = 1
	addressPipe          = 2
	addressInternal      = 3
	socketAddressAddress = 2

	requestHTTP     = 2
	httpMethod      = 2
	httpHeaders     = 3
	httpPath        = 4
	httpHost        = 5
	httpHeaderMap   = 13
	headerMapHeader = 1

	entryKey, entryValue                = 1, 2 // of a map
	headerKey, headerValue, headerBytes = 1, 2, 3
)

// reader collects the needed parts of a CheckRequest. A message field that occurs
// twice is merged, the last of a scalar wins: the same methods are simply run
// again on the same reader.
type reader struct {
	req    *authz.Request
	peer   string
	mapped headers // the map form (headers): a name occurs once, Envoy has joined the values
	listed headers // the list form (header_map): every header as it was sent
	err    error
}

// headers are those that the gate reads.
type headers struct {
	authorization  string
	authorizations int
	forwardedFor   string
	requestID      string
	contentType    string
	names          []string // of headers with API keys
	apiKeys        []authz.Header
}

// readRequest reads a serialized CheckRequest. The request's strings share the
// memory of message. keyHeaders are the names of headers with API keys.
func readRequest(message []byte, req *authz.Request, keyHeaders []string) error {
	r := reader{req: req, mapped: headers{names: keyHeaders}, listed: headers{names: keyHeaders}}
	r.each(message, (*reader).checkRequest)
	if r.err != nil {
		return r.err
	}
	if r.peer != "" {
		req.Peer, _ = netip.ParseAddr(r.peer)
	}
	r.mapped.authorizations = min(r.mapped.authorizations, 1)
	req.Authorization = cmp.Or(r.listed.authorization, r.mapped.authorization)
	req.Authorizations = r.listed.authorizations + r.mapped.authorizations
	req.APIKeys = append(r.listed.apiKeys, r.mapped.apiKeys...)
	req.ForwardedFor = cmp.Or(r.listed.forwardedFor, r.mapped.forwardedFor)
	req.RequestID = cmp.Or(r.listed.requestID, r.mapped.requestID)
	req.GRPC = isGRPC(cmp.Or(r.listed.contentType, r.mapped.contentType))
	return nil
}

// each runs read on every field of message.
func (r *reader) each(message []byte, read func(*reader, *fields)) {
	f := fields{rest: message}
	for r.err == nil && f.next() {
		read(r, &f)
	}
	if r.err == nil {
		r.err = f.err
	}
}

func (r *reader) checkRequest(f *fields) {
	if f.num == checkRequestAttributes && f.kind == wireBytes {
		r.each(f.data, (*reader).attributes)
	}
}

func (r *reader) attributes(f *fields) {
	if f.kind != wireBytes {
		return
	}
	switch f.num {
	case attributesSource:
		r.each(f.data, (*reader).source)
	case attributesRequest:
		r.each(f.data, (*reader).request)
	case attributesExtensions:
		if key, value, ok := r.entry(f.data); ok {
			r.extension(key, value)
		}
	}
}

func (r *reader) source(f *fields) {
	if f.num == peerAddress && f.kind == wireBytes {
		r.each(f.data, (*reader).address)
	}
}

// address reads a oneof: the last member wins, and ends the others.
func (r *reader) address(f *fields) {
	if f.kind != wireBytes {
		return
	}
	switch f.num {
	case addressSocket:
		r.each(f.data, (*reader).socketAddress)
	case addressPipe, addressInternal:
		r.peer = ""
	}
}

func (r *reader) socketAddress(f *fields) {
	if f.num == socketAddressAddress && f.kind == wireBytes {
		r.peer = f.text()
	}
}

func (r *reader) request(f *fields) {
	if f.num == requestHTTP && f.kind == wireBytes {
		r.each(f.data, (*reader).http)
	}
}

func (r *reader) http(f *fields) {
	if f.kind != wireBytes {
		return
	}
	switch f.num {
	case httpMethod:
		r.req.Method = f.text()
	case httpPath:
		r.req.Path = f.text()
	case httpHost:
		r.req.Host = f.text()
	case httpHeaders:
		if key, value, ok := r.entry(f.data); ok {
			r.mapped.take(key, value, true)
		}
	case httpHeaderMap:
		r.each(f.data, (*reader).headerMap)
	}
}

func (r *reader) headerMap(f *fields) {
	if f.num != headerMapHeader || f.kind != wireBytes {
		return
	}
	var key, value, raw string
	h := fields{rest: f.data}
	for h.next() {
		if h.kind != wireBytes {
			continue
		}
		switch h.num {
		case headerKey:
			key = h.text()
		case headerValue:
			value = h.text()
		case headerBytes:
			raw = h.text()
		}
	}
	if h.err != nil {
		r.err = h.err
		return
	}
	if value == "" {
		value = raw // encode_raw_headers fills only this
	}
	r.listed.take(key, value, false)
}

// entry reads one entry of a map<string, string>.
func (r *reader) entry(message []byte) (key, value string, ok bool) {
	f := fields{rest: message}
	for f.next() {
		if f.kind != wireBytes {
			continue
		}
		switch f.num {
		case entryKey:
			key = f.text()
		case entryValue:
			value = f.text()
		}
	}
	if f.err != nil {
		r.err = f.err
	}
	return key, value, f.err == nil
}

// take keeps a header that the gate reads. Envoy sends names in lower case. In
// the map form a later entry replaces an earlier one.
func (h *headers) take(name, value string, mapped bool) {
	switch name {
	case "authorization":
		h.authorization = value
		h.authorizations++
	case "x-forwarded-for":
		if !mapped && h.forwardedFor != "" {
			value = h.forwardedFor + "," + value
		}
		h.forwardedFor = value
	case "x-request-id":
		h.requestID = value
	case "content-type":
		h.contentType = value
	default:
		if len(h.names) > 0 && slices.Contains(h.names, name) {
			h.takeKey(name, value, mapped)
		}
	}
}

func (h *headers) takeKey(name, value string, mapped bool) {
	for i := range h.apiKeys {
		if mapped && h.apiKeys[i].Name == name {
			h.apiKeys[i].Value = value
			return
		}
	}
	h.apiKeys = append(h.apiKeys, authz.Header{Name: name, Value: value})
}

// isGRPC tells gRPC from the rest as Envoy does; grpc-web is not gRPC.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// extension takes what Envoy's configuration says of the route.
func (r *reader) extension(key, value string) {
	switch key {
	case "tollgate.route":
		r.req.RouteName = value
	case "tollgate.scopes":
		r.req.Scopes = value
	case "tollgate.environment":
		r.req.Environment = value
	}
}
