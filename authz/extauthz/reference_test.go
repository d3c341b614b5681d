package extauthz

import (
	"cmp"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/tollgate-authz/tollgate/authz"
)

// The reference: the reader and the writer as anyone would write them on
// go-control-plane's types. The ones on the wire are held against it.

// keyHeaders are the headers with API keys in these tests.
var keyHeaders = []string{"x-api-key", "x-other-key"}

func referenceRead(check *authv3.CheckRequest) authz.Request {
	attributes := check.GetAttributes()
	http := attributes.GetRequest().GetHttp()
	req := authz.Request{Method: http.GetMethod(), Host: http.GetHost(), Path: http.GetPath()}
	if address := attributes.GetSource().GetAddress().GetSocketAddress().GetAddress(); address != "" {
		req.Peer, _ = netip.ParseAddr(address)
	}
	listed := map[string]string{}
	for _, h := range http.GetHeaderMap().GetHeaders() {
		value := cmp.Or(h.GetValue(), string(h.GetRawValue()))
		if h.GetKey() == "authorization" {
			req.Authorizations++
		}
		if old := listed[h.GetKey()]; h.GetKey() == "x-forwarded-for" && old != "" {
			value = old + "," + value
		}
		listed[h.GetKey()] = value
	}
	for _, h := range http.GetHeaderMap().GetHeaders() {
		if slices.Contains(keyHeaders, h.GetKey()) {
			req.APIKeys = append(req.APIKeys, authz.Header{Name: h.GetKey(), Value: cmp.Or(h.GetValue(), string(h.GetRawValue()))})
		}
	}
	mapped := http.GetHeaders()
	for _, name := range keyHeaders {
		if value, ok := mapped[name]; ok {
			req.APIKeys = append(req.APIKeys, authz.Header{Name: name, Value: value})
		}
	}
	if _, ok := mapped["authorization"]; ok {
		req.Authorizations++
	}
	header := func(name string) string { return cmp.Or(listed[name], mapped[name]) }
	req.Authorization, req.ForwardedFor, req.RequestID = header("authorization"), header("x-forwarded-for"), header("x-request-id")
	req.GRPC = isGRPC(header("content-type"))
	extensions := attributes.GetContextExtensions()
	req.RouteName, req.Environment = extensions["tollgate.route"], extensions["tollgate.environment"]
	req.Scopes = extensions["tollgate.scopes"]
	return req
}

func referenceWrite(req *authz.Request, d *authz.Decision) *authv3.CheckResponse {
	reason := d.Refusal()
	resp := &authv3.CheckResponse{Status: &rpcstatus.Status{}, DynamicMetadata: referenceMetadata(d)}
	if reason == nil || d.Passed {
		ok := &authv3.OkHttpResponse{ResponseHeadersToAdd: referenceLimits(d)}
		for _, h := range identityHeaders {
			value := ""
			if d.Identity != nil {
				value = h.value(d.Identity)
			}
			if value == "" {
				ok.HeadersToRemove = append(ok.HeadersToRemove, h.name)
			} else {
				ok.Headers = append(ok.Headers, referenceHeader(h.name, value))
			}
		}
		if d.HideToken {
			ok.HeadersToRemove = append(ok.HeadersToRemove, "authorization")
		}
		for _, source := range d.HideKeys {
			if source.Header != "" {
				ok.HeadersToRemove = append(ok.HeadersToRemove, source.Header)
			}
			if source.Query != "" && sentQuery(req).Has(source.Query) {
				ok.QueryParametersToRemove = append(ok.QueryParametersToRemove, source.Query)
			}
		}
		resp.HttpResponse = &authv3.CheckResponse_OkResponse{OkResponse: ok}
		return resp
	}
	resp.Status.Code = int32(reason.GRPC)
	denied := &authv3.DeniedHttpResponse{
		Status: &typev3.HttpStatus{Code: typev3.StatusCode(reason.Status)}, Body: reason.Body,
		Headers: []*corev3.HeaderValueOption{
			referenceHeader("content-type", "application/json"), referenceHeader("cache-control", "no-store"),
			referenceHeader("x-tollgate-code", reason.Code), referenceHeader("x-tollgate-decision", string(d.ID[:])),
		},
	}
	switch reason.Status {
	case 401:
		denied.Headers = append(denied.Headers, referenceHeader("www-authenticate", challenge(d, reason)))
	case 429:
		if !d.Limits.Never {
			denied.Headers = append(denied.Headers, referenceHeader("retry-after", itoa(max(1, ceilSeconds(d.Limits.RetryAfter)))))
		}
		denied.Headers = append(denied.Headers, referenceLimits(d)...)
	}
	if req.GRPC {
		denied.Headers = append(denied.Headers, referenceHeader("grpc-status", itoa(int64(reason.GRPC))))
	}
	resp.HttpResponse = &authv3.CheckResponse_DeniedResponse{DeniedResponse: denied}
	return resp
}

func sentQuery(req *authz.Request) url.Values {
	_, text, _ := strings.Cut(req.Path, "?")
	query, _ := url.ParseQuery(text)
	return query
}

func itoa(n int64) string { return string(appendParam(nil, "", n)) }

func referenceHeader(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header: &corev3.HeaderValue{Key: name, Value: value},
		//lint:ignore SA1019 before 1.37 this field alone decided for request headers
		Append:       &wrapperspb.BoolValue{},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

func referenceLimits(d *authz.Decision) []*corev3.HeaderValueOption {
	var policy, limit, warning []string
	for _, s := range d.Limits.All() {
		if s.Plan != nil && s.Plan.Shadow || strings.HasPrefix(s.Kind.String(), "wallet") {
			continue
		}
		name := `"` + authz.LimitName(&s) + `"`
		window, reset := ";w="+itoa(ceilSeconds(s.Window)), ";t="+itoa(ceilSeconds(s.Reset))
		if s.Window == 0 {
			window, reset = "", ""
		}
		policy = append(policy, name+";q="+itoa(s.Limit)+window)
		limit = append(limit, name+";r="+itoa(s.Remaining)+reset)
		if s.Near > 0 && s.Limit-s.Remaining >= s.Near {
			warning = append(warning, name+";used="+itoa(s.Limit-s.Remaining)+";limit="+itoa(s.Limit))
		}
	}
	if policy == nil {
		return nil
	}
	headers := []*corev3.HeaderValueOption{referenceHeader("ratelimit-policy", strings.Join(policy, ", ")), referenceHeader("ratelimit", strings.Join(limit, ", "))}
	if warning != nil {
		headers = append(headers, referenceHeader("x-tollgate-warning", strings.Join(warning, ", ")))
	}
	return headers
}

func referenceMetadata(d *authz.Decision) *structpb.Struct {
	s := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	set := func(name, value string) {
		if value != "" {
			s.Fields[name] = structpb.NewStringValue(value)
		}
	}
	if id := d.Identity; id != nil {
		set("client", id.ClientID())
		set("account", id.Account())
		scopes := &structpb.ListValue{}
		for _, scope := range id.Scopes {
			scopes.Values = append(scopes.Values, structpb.NewStringValue(scope))
		}
		s.Fields["scopes"] = structpb.NewListValue(scopes)
	}
	if d.Route != nil {
		set("api", d.Route.API.Name)
		set("route", d.Route.Label())
	}
	set("environment", string(d.Environment()))
	set("decision_id", string(d.ID[:]))
	if reason := d.Refusal(); reason != nil {
		set("code", reason.Code)
	}
	if d.Limits.Shadowed {
		names := &structpb.ListValue{}
		for _, l := range d.Limits.All() {
			if l.Refused && l.Plan != nil && l.Plan.Shadow {
				names.Values = append(names.Values, structpb.NewStringValue(authz.LimitName(&l)))
			}
		}
		s.Fields["shadow"] = structpb.NewListValue(names)
	}
	return s
}
