package envoy

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const filterName = "envoy.filters.http.ext_authz"

// checkTimeout bounds how long a request waits for tollgate, which answers from
// memory.
const checkTimeout = 200 * time.Millisecond

// checkFilter asks tollgate about a request.
func (p parsed) checkFilter() (*hcmv3.HttpFilter, error) {
	return httpFilter(filterName, &extauthzv3.ExtAuthz{
		TransportApiVersion: corev3.ApiVersion_V3,
		Services: &extauthzv3.ExtAuthz_GrpcService{GrpcService: &corev3.GrpcService{
			TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
				ClusterName: checkCluster,
				// A retry would be a second check, which spends a second time:
				// there is no retry policy. tollgate reads none of the
				// x-envoy-* headers of the call.
				SkipEnvoyHeaders: true,
			}},
			Timeout: durationpb.New(checkTimeout),
		}},
		FailureModeAllow: false,
		StatusOnError:    &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},

		// A header value that would break out of its line is an error, never bytes on the wire.
		ValidateMutations:          true,
		DecoderHeaderMutationRules: p.mutationRules(),

		AllowedHeaders: p.readHeaders(),
		// Without it two headers of one name arrive as one, joined by a comma,
		// and bytes that are not UTF-8 as "!": a check of something that the
		// caller did not send. authorization and x-forwarded-for are joined
		// even so, since Envoy joins them when it reads the request; a token
		// with a comma is none.
		EncodeRawHeaders: true,
	})
}

// mutationRules names every header that tollgate may set or remove. Envoy drops
// a change of any other name without a word, so that a name missing here would
// leave a credential in what the upstream sees.
func (p parsed) mutationRules() *mutationv3.HeaderMutationRules {
	return &mutationv3.HeaderMutationRules{
		DisallowAll:     wrapperspb.Bool(true),
		AllowExpression: &matcherv3.RegexMatcher{Regex: mutable(p.APIKeyHeaders)},
	}
}

// mutable is the expression for those names. It does not list the identity headers,
// to stay small: Envoy takes no program of RE2 with more than 100 steps.
func mutable(keyHeaders []string) string {
	names := []string{"x-tollgate-[a-z-]+", "authorization"}
	for _, name := range keyHeaders {
		names = append(names, regexp.QuoteMeta(name))
	}
	return "^(" + strings.Join(names, "|") + ")$"
}

// tooManyKeyHeaders reports whether Envoy would refuse the expression. A step of RE2 is
// about one of Go's.
func tooManyKeyHeaders(keyHeaders []string) bool {
	const most = 90 // of 100: about
	expression, err := syntax.Parse(mutable(keyHeaders), syntax.Perl)
	if err != nil {
		return true
	}
	program, err := syntax.Compile(expression.Simplify())
	return err != nil || len(program.Inst) > most
}

// readHeaders are the request headers that tollgate reads. What it does not
// read it is not sent: cookies stay in Envoy, and the call stays small.
func (p parsed) readHeaders() *matcherv3.ListStringMatcher {
	var list matcherv3.ListStringMatcher
	for _, name := range slices.Concat([]string{"authorization", "content-type", "x-forwarded-for", "x-request-id"}, p.APIKeyHeaders) {
		list.Patterns = append(list.Patterns, exactly(name))
	}
	return &list
}
