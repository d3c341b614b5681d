package envoy

import (
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// guard is the part of a connection manager without which the filter can be
// deceived, wherever it stands. An Envoy configured by somebody else needs all
// of it, and gets it as comments from FilterYAML.
func (p parsed) guard() (*hcmv3.HttpConnectionManager, error) {
	forged, err := removeForgedHeaders()
	if err != nil {
		return nil, err
	}
	reply, err := errorReply()
	if err != nil {
		return nil, err
	}
	slashes := hcmv3.HttpConnectionManager_REJECT_REQUEST
	if p.KeepEscapedSlashes {
		slashes = hcmv3.HttpConnectionManager_KEEP_UNCHANGED
	}
	return &hcmv3.HttpConnectionManager{
		// Without it x-forwarded-for, x-forwarded-proto and
		// x-envoy-external-address pass as the caller wrote them.
		UseRemoteAddress:      wrapperspb.Bool(true),
		XffNumTrustedHops:     p.TrustedHops,
		InternalAddressConfig: nobody(),

		// The path that tollgate decides on is the path that the upstream
		// serves, in one spelling.
		NormalizePath:                wrapperspb.Bool(true),
		MergeSlashes:                 true,
		PathWithEscapedSlashesAction: slashes,
		// Host likewise: routes are looked up by name alone.
		StripPortMode:        &hcmv3.HttpConnectionManager_StripAnyHostPort{StripAnyHostPort: true},
		StripTrailingHostDot: true,

		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{
			// CGI and WSGI read x_tollgate_client and x-tollgate-client as one.
			HeadersWithUnderscoresAction: corev3.HttpProtocolOptions_REJECT_REQUEST,
		},
		EarlyHeaderMutationExtensions: []*corev3.TypedExtensionConfig{forged},
		LocalReplyConfig:              reply,
	}, nil
}

// nobody is internal. By default every private address is, which are all
// callers of an Envoy in a container, and Envoy believes what an internal
// caller says in x-envoy-* headers about timeouts, retries and request ids. An
// empty list would be the default again, so it holds an address that no caller
// has.
func nobody() *hcmv3.HttpConnectionManager_InternalAddressConfig {
	return &hcmv3.HttpConnectionManager_InternalAddressConfig{
		CidrRanges: []*corev3.CidrRange{{AddressPrefix: "255.255.255.255", PrefixLen: wrapperspb.UInt32(32)}},
	}
}

// removeForgedHeaders strips what only tollgate and Envoy may say, before
// routing, so that it holds on routes without a check too.
func removeForgedHeaders() (*corev3.TypedExtensionConfig, error) {
	remove := func(m *matcherv3.StringMatcher) *mutationv3.HeaderMutation {
		m.IgnoreCase = true
		return &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_RemoveOnMatch_{
			RemoveOnMatch: &mutationv3.HeaderMutation_RemoveOnMatch{KeyMatcher: m},
		}}
	}
	return extension("envoy.http.early_header_mutation.header_mutation", &earlyv3.HeaderMutation{
		Mutations: []*mutationv3.HeaderMutation{
			remove(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "x-tollgate-"}}),
			remove(exactly("x-envoy-auth-failure-mode-allowed")),
		},
	})
}

// errorReply makes a refusal of tollgate's kind out of the answer that Envoy
// gives when there is none from tollgate: it was not reached, or what it wanted
// to change was not valid. Its own refusals, 503 too, have other details and
// stay as they are.
func errorReply() (*hcmv3.LocalReplyConfig, error) {
	filter, err := anypb.New(&celv3.ExpressionFilter{Expression: `response.code_details in ['ext_authz_error', 'ext_authz_invalid']`})
	if err != nil {
		return nil, err
	}
	return &hcmv3.LocalReplyConfig{Mappers: []*hcmv3.ResponseMapper{{
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{
			ExtensionFilter: &accesslogv3.ExtensionFilter{
				Name:       "envoy.access_loggers.extension_filters.cel",
				ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{TypedConfig: filter},
			},
		}},
		StatusCode: wrapperspb.UInt32(503),
		Body:       inline(`{"code":"R0","message":"Service Unavailable"}`),
		BodyFormatOverride: &corev3.SubstitutionFormatString{
			Format:      &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: inline("%LOCAL_REPLY_BODY%")},
			ContentType: "application/json",
		},
		HeadersToAdd: []*corev3.HeaderValueOption{
			overwrite("cache-control", "no-store"),
			overwrite("x-tollgate-code", "R0"),
		},
	}}}, nil
}

func overwrite(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// connectionManager is the guard with what a front of its own needs besides.
func (p parsed) connectionManager() (*hcmv3.HttpConnectionManager, error) {
	m, err := p.guard()
	if err != nil {
		return nil, err
	}
	m.StatPrefix = "front"
	m.ServerHeaderTransformation = hcmv3.HttpConnectionManager_PASS_THROUGH
	m.UpgradeConfigs = []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}}

	// A token may have 8 KiB, and the rest of the headers wants room too.
	m.MaxRequestHeadersKb = wrapperspb.UInt32(32)
	m.RequestHeadersTimeout = durationpb.New(5 * time.Second)
	m.StreamIdleTimeout = durationpb.New(5 * time.Minute)
	m.CommonHttpProtocolOptions.IdleTimeout = durationpb.New(5 * time.Minute)
	m.Http2ProtocolOptions = http2Options()
	m.Http2ProtocolOptions.MaxConcurrentStreams = wrapperspb.UInt32(100)

	if m.AccessLog, err = accessLog(); err != nil {
		return nil, err
	}
	if m.HttpFilters, err = p.httpFilters(); err != nil {
		return nil, err
	}
	routes, err := p.routes()
	m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes}
	return m, err
}

func httpFilter(name string, config proto.Message) (*hcmv3.HttpFilter, error) {
	packed, err := anypb.New(config)
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed}}, err
}

func extension(name string, config proto.Message) (*corev3.TypedExtensionConfig, error) {
	packed, err := anypb.New(config)
	return &corev3.TypedExtensionConfig{Name: name, TypedConfig: packed}, err
}

func inline(s string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: s}}
}
